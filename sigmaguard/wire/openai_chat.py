"""OpenAI chat completions: `/v1/chat/completions`, whole and streamed."""

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
    collect_error,
    error_body,
    model_of,
    streams,
    usage_of,
)

_REQUEST = frozenset(
    {
        *("model", "messages", "tools", "functions", "response_format", "prediction", "stream", "stream_options"),
        *("service_tier", "reasoning_effort", "verbosity", "modalities", "tool_choice", "function_call", "store"),
        *("logit_bias", "prompt_cache_retention", "web_search_options"),
    }
)
_ANSWER = frozenset(
    {"id", "object", "model", "created", "choices", "usage", "system_fingerprint", "service_tier", "error"}
)
_MESSAGE = frozenset({"role", "content", "tool_calls", "function_call", "tool_call_id"})


class ChatCodec:
    """Requests, answers and streams of chat completions."""

    protocol = "openai.chat"
    endpoint = "/v1/chat/completions"

    def decode_request(self, body: object) -> list[Segment]:
        """Messages, tool definitions, schemas, predictions, and every field nobody knows."""
        given = as_object(body)
        collector = Collector()
        messages = given.get("messages")
        if isinstance(messages, list):
            for at, message in enumerate(messages):
                collect_message(collector, f"/messages/{at}", message, Origin.USER)
        elif messages is not None:
            collector.walk("/messages", messages, Origin.USER)
        for key in ("tools", "functions", "response_format", "tool_choice", "function_call", "web_search_options"):
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        if "prediction" in given:
            collector.walk("/prediction", given["prediction"], Origin.ASSISTANT, "assistant")
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """All choices, with their tool calls, reasoning, refusals and annotations."""
        answer = as_object(body)
        collector = Collector()
        choices = answer.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if not isinstance(choice, dict):
                continue
            if "message" in choice:
                collect_message(collector, f"/choices/{at}/message", choice["message"], Origin.ASSISTANT)
            for key, value in choice.items():
                if key not in ("message", "index", "finish_reason"):
                    collector.walk(f"/choices/{at}/{pointer.escape(key)}", value, Origin.ASSISTANT, "assistant")
        collector.rest(answer, _ANSWER, Origin.ASSISTANT)
        collect_error(collector, answer)
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return ChatStream()

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


def collect_message(collector: Collector, path: str, message: Any, default: Origin) -> None:
    """One message: its content, tool calls, and whatever else it carries."""
    if not isinstance(message, dict):
        collector.text(path, message, default)
        return
    role = message.get("role")
    role = role if isinstance(role, str) else ""
    origin = ORIGIN_OF_ROLE.get(role, default)
    content = message.get("content")
    if type(content) is str:
        if content:
            collector.segments.append(Segment(path + "/content", origin, content, role, path))
    elif content is not None:
        collector.walk(path + "/content", content, origin, role, path)
    if len(message) <= 2 and content is not None:
        return
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for at, call in enumerate(calls):
            collect_call(collector, f"{path}/tool_calls/{at}", call, role, path)
    if "function_call" in message:
        _collect_function(collector, f"{path}/function_call", message["function_call"], role, path)
    for key, value in message.items():
        if key not in _MESSAGE and type(value) in (str, dict, list):
            collector.walk(f"{path}/{pointer.escape(key)}", value, origin, role, path)


def collect_call(collector: Collector, path: str, call: Any, role: str, message: str) -> None:
    """One tool call: name and arguments."""
    if not isinstance(call, dict):
        collector.text(path, call, Origin.TOOL_CALL, role, message)
        return
    for key, value in call.items():
        if key in ("function", "custom"):
            _collect_function(collector, f"{path}/{key}", value, role, message)
        elif key not in ("id", "type", "index"):
            collector.walk(f"{path}/{pointer.escape(key)}", value, Origin.TOOL_CALL, role, message)


def _collect_function(collector: Collector, path: str, function: Any, role: str, message: str) -> None:
    if not isinstance(function, dict):
        collector.text(path, function, Origin.TOOL_CALL, role, message)
        return
    for key, value in function.items():
        if key == "arguments":
            collector.json_text(path + "/arguments", value, Origin.TOOL_CALL, role, message)
        else:
            collector.walk(f"{path}/{pointer.escape(key)}", value, Origin.TOOL_CALL, role, message, frozenset())


