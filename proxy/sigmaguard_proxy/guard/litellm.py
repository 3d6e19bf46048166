"""`POST /beta/litellm_basic_guardrail_api`: LiteLLM's generic guardrail API, after its public documentation.

LiteLLM sends the texts of any endpoint, and for chats the messages they stand in; it writes back `texts` and
`tools`. It cannot write back tool calls, so what would have to be masked in one is blocked.
"""

from typing import Any, Literal

import msgspec
import orjson
from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Origin, Segment
from sigmaguard.wire.body import encode_edits
from sigmaguard.wire.openai_chat import ChatCodec
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.guard.question import Dialect, Judged, Question, block_instead, json_answer
from sigmaguard_proxy.guard.restoring import Kept

CALLS = "/messages/0/tool_calls"


class Asked(msgspec.Struct, frozen=True):
    """What LiteLLM sends; fields that are not read are left out here."""

    input_type: Literal["request", "response"]
    texts: list[str] | None = None
    tools: list[Any] | None = None
    tool_calls: list[Any] | None = None
    structured_messages: list[dict[str, Any]] | None = None
    litellm_call_id: str | None = None
    model: str | None = None


class LiteLlmAdapter:
    """LiteLLM's dialect."""

    protocol = Dialect("guard.litellm", "/beta/litellm_basic_guardrail_api")

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def ask(self, exchange: Exchange) -> Question:
        """Raises WireError."""
        try:
            asked = msgspec.convert(exchange.body, Asked)
        except msgspec.ValidationError as error:
            raise WireError("bad_question", f"{error}; this endpoint speaks LiteLLM's generic guardrail API") from error
        exchange.model = asked.model or ""
        call = asked.litellm_call_id or ""
        calls = _tool_calls(asked.tool_calls or [])
        if asked.input_type == "response":
            texts = [Segment(f"/texts/{at}", Origin.ASSISTANT, one) for at, one in enumerate(asked.texts or [])]
            return Question(output=[*texts, *calls], issued=self._kept.find(exchange.who.subject, call), call=call)
        tools = ChatCodec().decode_request({"tools": asked.tools}) if asked.tools else []
        return Question(input=[*_texts(asked), *tools, *calls], call=call)

    def answer(self, judged: Judged) -> web.Response:
        """`NONE`, `BLOCKED`, or `GUARDRAIL_INTERVENED` with the texts as they should go on."""
        exchange = judged.exchange
        if judged.refusal is not None:
            return json_answer(judged, {"action": "BLOCKED", "blocked_reason": judged.refusal.message})
        if any(edit.path.startswith("/tool_calls/") for edit in judged.edits) and judged.action is Action.MASK:
            refusal = block_instead(judged, "LiteLLM cannot change a tool call")
            return json_answer(judged, {"action": "BLOCKED", "blocked_reason": refusal.message})
        if not judged.edits:
            return json_answer(judged, {"action": "NONE"})
        changed = orjson.loads(encode_edits(exchange.plain, judged.edits))
        body: dict[str, Any] = {"action": "GUARDRAIL_INTERVENED", "texts": changed.get("texts") or []}
        if any(edit.path.startswith("/tools/") for edit in judged.edits):
            body["tools"] = changed["tools"]
        return json_answer(judged, body)


def _texts(asked: Asked) -> list[Segment]:
    """The texts with the origin and message they have among the structured messages, by order; `user` where in none."""
    chat = ChatCodec().decode_request({"messages": asked.structured_messages}) if asked.structured_messages else []
    waiting: dict[str, list[Segment]] = {}
    for one in reversed(chat):
        waiting.setdefault(one.text, []).append(one)
    segments: list[Segment] = []
    for at, text in enumerate(asked.texts or []):
        known = waiting.get(text)
        found = known.pop() if known else Segment("", Origin.USER, text, message=f"/texts/{at}")
        path = f"/texts/{at}"
        segments.append(Segment(path, found.origin, text, role=found.role, message=found.message))
    return segments


def _tool_calls(calls: list[Any]) -> list[Segment]:
    """The texts of tool calls, at their place in LiteLLM's body."""
    if not calls:
        return []
    decoded = ChatCodec().decode_request({"messages": [{"role": "assistant", "tool_calls": calls}]})
    return [
        msgspec.structs.replace(one, path=one.path.removeprefix("/messages/0"), message="/tool_calls")
        for one in decoded
        if one.path.startswith(CALLS)
    ]
