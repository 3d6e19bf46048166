"""OpenAI responses: the items an input and an output are made of. Knows no route and no stream."""

from typing import Any

from sigmaguard.model import Origin
from sigmaguard.wire import pointer
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import ORIGIN_OF_ROLE

_ORIGIN_OF_ITEM = {
    "function_call": Origin.TOOL_CALL,
    "custom_tool_call": Origin.TOOL_CALL,
    "mcp_call": Origin.TOOL_CALL,
    "computer_call": Origin.TOOL_CALL,
    "local_shell_call": Origin.TOOL_CALL,
    "shell_call": Origin.TOOL_CALL,
    "web_search_call": Origin.TOOL_CALL,
    "code_interpreter_call": Origin.TOOL_CALL,
    "mcp_list_tools": Origin.TOOL_DEFINITION,
    "function_call_output": Origin.TOOL_RESULT,
    "custom_tool_call_output": Origin.TOOL_RESULT,
    "computer_call_output": Origin.TOOL_RESULT,
    "local_shell_call_output": Origin.TOOL_RESULT,
    "shell_call_output": Origin.TOOL_RESULT,
    "file_search_call": Origin.TOOL_RESULT,
    "reasoning": Origin.ASSISTANT,
}
_REPEATED = {"instructions": Origin.SYSTEM, "tools": Origin.TOOL_DEFINITION, "text": Origin.TOOL_DEFINITION}


def collect_response(collector: Collector, path: str, answer: dict[str, Any]) -> None:
    """A response object, wherever it stands: output first, then what it repeats of the request."""
    output = answer.get("output")
    if isinstance(output, list):
        for at, item in enumerate(output):
            collect_item(collector, f"{path}/output/{at}", item, Origin.ASSISTANT)
    elif output is not None:
        collector.walk(f"{path}/output", output, Origin.ASSISTANT)
    for key, value in answer.items():
        if key != "output":
            collector.walk(path, {key: value}, _REPEATED.get(key, Origin.ASSISTANT))


def collect_item(collector: Collector, path: str, item: Any, default: Origin) -> None:
    """One item of an input or output: a message, a call, a result, reasoning."""
    if not isinstance(item, dict):
        collector.text(path, item, default)
        return
    role = item.get("role")
    role = role if isinstance(role, str) else ""
    kind = item.get("type")
    origin = ORIGIN_OF_ROLE.get(role, default)
    if isinstance(kind, str):
        origin = _ORIGIN_OF_ITEM.get(kind, origin)
    for key, value in item.items():
        place = f"{path}/{pointer.escape(key)}"
        if key == "arguments":
            collector.json_text(place, value, Origin.TOOL_CALL, role, path)
        elif key == "output" and origin is Origin.TOOL_CALL:
            collector.walk(place, value, Origin.TOOL_RESULT, role, path)  # an mcp_call holds its own result
        else:
            collector.walk(path, {key: value}, origin, role, path)
