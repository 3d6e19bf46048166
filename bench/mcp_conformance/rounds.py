"""Tools that ask back before they answer (MCP 2026-07-28, SEP-2322). Knows what the suite wants asked, no transport."""

from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_conformance.schemas import of

Answers = Mapping[str, Any]
NAME = of(name={"type": "string"})


def _form(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(said: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=said))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))


def _done(said: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=said)])


def _ask(requests: Mapping[str, Any], state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def _value(params: Any, key: str, field: str) -> Any:
    """What the user gave for a field of a question; None where nothing of the kind came."""
    answer = (params.input_responses or {}).get(key)
    content = getattr(answer, "content", None)
    return content.get(field) if isinstance(content, dict) else None


def _greet(ctx: Any, params: Any) -> Any:
    name = _value(params, "user_name", "name")
    return _done(f"Hello, {name}!") if isinstance(name, str) else _ask({"user_name": _form("What is your name?", NAME)})


def _capital(ctx: Any, params: Any) -> Any:
    answer = (params.input_responses or {}).get("capital_question")
    if answer is None:
        return _ask({"capital_question": _sample("What is the capital of France?")})
    return _done(f"The model says: {getattr(answer.content, 'text', '')}")


def _roots(ctx: Any, params: Any) -> Any:
    answer = (params.input_responses or {}).get("client_roots")
    if answer is None:
        return _ask({"client_roots": types.ListRootsRequest()})
    return _done(f"{len(answer.roots)} roots: {', '.join(str(one.uri) for one in answer.roots)}")


def _confirm(ctx: Any, params: Any) -> Any:
    if params.request_state == "confirming" and _value(params, "confirm", "ok") is not None:
        return _done("state-ok")
    return _ask({"confirm": _form("Please confirm", of(ok={"type": "boolean"}))}, "confirming")


def _several(ctx: Any, params: Any) -> Any:
    answers = params.input_responses or {}
    if {"user_name", "greeting", "client_roots"} <= set(answers):
        return _done(f"Hello, {_value(params, 'user_name', 'name')}!")
    asked = {
        "user_name": _form("What is your name?", NAME),
        "greeting": _sample("Generate a greeting"),
        "client_roots": types.ListRootsRequest(),
    }
    return _ask(asked, "several")


def _steps(ctx: Any, params: Any) -> Any:
    state = params.request_state or ""
    if state.startswith("colour:") and _value(params, "step2", "color") is not None:
        return _done(f"{state.partition(':')[2]} likes {_value(params, 'step2', 'color')}")
    name = _value(params, "step1", "name")
    if state == "name" and name is not None:
        step = _form("Step 2: What is your favorite color?", of(color={"type": "string"}))
        return _ask({"step2": step}, f"colour:{name}")
    return _ask({"step1": _form("Step 1: What is your name?", NAME)}, "name")


def _supported(ctx: Any, params: Any) -> Any:
    """Only what the client says it can answer."""
    able = ctx.session.client_capabilities
    asked: dict[str, Any] = {}
    if able is not None and able.sampling is not None:
        asked["question"] = _sample("What is the capital of France?")
    if able is not None and able.elicitation is not None:
        asked["user_name"] = _form("What is your name?", NAME)
    if params.input_responses:
        return _done("answered")
    if not asked:
        raise MCPError(types.INVALID_PARAMS, "the client can answer nothing")
    return _ask(asked)


def asked_for_context(params: Any) -> Any:
    """A prompt that needs to know something first."""
    context = _value(params, "user_context", "context")
    if context is None:
        return _ask({"user_context": _form("What context should the prompt use?", of(context={"type": "string"}))})
    message = types.PromptMessage(role="user", content=types.TextContent(text=f"Use this context: {context}"))
    return types.GetPromptResult(messages=[message])


ROUNDS: Mapping[str, Callable[[Any, Any], Any]] = {
    "test_input_required_result_elicitation": _greet,
    "test_input_required_result_sampling": _capital,
    "test_input_required_result_list_roots": _roots,
    "test_input_required_result_request_state": _confirm,
    "test_input_required_result_tampered_state": _confirm,
    "test_input_required_result_multiple_inputs": _several,
    "test_input_required_result_multi_round": _steps,
    "test_input_required_result_capabilities": _supported,
    "test_streaming_elicitation": _greet,
}
