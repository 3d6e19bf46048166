"""OpenAI chat completions as a stream: chunks with deltas of every choice. Knows no whole bodies."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.opaque import is_word
from sigmaguard.wire.openai_shared import collect_error, error_body, number_of, parse_event
from sigmaguard.wire.stream_shape import Shape, shape_of

_CHUNK = frozenset({"id", "object", "model", "created", "choices", "system_fingerprint", "service_tier", "error"}) | {
    "obfuscation"
}
_PLAIN_CHUNK = (_CHUNK - {"error"}) | {"usage"}
_PLAIN = "/choices/0/delta/content"
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_QUIET = frozenset({"role", "tool_calls", "function_call", "audio"})
_OWN = frozenset({"choices", "usage", "sigmaguard", "obfuscation", "error"})  # of a chunk, never repeated in ours


class ChatStream:
    """One streamed answer: a channel a choice and kind of text, and one a tool call.

    Channels: `0/content`, `0/refusal`, any other string of a delta, `0/call/1` (arguments),
    `0/custom/1` (a custom tool's input), `0/function_call`, `0/audio` (the transcript).
    """

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._open: dict[int, set[str]] = {}
        self._finished: set[int] = set()

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """A chunk's fragments. Raises WireError where the data is not JSON."""
        if not data:
            return Frame(raw, None, event)
        if data == b"[DONE]":
            closes = tuple(name for names in self._open.values() for name in sorted(names))
            self._open.clear()
            return Frame(raw, None, event, closes=closes, ends=True)
        body = parse_event(data)
        plain = _plain(body)
        if plain is not None:
            # nearly every frame of nearly every stream: nothing but a little more of one text
            self._last = body
            self._open.setdefault(plain[0], set()).add(plain[1].channel)
            return Frame(raw, body, event, plain[1:], plain=True)
        deltas: list[Delta] = []
        closes_now: list[str] = []
        collector = Collector()
        choices = body.get("choices")
        if isinstance(choices, list):
            for at, choice in enumerate(choices):
                if isinstance(choice, dict):
                    self._choice(at, choice, deltas, collector, closes_now)
                else:
                    collector.walk(f"/choices/{at}", choice, Origin.ASSISTANT, "assistant")
            if choices:
                self._last = body
        else:
            collector.walk("/choices", choices, Origin.ASSISTANT, "assistant")
        collector.rest(body, _CHUNK, Origin.ASSISTANT)
        if "error" in body:
            collect_error(collector, body)
        return Frame(raw, body, event, tuple(deltas), tuple(collector.segments), tuple(closes_now))

    def _choice(
        self, at: int, choice: dict[str, Any], deltas: list[Delta], collector: Collector, closes: list[str]
    ) -> None:
        index = number_of(choice.get("index"), at)
        names = self._open.setdefault(index, set())
        delta = choice.get("delta")
        if isinstance(delta, dict):
            before = len(deltas)
            for key, value in delta.items():
                if value is None or value == "":
                    continue
                self._field(index, key, value, f"/choices/{at}/delta/{pointer.escape(key)}", deltas, collector)
            names.update(one.channel for one in deltas[before:])
        elif delta is not None:
            collector.walk(f"/choices/{at}/delta", delta, Origin.ASSISTANT, "assistant")
        for key, value in choice.items():
            if key not in _CHOICE and value is not None:
                collector.walk(f"/choices/{at}", {key: value}, Origin.ASSISTANT, "assistant")
        if choice.get("finish_reason") is not None:
            closes += sorted(names)
            names.clear()
            self._finished.add(index)

    def _field(self, index: int, key: str, value: Any, path: str, deltas: list[Delta], collector: Collector) -> None:
        if type(value) is str and key not in _QUIET and "/" not in key:
            deltas.append(Delta(f"{index}/{key}", path, Origin.ASSISTANT, value))
        elif key == "tool_calls" and isinstance(value, list):
            for at, call in enumerate(value):
                self._call(index, at, call, f"{path}/{at}", deltas, collector)
        elif key == "function_call" and isinstance(value, dict):
            _function(f"{index}/function_call", value, path, deltas, collector)
        elif key == "audio" and isinstance(value, dict):
            for inner, text in value.items():
                place = f"{path}/{pointer.escape(inner)}"
                if inner == "transcript" and isinstance(text, str):
                    deltas.append(Delta(f"{index}/audio", place, Origin.ASSISTANT, text))
                else:
                    collector.walk(path, {inner: text}, Origin.ASSISTANT, "assistant")
        elif key != "role" or type(value) is not str or not is_word(value):
            collector.walk(path, value, Origin.ASSISTANT, "assistant")

    def _call(self, index: int, at: int, call: Any, path: str, deltas: list[Delta], collector: Collector) -> None:
        if not isinstance(call, dict):
            collector.walk(path, call, Origin.TOOL_CALL)
            return
        number = number_of(call.get("index"), at)
        for key, value in call.items():
            place = f"{path}/{pointer.escape(key)}"
            if key == "function" and isinstance(value, dict):
                _function(f"{index}/call/{number}", value, place, deltas, collector)
            elif key == "custom" and isinstance(value, dict):
                _function(f"{index}/custom/{number}", value, place, deltas, collector)
            else:
                collector.walk(path, {key: value}, Origin.TOOL_CALL)

    def shape(self, frame: Frame, data: bytes) -> Shape | None:
        """The shape of the chunks that only add text."""
        return shape_of(frame, data)

    def ran(self, number: int) -> None:
        """Nothing is numbered here."""

    def keep(self, frame: Frame) -> bytes:
        """The chunk as it came."""
        return frame.raw

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The chunk with these strings replaced."""
        if frame.plain:
            choice = frame.body["choices"][0]  # type: ignore[index]  # it is plain
            choice["delta"]["content"] = texts[_PLAIN]
            if choice.get("logprobs"):
                choice["logprobs"] = [] if isinstance(choice["logprobs"], list) else None
            return _event(frame.body)
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
            pointer.clear_beside(frame.body, path, "logprobs")
        return _event(frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """A chunk that adds text to a channel."""
        index, _, kind = channel.partition("/")
        kind, _, number = kind.partition("/")
        delta: dict[str, Any]
        match kind:
            case "call":
                delta = {"tool_calls": [{"index": int(number), "function": {"arguments": text}}]}
            case "custom":
                delta = {"tool_calls": [{"index": int(number), "custom": {"input": text}}]}
            case "function_call":
                delta = {"function_call": {"arguments": text}}
            case "audio":
                delta = {"audio": {"transcript": text}}
            case _:
                delta = {kind: text}
        return _event(self._chunk(int(index), delta, None))

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends every choice with `content_filter`; a fault is an error event, which SDKs raise."""
        if refusal.kind != "sigmaguard_blocked":
            return b"data: " + error_body(refusal) + b"\n\ndata: [DONE]\n\n"
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        pieces = []
        for index in sorted(self._open.keys() - self._finished) or [0]:
            chunk = self._chunk(index, {}, "content_filter")
            chunk["sigmaguard"] = details
            pieces.append(_event(chunk))
        return b"".join(pieces) + b"data: [DONE]\n\n"

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        known = {key: value for key, value in self._last.items() if key not in _OWN}
        base = {"id": "chatcmpl-sigmaguard", "object": "chat.completion.chunk", "created": 0, "model": "", **known}
        return {**base, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def _plain(body: Any) -> tuple[int, Delta] | None:
    """The index and the one fragment of a chunk that does nothing but add to one choice's `content`."""
    choices = body.get("choices")
    if type(choices) is not list or len(choices) != 1 or not body.keys() <= _PLAIN_CHUNK or body.get("usage"):
        return None
    choice = choices[0]
    if type(choice) is not dict or choice.get("finish_reason") is not None or not choice.keys() <= _CHOICE:
        return None
    delta, index = choice.get("delta"), choice.get("index")
    if type(delta) is not dict or type(index) is not int or index < 0:
        return None
    text = delta.get("content")
    if type(text) is not str or not text:
        return None
    if len(delta) > 1 and not all(
        key == "content" or value is None or value == "" or (key == "role" and value == "assistant")
        for key, value in delta.items()
    ):
        return None
    return index, Delta(f"{index}/content", _PLAIN, Origin.ASSISTANT, text)


def _function(channel: str, function: dict[str, Any], path: str, deltas: list[Delta], collector: Collector) -> None:
    for key, value in function.items():
        place = f"{path}/{pointer.escape(key)}"
        if key in ("arguments", "input") and isinstance(value, str):
            if value:
                deltas.append(Delta(channel, place, Origin.TOOL_CALL, value, key == "arguments"))
        elif type(value) is str:
            if value:
                collector.segments.append(Segment(place, Origin.TOOL_CALL, value, "assistant"))
        else:
            collector.walk(place, value, Origin.TOOL_CALL, "assistant")


def _event(body: object) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
