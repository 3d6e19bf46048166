"""Anthropic messages: `/v1/messages` (whole and streamed) and `/v1/messages/count_tokens`."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire import anthropic_shared, pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import as_object, collect_error, model_of, streams

_REQUEST = frozenset(
    {
        *("model", "messages", "system", "tools", "tool_choice", "max_tokens", "stream", "temperature", "top_p"),
        *("top_k", "thinking", "service_tier"),
    }
)
_ANSWER = frozenset({"id", "type", "role", "model", "content", "stop_reason", "usage", "error"})
_ORIGIN_OF_BLOCK = {
    "tool_use": Origin.TOOL_CALL,
    "server_tool_use": Origin.TOOL_CALL,
    "mcp_tool_use": Origin.TOOL_CALL,
    "tool_result": Origin.TOOL_RESULT,
    "mcp_tool_result": Origin.TOOL_RESULT,
    "web_search_tool_result": Origin.TOOL_RESULT,
    "web_fetch_tool_result": Origin.TOOL_RESULT,
    "code_execution_tool_result": Origin.TOOL_RESULT,
    "bash_code_execution_tool_result": Origin.TOOL_RESULT,
    "document": Origin.DOCUMENT,
    "search_result": Origin.DOCUMENT,
}
_BLOCK_OPAQUE = frozenset({"type", "id", "tool_use_id", "signature", "cache_control", "media_type", "file_id"})


class MessagesCodec:
    """Requests, answers and streams of messages."""

    protocol = "anthropic.messages"

    def __init__(self, endpoint: str = "/v1/messages") -> None:
        self.endpoint = endpoint

    def decode_request(self, body: object) -> list[Segment]:
        """System prompt, messages with all their blocks, tools, and every field nobody knows."""
        given = as_object(body)
        collector = Collector()
        system = given.get("system")
        if isinstance(system, str):
            collector.text("/system", system, Origin.SYSTEM, "system", "/system")
        elif system is not None:
            collector.walk("/system", system, Origin.SYSTEM, "system", "/system")
        messages = given.get("messages")
        for at, message in enumerate(messages if isinstance(messages, list) else ()):
            _collect_message(collector, f"/messages/{at}", message)
        for key in ("tools", "tool_choice"):
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """Every block of the answer, thinking and tool input included."""
        answer = as_object(body)
        collector = Collector()
        content = answer.get("content")
        for at, block in enumerate(content if isinstance(content, list) else ()):
            _collect_block(collector, f"/content/{at}", block, Origin.ASSISTANT, "assistant", "")
        collector.rest(answer, _ANSWER, Origin.ASSISTANT)
        collect_error(collector, answer)
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return MessagesStream()

    def refusal_body(self, refusal: Refusal) -> bytes:
        """Anthropic's error shape."""
        return anthropic_shared.error_body(refusal)

    def model(self, body: object) -> str:
        """The model asked for."""
        return model_of(body)

    def wants_stream(self, body: object) -> bool:
        """Whether `stream` is true."""
        return streams(body)

    def usage(self, body: object) -> Usage:
        """Token counts."""
        return anthropic_shared.usage_of(body)


def _collect_message(collector: Collector, path: str, message: Any) -> None:
    if not isinstance(message, dict):
        collector.text(path, message, Origin.USER)
        return
    role = message.get("role")
    role = role if isinstance(role, str) else "user"
    origin = Origin.ASSISTANT if role == "assistant" else Origin.SYSTEM if role == "system" else Origin.USER
    content = message.get("content")
    if isinstance(content, list):
        for at, block in enumerate(content):
            _collect_block(collector, f"{path}/content/{at}", block, origin, role, path)
    else:
        collector.text(f"{path}/content", content, origin, role, path)
    for key, value in message.items():
        if key not in ("role", "content") and type(value) in (str, dict, list):
            collector.walk(f"{path}/{pointer.escape(key)}", value, origin, role, path)


