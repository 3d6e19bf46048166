"""Streams of a protocol nobody told us: server-sent events or lines, of JSON or of plain text.

Every string is a piece of the text at its place (`delta_places`), whatever the events are called, so a secret in
pieces is seen. What this cannot do: a stream whose every event repeats the text so far reads as if each added to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson

from sigmaguard.errors import WireError
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.delta_places import DeltaPlaces, Found, PlacedStream, place
from sigmaguard.wire.errors import error_body
from sigmaguard.wire.fields import OPAQUE_KEYS, Collector
from sigmaguard.wire.generic_fields import answer_texts, is_opaque_here
from sigmaguard.wire.sse_fields import read_lines
from sigmaguard.wire.stream_shape import Shape

_DONE = b"[DONE]"
_BARE = "text"  # the key under which a frame's body holds what is no JSON object
# Fields whose value says that nothing is added to the texts beside and below them any more
_FINISHED = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
_LAST = ("done", "is_finished")  # Ollama's, and Cohere's first version's
_NAMES = ("type", "event", "event_type")
_ENDINGS = ("end", "stop", "done", "complete", "completed", "finished")


class _Form(msgspec.Struct, frozen=True):
    """What an event's data is: JSON or plain text, and whether it is an object."""

    is_json: bool = True
    is_object: bool = True


class GenericStream(PlacedStream):
    """One stream; a channel is a place in its events."""

    def __init__(self, *, is_lines: bool = False, anthropic: bool = False) -> None:
        self._is_lines = is_lines
        self._anthropic = anthropic
        super().__init__(DeltaPlaces(_beside))
        self._open: dict[str, None] = {}  # in the order they began in
        self._forms: dict[str, tuple[str, _Form]] = {}  # how a channel's text came: the event's name, and its data
        self._form = _Form()

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event or line. Raises WireError where its data is not UTF-8 or has text at too many places."""
        if not self._is_lines:
            raw, event = read_lines(raw, event)
        if not data.strip():
            return Frame(raw, None, event)
        if data.strip() == _DONE:
            return Frame(raw, None, event, closes=self._closed("", ()), ends=True)
        body = self._read(data)
        deltas: list[Delta] = []
        keys = Collector()
        self._places.add(Found("", body, "", deltas, keys), answer_texts(body))
        for one in deltas:
            self._open[one.channel] = None
            self._forms[one.channel] = event, self._form
        is_last = any(body.get(key) is True for key in _LAST)
        closes: tuple[str, ...] = ()
        if is_last or _is_ending(event) or any(_is_ending(body.get(key)) for key in _NAMES):
            closes = self._closed("", ())
        else:
            for path in _finished(body, ""):
                closes = self._closed(place(body, path), closes)
        return Frame(raw, body, event, tuple(deltas), tuple(keys.segments), closes, is_last)

    def _read(self, data: bytes) -> dict[str, Any]:
        try:
            value, is_json = orjson.loads(data), True
        except orjson.JSONDecodeError:
            try:
                value, is_json = data.decode(), False
            except UnicodeDecodeError as error:
                raise WireError("not_utf8", "an event of the stream is not UTF-8") from error
        self._form = _Form(is_json, isinstance(value, dict))
        return value if isinstance(value, dict) else {_BARE: value}

    def _closed(self, name: str, before: tuple[str, ...]) -> tuple[str, ...]:
        """The channels at and below a place: nothing is open there any more."""
        inside = f"/at/{name}/" if name else "/at/"
        found = [one for one in self._open if one.startswith(inside)]
        for one in found:
            del self._open[one]
        return (*before, *found)

    def shape(self, frame: Frame, data: bytes) -> Shape | None:
        """The shape of the events that only add text."""
        return super().shape(frame, data) if self._form.is_object and not self._is_lines else None

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        self._places.leave(frame, texts)
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
            pointer.clear_beside(frame.body, path, "logprobs")
        return self._written(frame.event, self._form, frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text at a channel's place."""
        return self._written(*self._forms[channel], self._places.wrapped(channel, text))

    def refuse(self, refusal: Refusal) -> bytes:
        """An error as the last event or line."""
        error = error_body(refusal, anthropic=self._anthropic)
        if self._is_lines:
            return error + b"\n"
        if self._anthropic:
            return b"event: error\ndata: " + error + b"\n\n"
        return b"data: " + error + b"\n\ndata: [DONE]\n\n"

    def _written(self, event: str, form: "_Form", body: Any) -> bytes:
        value = body if form.is_object else body.get(_BARE, "")
        data = orjson.dumps(value) if form.is_json else value.encode()
        if self._is_lines:
            return data.replace(b"\n", b" ") + b"\n"
        head = b"event: %b\n" % event.encode() if event else b""
        return head + b"".join(b"data: %b\n" % line for line in data.split(b"\n")) + b"\n"


def _is_ending(name: object) -> bool:
    """Whether an event's name says that something is complete: `content-end`, `thread.message.completed`."""
    return isinstance(name, str) and name.replace("-", "_").replace(".", "_").rpartition("_")[2] in _ENDINGS


def _finished(value: Any, path: str) -> Iterator[str]:
    """The pointers of the objects whose texts are complete."""
    if isinstance(value, dict):
        if any(value.get(key) not in (None, "", False) for key in _FINISHED):
            yield path
            return
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                yield from _finished(inner, f"{path}/{pointer.escape(key)}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            if isinstance(inner, dict | list):
                yield from _finished(inner, f"{path}/{at}")


def _beside(at: Mapping[str, Any]) -> dict[str, Any]:
    """What a frame of ours repeats of an object: identifiers and enums, but no sign of an end."""
    return {key: value for key, value in at.items() if _is_repeated(key, value, at)}


def _is_repeated(key: str, value: object, at: Mapping[str, Any]) -> bool:
    if key in _FINISHED:
        return False
    if isinstance(value, str):
        return value != "" and is_opaque_here(key, value, at)
    return (key in _LAST and value is False) or (key in OPAQUE_KEYS and type(value) is int)
