"""OpenAI responses as a stream: deltas, `done` events that repeat them, the response at the end."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.model import Origin
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.delta_places import DeltaPlaces, Found
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_responses_items import collect_item, collect_response
from sigmaguard.wire.openai_shared import number_of, parse_event
from sigmaguard.wire.sse_fields import known_name, read_lines
from sigmaguard.wire.stream_shape import Shape, shape_of

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})
_NUMBERS = ("output_index", "content_index", "summary_index")
_KEPT = frozenset({"type", "item_id", *_NUMBERS})  # of a delta event, repeated in the ones we add


class _Channel:
    """A channel as its deltas name it."""

    __slots__ = ("body", "index", "kind")

    def __init__(self, kind: str, body: dict[str, Any]) -> None:
        self.kind = kind
        self.index = body.get("output_index")
        self.body = {key: value for key, value in body.items() if key in _KEPT}


class ResponsesStream:
    """One streamed response: a channel an output item and part. Sequence numbers stay without gaps."""

    def __init__(self) -> None:
        self._added = 0
        self._number = 0  # of the next event to leave
        self._open: dict[str, _Channel] = {}
        self._response: dict[str, Any] = {}
        self._places = DeltaPlaces()

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        raw, event = read_lines(raw, event)
        if not data:
            return Frame(raw, None, event)
        if data == b"[DONE]":
            return Frame(raw, None, event, closes=self._close_all(), ends=True)
        body = parse_event(data)
        kind = str(body.get("type", event))
        if type(body.get("sequence_number")) is int:
            self._number = body["sequence_number"] + self._added
        if isinstance(body.get("response"), dict):
            self._response = body["response"]
        collector = Collector()
        if kind.endswith(".delta") and isinstance(body.get("delta"), str) and kind != "response.audio.delta":
            channel = _name(kind, body)
            self._open.setdefault(channel, _Channel(kind, body))
            is_call = "_call" in kind
            delta = Delta(
                channel,
                "/delta",
                Origin.TOOL_CALL if is_call else Origin.ASSISTANT,
                body["delta"],
                kind.endswith("_arguments.delta"),
            )
            _collect_event(collector, kind, body, {"delta"})
            return Frame(raw, body, event, (delta,), tuple(collector.segments))
        if kind.endswith(".delta") and isinstance(body.get("delta"), (dict, list)):
            return self._nested(raw, event, kind, body)
        _collect_event(collector, kind, body, set())
        return Frame(
            raw, body, event, wholes=tuple(collector.segments), closes=self._closed_by(kind, body), ends=kind in _ENDS
        )

    def _nested(self, raw: bytes, event: str, kind: str, body: dict[str, Any]) -> Frame:
        """A delta that is no string: no event we know has one, and a client that reads it puts its texts together."""
        found = Found(_name(kind, body), body, "", [], Collector())
        origin = Origin.TOOL_CALL if "_call" in kind else Origin.ASSISTANT
        self._places.collect(found, "", {"delta": body["delta"]}, origin)
        for one in found.deltas:
            self._open.setdefault(one.channel, _Channel(kind, body))
        _collect_event(found.collector, kind, body, {"delta"})
        return Frame(raw, body, event, tuple(found.deltas), tuple(found.collector.segments))

    def _closed_by(self, kind: str, body: dict[str, Any]) -> tuple[str, ...]:
        if kind == "response.output_item.done":
            index = body.get("output_index")
            closed = tuple(name for name, channel in self._open.items() if channel.index == index)
        elif kind.endswith(".done"):
            name = _name(kind.removesuffix(".done") + ".delta", body)
            closed = tuple(one for one in self._open if one == name or one.startswith(name + "/at/"))
        elif kind in _ENDS:
            return self._close_all()
        else:
            return ()
        return closed

    def _close_all(self) -> tuple[str, ...]:
        return tuple(self._open)

    def shape(self, frame: Frame, data: bytes) -> Shape | None:
        """The shape of the events that only add text; none once events have to be numbered anew."""
        return None if self._added else shape_of(frame, data)

    def ran(self, number: int) -> None:
        """The next event's number follows."""
        if number >= 0:
            self._number = number + 1

    def keep(self, frame: Frame) -> bytes:
        """The event as it came; numbered anew once events of ours stand before it."""
        if frame.wholes:
            self._places.leave(frame, {})
        self._sent(frame)
        if self._added and isinstance(frame.body, dict):
            return self._renumbered(frame.body)
        self._number += 1
        return frame.raw

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        self._sent(frame)
        self._places.leave(frame, texts)
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
            pointer.clear_beside(frame.body, path, "logprobs")
        assert isinstance(frame.body, dict)
        return self._renumbered(frame.body)

    def _sent(self, frame: Frame) -> None:
        for channel in frame.closes:
            self._open.pop(channel, None)

    def _renumbered(self, body: dict[str, Any]) -> bytes:
        if type(body.get("sequence_number")) is int:
            body["sequence_number"] = self._number
            self._number += 1
        return _event(body)

    def fragment(self, channel: str, text: str) -> bytes:
        """A delta event that adds text to a channel, just before the event that closes it."""
        known = self._open.get(channel)
        added = self._places.wrapped(channel, text) or {"delta": text}
        body: dict[str, Any] = {**(known.body if known else {"type": channel.partition("|")[0]}), **added}
        if body["type"] == "response.output_text.delta":
            body["logprobs"] = []
        body["sequence_number"] = self._number
        self._number += 1
        self._added += 1
        return _event(body)

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends the response as incomplete for `content_filter`; a fault fails it."""
        base = {"id": "resp_sigmaguard", "object": "response", "created_at": 0, "model": "", "output": []}
        base |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
        response: dict[str, Any] = {**base, **self._response, "output": []}
        if refusal.kind == "sigmaguard_blocked":
            kind = "response.incomplete"
            response.update(status="incomplete", incomplete_details={"reason": "content_filter"})
        else:
            kind = "response.failed"
            response.update(status="failed", error={"code": "server_error", "message": refusal.message})
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        return _event({"type": kind, "sequence_number": self._number, "response": response, "sigmaguard": details})


def _name(kind: str, body: dict[str, Any]) -> str:
    numbers = [f"{name}={number_of(body.get(name), 0)}" for name in _NUMBERS if name in body]
    return "|".join([kind, str(body.get("item_id", "")), *numbers])


def _collect_event(collector: Collector, kind: str, body: dict[str, Any], known: set[str]) -> None:
    origin = Origin.TOOL_CALL if "arguments" in kind or "_call" in kind else Origin.ASSISTANT
    for key, value in body.items():
        if key in known or key in ("type", "item_id", "sequence_number"):
            continue
        place = f"/{pointer.escape(key)}"
        if key == "response" and isinstance(value, dict):
            collect_response(collector, place, value)
        elif key == "item" and isinstance(value, dict):
            collect_item(collector, place, value, Origin.ASSISTANT)
        elif key == "arguments":
            collector.json_text(place, value, Origin.TOOL_CALL)
        elif type(value) in (str, dict, list):
            collector.walk("", {key: value}, origin)


def _event(body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (known_name(str(body.get("type", ""))).encode(), orjson.dumps(body))