def _collect_block(collector: Collector, path: str, block: Any, origin: Origin, role: str, message: str) -> None:
    if not isinstance(block, dict):
        collector.text(path, block, origin, role, message)
        return
    kind = block.get("type")
    if kind == "redacted_thinking":
        return  # encrypted by the provider: nobody but it can read or write it
    origin = _ORIGIN_OF_BLOCK.get(kind, origin) if isinstance(kind, str) else origin
    for key, value in block.items():
        place = f"{path}/{pointer.escape(key)}"
        if key in _BLOCK_OPAQUE and isinstance(value, str):
            continue
        if key == "input":
            collector.walk(place, value, Origin.TOOL_CALL, role, message, frozenset())
        elif key == "content" and isinstance(value, list):
            for at, inner in enumerate(value):
                _collect_block(collector, f"{place}/{at}", inner, origin, role, message)
        elif type(value) in (str, dict, list):
            collector.walk(place, value, origin, role, message)


class MessagesStream:
    """One streamed message: a channel a content block."""

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}
        self._open: set[int] = set()

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        if not data:
            return Frame(raw, None, event)
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise WireError("not_json", "an event of the stream is not JSON") from error
        if not isinstance(body, dict):
            raise WireError("not_an_object", "an event of the stream is not a JSON object")
        kind = body.get("type", event)
        index = body.get("index", 0)
        match kind:
            case "content_block_delta":
                return self._delta(raw, body, event, index)
            case "content_block_start":
                self._open.add(index)
                collector = Collector()
                _collect_block(
                    collector, "/content_block", body.get("content_block"), Origin.ASSISTANT, "assistant", ""
                )
                return Frame(raw, body, event, wholes=tuple(collector.segments))
            case "content_block_stop":
                self._open.discard(index)
                return Frame(raw, body, event, closes=self._channels(index))
            case "message_stop":
                return Frame(raw, body, event, ends=True)
            case "error":
                collector = Collector()
                collect_error(collector, body)
                return Frame(raw, body, event, wholes=tuple(collector.segments), ends=True)
            case "message_start" | "ping" | "message_delta":
                return Frame(raw, body, event)
            case _:
                collector = Collector()
                collector.walk("", body, Origin.ASSISTANT, "assistant")
                return Frame(raw, body, event, wholes=tuple(collector.segments))

    def _delta(self, raw: bytes, body: dict[str, Any], event: str, index: int) -> Frame:
        delta = body.get("delta")
        if not isinstance(delta, dict):
            return Frame(raw, body, event)
        deltas: list[Delta] = []
        wholes: list[Segment] = []
        for key, value in delta.items():
            if key in ("type", "signature"):
                continue
            path = f"/delta/{pointer.escape(key)}"
            if key == "partial_json" and isinstance(value, str):
                self._kinds[index] = key
                deltas.append(Delta(f"{index}/{key}", path, Origin.TOOL_CALL, value, True))
            elif isinstance(value, str):
                self._kinds[index] = key
                deltas.append(Delta(f"{index}/{key}", path, Origin.ASSISTANT, value))
            else:
                collector = Collector()
                collector.walk(path, value, Origin.DOCUMENT)
                wholes += collector.segments
        return Frame(raw, body, event, tuple(deltas), tuple(wholes))

    def _channels(self, index: int) -> tuple[str, ...]:
        return (f"{index}/{self._kinds[index]}",) if index in self._kinds else ()

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        return _event(frame.event, frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text to a block."""
        index, _, key = channel.partition("/")
        kind = {"text": "text_delta", "partial_json": "input_json_delta", "thinking": "thinking_delta"}.get(key, key)
        delta = {"type": kind, key: text}
        return _event("content_block_delta", {"type": "content_block_delta", "index": int(index), "delta": delta})

    def refuse(self, refusal: Refusal) -> bytes:
        """Open blocks are closed, then the message stops with `refusal`; a fault is an error event."""
        if refusal.kind != "sigmaguard_blocked":
            return b"event: error\ndata: " + anthropic_shared.error_body(refusal) + b"\n\n"
        pieces = [
            _event("content_block_stop", {"type": "content_block_stop", "index": index}) for index in sorted(self._open)
        ]
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        stop = {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_sequence": None},
            "usage": {"output_tokens": 0},
            "sigmaguard": details,
        }
        pieces += (_event("message_delta", stop), _event("message_stop", {"type": "message_stop"}))
        return b"".join(pieces)


def _event(name: str, body: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(body))
