"""OpenAI responses: `/v1/responses`, whole and streamed."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import (
    ORIGIN_OF_ROLE,
    as_object,
    error_body,
    model_of,
    streams,
    usage_of,
)

_REQUEST = frozenset({"model", "input", "instructions", "tools", "text", "tool_choice", "prompt", "stream", "include"})
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
_ITEM_OPAQUE = frozenset({"type", "id", "role", "status", "call_id", "encrypted_content"})


class ResponsesCodec:
    """Requests, answers and streams of responses."""

    protocol = "openai.responses"
    endpoint = "/v1/responses"

    def decode_request(self, body: object) -> list[Segment]:
        """Instructions, input as text or items, tools, formats, and every field nobody knows."""
        given = as_object(body)
        collector = Collector()
        collector.text("/instructions", given.get("instructions"), Origin.SYSTEM, "system", "/instructions")
        source = given.get("input")
        if isinstance(source, list):
            for at, item in enumerate(source):
                _collect_item(collector, f"/input/{at}", item, Origin.USER)
        else:
            collector.text("/input", source, Origin.USER, "user", "/input")
        for key in ("tools", "text", "tool_choice"):
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        if "prompt" in given:
            collector.walk("/prompt", given["prompt"], Origin.USER)
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """Every output item."""
        answer = as_object(body)
        collector = Collector()
        collect_response(collector, "", answer)
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return ResponsesStream()

    def refusal_body(self, refusal: Refusal) -> bytes:
        """OpenAI's error shape."""
        return error_body(refusal)

    def model(self, body: object) -> str:
        """The model asked for."""
        return model_of(body)

    def wants_stream(self, body: object) -> bool:
        """Whether `stream` is true."""
        return streams(body)

    def usage(self, body: object) -> Usage:
        """Token counts."""
        return usage_of(body)


def collect_response(collector: Collector, path: str, answer: dict[str, Any]) -> None:
    """A response object, wherever it stands: output first, then what it repeats of the request."""
    output = answer.get("output")
    for at, item in enumerate(output if isinstance(output, list) else ()):
        _collect_item(collector, f"{path}/output/{at}", item, Origin.ASSISTANT)
    origins = {"instructions": Origin.SYSTEM, "tools": Origin.TOOL_DEFINITION, "text": Origin.TOOL_DEFINITION}
    for key, value in answer.items():
        if key in ("output", "usage", "id", "object", "model", "status"):
            continue
        if type(value) in (str, dict, list):
            collector.walk(f"{path}/{pointer.escape(key)}", value, origins.get(key, Origin.ASSISTANT))


def _collect_item(collector: Collector, path: str, item: Any, default: Origin) -> None:
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
        if key in _ITEM_OPAQUE and isinstance(value, str):
            continue
        if key == "arguments":
            collector.json_text(place, value, Origin.TOOL_CALL, role, path)
        elif key == "output" and origin is Origin.TOOL_CALL:
            collector.walk(place, value, Origin.TOOL_RESULT, role, path)  # an mcp_call holds its own result
        elif type(value) in (str, dict, list):
            collector.walk(place, value, origin, role, path)


_DELTAS = {
    "response.output_text.delta": (Origin.ASSISTANT, False),
    "response.refusal.delta": (Origin.ASSISTANT, False),
    "response.function_call_arguments.delta": (Origin.TOOL_CALL, True),
    "response.mcp_call_arguments.delta": (Origin.TOOL_CALL, True),
    "response.custom_tool_call_input.delta": (Origin.TOOL_CALL, False),
    "response.reasoning_text.delta": (Origin.ASSISTANT, False),
    "response.reasoning_summary_text.delta": (Origin.ASSISTANT, False),
    "response.code_interpreter_call_code.delta": (Origin.TOOL_CALL, False),
    "response.audio.transcript.delta": (Origin.ASSISTANT, False),
}
_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})
_NUMBERS = ("output_index", "content_index", "summary_index")