class ChatStream:
    """One streamed answer: a channel a choice and kind of text, and one a tool call."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._open: dict[int, set[str]] = {}

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """A chunk's fragments. Raises WireError where the data is not JSON."""
        if not data or data == b"[DONE]":
            closes = tuple(name for names in self._open.values() for name in sorted(names)) if data else ()
            if data:
                self._open.clear()
            return Frame(raw, None, event, closes=closes, ends=bool(data))
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise WireError("not_json", "a chunk of the stream is not JSON") from error
        if not isinstance(body, dict):
            raise WireError("not_an_object", "a chunk of the stream is not a JSON object")
        deltas: list[Delta] = []
        wholes: list[Segment] = []
        closes_now: list[str] = []
        choices = body.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                self._choice(at, choice, deltas, wholes, closes_now)
                self._last = body
        if "error" in body:
            collector = Collector()
            collect_error(collector, body)
            wholes += collector.segments
        return Frame(raw, body, event, tuple(deltas), tuple(wholes), tuple(closes_now))

    def _choice(
        self, at: int, choice: dict[str, Any], deltas: list[Delta], wholes: list[Segment], closes: list[str]
    ) -> None:
        index = choice.get("index", at)
        names = self._open.setdefault(index, set())
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for key, value in delta.items():
                path = f"/choices/{at}/delta/{pointer.escape(key)}"
                if key == "role" or value is None:
                    continue
                if key == "tool_calls" and isinstance(value, list):
                    self._calls(path, index, value, deltas, wholes)
                elif type(value) is str:
                    if value:
                        deltas.append(Delta(f"{index}/{key}", path, Origin.ASSISTANT, value))
                else:
                    collector = Collector()
                    collector.walk(path, value, Origin.ASSISTANT, "assistant")
                    wholes += collector.segments
            names.update(one.channel for one in deltas if one.channel.startswith(f"{index}/"))
        logprobs = choice.get("logprobs")
        if logprobs:
            collector = Collector()
            collector.walk(f"/choices/{at}/logprobs", logprobs, Origin.ASSISTANT, "assistant")
            wholes += collector.segments
        if choice.get("finish_reason") is not None:
            closes += sorted(names)
            names.clear()

    def _calls(self, path: str, index: int, calls: list[Any], deltas: list[Delta], wholes: list[Segment]) -> None:
        for at, call in enumerate(calls):
            if not isinstance(call, dict):
                continue
            number = call.get("index", at)
            function = call.get("function")
            if isinstance(function, dict):
                arguments, name = function.get("arguments"), function.get("name")
                if isinstance(arguments, str) and arguments:
                    place = f"{path}/{at}/function/arguments"
                    deltas.append(Delta(f"{index}/call/{number}", place, Origin.TOOL_CALL, arguments, True))
                if isinstance(name, str) and name:
                    wholes.append(Segment(f"{path}/{at}/function/name", Origin.TOOL_CALL, name, "assistant"))

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The chunk with these strings replaced."""
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        return _event(frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """A chunk that adds text to a channel."""
        index, _, kind = channel.partition("/")
        if kind.startswith("call/"):
            delta: dict[str, Any] = {"tool_calls": [{"index": int(kind[5:]), "function": {"arguments": text}}]}
        else:
            delta = {kind: text}
        return _event(self._chunk(int(index), delta, None))

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends every choice with `content_filter`; a fault is an error event, which SDKs raise."""
        if refusal.kind != "sigmaguard_blocked":
            return b"data: " + error_body(refusal) + b"\n\ndata: [DONE]\n\n"
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        pieces = []
        for index in sorted(self._open) or [0]:
            chunk = self._chunk(index, {}, "content_filter")
            chunk["sigmaguard"] = details
            pieces.append(_event(chunk))
        return b"".join(pieces) + b"data: [DONE]\n\n"

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        known = {key: value for key, value in self._last.items() if key not in ("choices", "usage", "sigmaguard")}
        base = {"id": "chatcmpl-sigmaguard", "object": "chat.completion.chunk", "created": 0, "model": "", **known}
        return {**base, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def _event(body: object) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
