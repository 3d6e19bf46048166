"""Streams whose text is one field: completions (`choices[].text`) and transcripts (`delta`)."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.model import Origin
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.delta_places import DeltaPlaces, Found, PlacedStream
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import collect_error, error_body, number_of, parse_event
from sigmaguard.wire.sse_fields import read_lines

_KNOWN = frozenset({"id", "object", "model", "created", "choices", "delta", "error", "type", "system_fingerprint"}) | {
    "obfuscation"
}
_CHOICE = frozenset({"index", "text", "finish_reason", "logprobs"})


class TextStream(PlacedStream):
    """One stream: a channel a choice (`0/text`), or the one transcript (`delta`)."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._last: dict[str, Any] = {}
        self._open: set[str] = set()
        self._finished: set[str] = set()
        super().__init__(DeltaPlaces())

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        raw, event = read_lines(raw, event)
        if not data:
            return Frame(raw, None, event)
        if data == b"[DONE]":
            closes = tuple(sorted(self._open))
            self._open.clear()
            return Frame(raw, None, event, closes=closes, ends=True)
        body = parse_event(data)
        deltas: list[Delta] = []
        closes_now: list[str] = []
        collector = Collector()
        delta = body.get("delta")
        if isinstance(delta, str):
            self._last = body
            if delta:
                deltas.append(Delta("delta", "/delta", self._origin, delta))
        elif delta is not None:
            self._places.collect(Found("delta", body, "", deltas, collector), "", {"delta": delta}, self._origin)
        choices = body.get("choices")
        if isinstance(choices, list):
            for at, choice in enumerate(choices):
                self._choice(at, choice, deltas, collector, closes_now)
            if choices:
                self._last = body
        elif choices is not None:
            collector.walk("/choices", choices, self._origin)
        ends = body.get("type") == "transcript.text.done"
        self._open.update(one.channel for one in deltas)
        if ends:
            closes_now += sorted(name for name in self._open if name.partition("/")[0] == "delta")
        self._open.difference_update(closes_now)
        collector.rest(body, _KNOWN, self._origin)
        collect_error(collector, body)
        return Frame(raw, body, event, tuple(deltas), tuple(collector.segments), tuple(closes_now), ends)

    def _choice(self, at: int, choice: Any, deltas: list[Delta], collector: Collector, closes: list[str]) -> None:
        if not isinstance(choice, dict):
            collector.walk(f"/choices/{at}", choice, self._origin)
            return
        index = number_of(choice.get("index"), at)
        channel = f"{index}/text"
        text = choice.get("text")
        if isinstance(text, str):
            if text:
                deltas.append(Delta(channel, f"/choices/{at}/text", self._origin, text))
        elif text is not None:
            found = Found(str(index), choice, f"/choices/{at}", deltas, collector)
            self._places.collect(found, f"/choices/{at}", {"text": text}, self._origin)
        if choice.get("finish_reason") is not None:
            mine = {one.channel for one in deltas} | self._open
            closes += [channel, *sorted(name for name in mine if name.startswith(f"{index}/at/"))]
            self._finished.add(channel)
        for key, value in choice.items():
            if key not in _CHOICE:
                collector.walk(f"/choices/{at}", {key: value}, self._origin)

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        self._places.leave(frame, texts)
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
            pointer.clear_beside(frame.body, path, "logprobs")
        return _event(frame.event, frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text to a channel."""
        wrapped = self._places.wrapped(channel, text)
        if wrapped is not None and channel.startswith("delta/"):
            return _event("", {"type": "transcript.text.delta", **wrapped})
        if channel == "delta":
            return _event("", {"type": "transcript.text.delta", "delta": text})
        choice: dict[str, Any] = {
            "index": int(channel.partition("/")[0]),
            "text": text,
            "finish_reason": None,
            "logprobs": None,
        }
        choice.update(wrapped or {})
        return _event("", {**self._base(), "choices": [choice]})

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends every choice with `content_filter`; a fault is an error event."""
        if refusal.kind != "sigmaguard_blocked" or "choices" not in self._last:
            return b"data: " + error_body(refusal) + b"\n\ndata: [DONE]\n\n"
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        indexes = sorted({int(name.partition("/")[0]) for name in self._open - self._finished if name[0] != "d"}) or [0]
        choices = [
            {"index": index, "text": "", "finish_reason": "content_filter", "logprobs": None} for index in indexes
        ]
        return _event("", {**self._base(), "choices": choices, "sigmaguard": details}) + b"data: [DONE]\n\n"

    def _base(self) -> dict[str, Any]:
        return {key: value for key, value in self._last.items() if key not in ("usage", "error", "sigmaguard")}


def _event(name: str, body: object) -> bytes:
    head = b"event: %b\n" % name.encode() if name else b""
    return head + b"data: " + orjson.dumps(body) + b"\n\n"
