"""OpenAI chat completions as a stream: chunks with deltas of every choice. Knows no whole bodies."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.delta_places import DeltaPlaces, Found, PlacedStream
from sigmaguard.wire.fields import Collector, may_hide
from sigmaguard.wire.opaque import is_word
from sigmaguard.wire.openai_shared import collect_error, error_body, number_of, parse_event
from sigmaguard.wire.sse_fields import read_lines

_CHUNK = frozenset({"id", "object", "model", "created", "choices", "system_fingerprint", "service_tier", "error"}) | {
    "obfuscation"
}
_PLAIN_CHUNK = (_CHUNK - {"error"}) | {"usage"}
_PLAIN = "/choices/0/delta/content"
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_QUIET = frozenset({"role", "tool_calls", "function_call", "audio", "call", "custom", "at"})  # the last: our channels
# Complete in the chunk that brings them: clients list them one by one, and half an address serves nobody.
_COMPLETE = frozenset({"annotations", "citations", "images"})
_FIELDS = frozenset({"content", "reasoning", "reasoning_content", "refusal"})  # the texts providers send
_PART_CHARS = 1024  # of a function's name that are kept: its parts are looked at together
_PARTED = 512  # of functions and of texts in annotations that have an index, in one stream
_OWN = frozenset({"choices", "usage", "sigmaguard", "obfuscation", "error"})  # of a chunk, never repeated in ours


class ChatStream(PlacedStream):
    """One streamed answer: a channel a choice and kind of text, and one a tool call.

    Channels: `0/content`, `0/refusal`, any other string of a delta, `0/call/1` (arguments),
    `0/custom/1` (a custom tool's input), `0/function_call`, `0/audio` (the transcript), and
    `0/at/a/#/b` for the text at a place of a nested field. A function's name is never held back, since
    clients act on the chunk that brings it: what has come of it so far is looked at again with every part.
    """

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._open: dict[int, set[str]] = {}
        self._finished: set[int] = set()
        super().__init__(DeltaPlaces())
        self._parts: dict[str, str] = {}  # by channel: the end of what has come of a text that is never held back
        self._before: dict[str, str] = {}  # by pointer: what has left of such a text before this frame's part

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """A chunk's fragments. Raises WireError where the data is not JSON, or has text at too many places."""
        raw, event = read_lines(raw, event)
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
        self._before.clear()
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
            found = Found(str(index), delta, f"/choices/{at}/delta", deltas, collector)
            for key in delta:
                if delta[key] is not None and delta[key] != "":
                    self._field(index, key, delta, f"/choices/{at}/delta", found)
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

    def _field(self, index: int, key: str, delta: dict[str, Any], at: str, found: Found) -> None:
        value, path = delta[key], f"{at}/{pointer.escape(key)}"
        if type(value) is str and (key in _FIELDS or not (key in _QUIET or may_hide(key))):
            found.deltas.append(Delta(f"{index}/{key}", path, Origin.ASSISTANT, value))
        elif key == "tool_calls" and isinstance(value, list):
            for number, call in enumerate(value):
                self._call(f"{path}/{number}", number, call, found)
        elif key == "function_call" and isinstance(value, dict):
            self._function(f"{index}/function_call", path, value, found)
        elif key == "audio" and isinstance(value, dict):
            self._audio(path, value, found)
        elif key in _COMPLETE and isinstance(value, list):
            for number, entry in enumerate(value):
                self._entry(f"{index}/{key}", f"{path}/{number}", entry, found.collector)
        elif key != "role" or type(value) is not str or not is_word(value):
            self._places.collect(found, at, {key: value}, Origin.ASSISTANT)

    def _entry(self, channel: str, path: str, entry: Any, collector: Collector) -> None:
        """One entry that comes complete. SDKs put the texts of entries with the same `index` together."""
        first = len(collector.segments)
        collector.walk(path, entry, Origin.ASSISTANT, "assistant")
        index = entry.get("index") if isinstance(entry, dict) else None
        if type(index) is int:
            for at, one in enumerate(collector.segments[first:], first):
                text = self._with_before(f"{channel}/{index}{one.path[len(path) :]}", one.path, one.text)
                collector.segments[at] = msgspec.structs.replace(one, text=text)

    def _audio(self, path: str, audio: dict[str, Any], found: Found) -> None:
        for key, value in audio.items():
            if key == "transcript" and isinstance(value, str):
                found.deltas.append(Delta(f"{found.prefix}/audio", f"{path}/{key}", Origin.ASSISTANT, value))
            elif key == "data":
                found.collector.walk(path, {key: value}, Origin.ASSISTANT, "assistant")
            else:
                self._places.collect(found, path, {key: value}, Origin.ASSISTANT)

    def _call(self, path: str, at: int, call: Any, found: Found) -> None:
        if not isinstance(call, dict):
            self._places.collect(found, path, call, Origin.TOOL_CALL)
            return
        number = number_of(call.get("index"), at)
        for key, value in call.items():
            if key in ("function", "custom") and isinstance(value, dict):
                kind = "call" if key == "function" else key
                self._function(f"{found.prefix}/{kind}/{number}", f"{path}/{key}", value, found)
            else:
                self._places.collect(found, path, {key: value}, Origin.TOOL_CALL)

    def _function(self, channel: str, path: str, function: dict[str, Any], found: Found) -> None:
        for key, value in function.items():
            place = f"{path}/{pointer.escape(key)}"
            if key in ("arguments", "input") and isinstance(value, str):
                if value:
                    found.deltas.append(Delta(channel, place, Origin.TOOL_CALL, value, key == "arguments"))
            elif key == "name" and type(value) is str:
                if value:
                    text = self._with_before(channel, place, value)
                    found.collector.segments.append(Segment(place, Origin.TOOL_CALL, text, "assistant"))
            else:
                self._places.collect(found, path, {key: value}, Origin.TOOL_CALL)

    def _with_before(self, channel: str, path: str, part: str) -> str:
        """What has come of a text that is never held back, with this part; one that is repeated whole adds nothing."""
        before = self._parts.get(channel, "")
        if part == before:
            return part
        if channel not in self._parts and len(self._parts) >= _PARTED:
            message = f"the stream has over {_PARTED} functions and indexed annotations; ask for fewer at a time"
            raise WireError("too_many_calls", message)
        self._parts[channel] = (before + part)[-_PART_CHARS:]
        if before:
            self._before[path] = before
        return before + part

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The chunk with these strings replaced."""
        if frame.plain:
            choice = frame.body["choices"][0]  # type: ignore[index]  # it is plain
            choice["delta"]["content"] = texts[_PLAIN]
            if choice.get("logprobs"):
                choice["logprobs"] = [] if isinstance(choice["logprobs"], list) else None
            return _event(frame.body)
        self._places.leave(frame, texts)
        for path, text in texts.items():
            # of a text that was looked at with its beginning, only the rest belongs into this chunk
            pointer.put(frame.body, path, text.removeprefix(self._before.get(path, "")))
            pointer.clear_beside(frame.body, path, "logprobs")
        return _event(frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """A chunk that adds text to a channel."""
        index, _, kind = channel.partition("/")
        wrapped = self._places.wrapped(channel, text)
        if wrapped is not None:
            return b"" if not wrapped else _event(self._chunk(int(index), wrapped, None))
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


def _event(body: object) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