class ResponsesStream:
    """One streamed response: a channel an output item and part. Sequence numbers stay without gaps."""

    def __init__(self) -> None:
        self._added = 0
        self._last_number = -1
        self._seen: dict[str, dict[str, Any]] = {}
        self._response: dict[str, Any] = {}

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        if not data or data == b"[DONE]":
            return Frame(raw, None, event, ends=bool(data))
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise WireError("not_json", "an event of the stream is not JSON") from error
        if not isinstance(body, dict):
            raise WireError("not_an_object", "an event of the stream is not a JSON object")
        kind = body.get("type", event)
        raw = self._numbered(raw, body)
        if isinstance(body.get("response"), dict):
            self._response = body["response"]
        if kind in _DELTAS and isinstance(body.get("delta"), str):
            origin, is_json = _DELTAS[kind]
            channel = _channel(kind, body)
            self._seen[channel] = body
            return Frame(raw, body, event, (Delta(channel, "/delta", origin, body["delta"], is_json),))
        collector = Collector()
        _collect_event(collector, kind, body)
        return Frame(
            raw, body, event, wholes=tuple(collector.segments), closes=self._closed_by(kind, body), ends=kind in _ENDS
        )

    def _numbered(self, raw: bytes, body: dict[str, Any]) -> bytes:
        """The event's bytes; numbered anew once frames of ours stand before it."""
        number = body.get("sequence_number")
        if type(number) is not int:
            return raw
        self._last_number = number + self._added
        if not self._added:
            return raw
        body["sequence_number"] = self._last_number
        return _event(body)

    def _closed_by(self, kind: str, body: dict[str, Any]) -> tuple[str, ...]:
        if kind.endswith(".done"):
            channel = _channel(kind.removesuffix(".done") + ".delta", body)
            if self._seen.pop(channel, None) is not None:
                return (channel,)
            index = body.get("output_index")
            if kind == "response.output_item.done":
                closed = tuple(name for name, seen in self._seen.items() if seen.get("output_index") == index)
                for name in closed:
                    del self._seen[name]
                return closed
        if kind in _ENDS:
            closed = tuple(self._seen)
            self._seen.clear()
            return closed
        return ()

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        assert isinstance(frame.body, dict)
        return _event(frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """A delta event that adds text to a channel, just before the one that closes it."""
        kind = channel.partition("|")[0]
        last = self._seen.get(channel, {})
        numbers = dict(part.split("=") for part in channel.split("|")[2:])
        body: dict[str, Any] = {
            **{key: value for key, value in last.items() if key not in ("delta", "logprobs", "obfuscation")},
            "type": kind,
            "item_id": channel.split("|")[1],
            **{name: int(value) for name, value in numbers.items()},
            "delta": text,
        }
        if kind == "response.output_text.delta":
            body["logprobs"] = []
        # it takes the number of the event it is put before; that one and all after it move up by one
        body["sequence_number"] = self._last_number
        self._added += 1
        self._last_number += 1
        return _event(body)

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends the response as incomplete for `content_filter`; a fault fails it."""
        self._last_number += 1
        response = {"id": "resp_sigmaguard", "object": "response", "created_at": 0, "model": "", **self._response}
        response["output"] = []
        if refusal.kind == "sigmaguard_blocked":
            kind = "response.incomplete"
            response.update(status="incomplete", incomplete_details={"reason": "content_filter"})
        else:
            kind = "response.failed"
            response.update(status="failed", error={"code": "server_error", "message": refusal.message})
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        return _event({"type": kind, "sequence_number": self._last_number, "response": response, "sigmaguard": details})


def _channel(kind: str, body: dict[str, Any]) -> str:
    numbers = [f"{name}={body[name]}" for name in _NUMBERS if type(body.get(name)) is int]
    return "|".join([kind, str(body.get("item_id", "")), *numbers])


def _collect_event(collector: Collector, kind: str, body: dict[str, Any]) -> None:
    response = body.get("response")
    if isinstance(response, dict):
        collect_response(collector, "/response", response)
    item = body.get("item")
    if isinstance(item, dict):
        _collect_item(collector, "/item", item, Origin.ASSISTANT)
    is_call = "arguments" in kind or "_call" in kind
    for key, value in body.items():
        if key in ("response", "item", "type", "item_id", "obfuscation") or type(value) not in (str, dict, list):
            continue
        place = f"/{pointer.escape(key)}"
        if key == "arguments":
            collector.json_text(place, value, Origin.TOOL_CALL)
        else:
            collector.walk(place, value, Origin.TOOL_CALL if is_call else Origin.ASSISTANT)


def _event(body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(body.get("type", "")).encode(), orjson.dumps(body))
