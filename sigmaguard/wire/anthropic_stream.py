"""Anthropic messages as a stream: content blocks that start, grow and stop."""

from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.model import Origin
from sigmaguard.wire import anthropic_shared, pointer
from sigmaguard.wire.anthropic_blocks import collect_block, collect_message
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import number_of, parse_event
from sigmaguard.wire.stream_shape import Shape, shape_of

_KIND_OF_KEY = {"text": "text_delta", "partial_json": "input_json_delta", "thinking": "thinking_delta"}
_OPAQUE_DELTAS = frozenset({"type", "signature", "encrypted_content"})


class MessagesStream:
    """One streamed message: a channel a content block and kind of text (`0/text`, `1/partial_json`)."""

    def __init__(self) -> None:
        self._channels: dict[int, list[str]] = {}  # of every block that is open
        self._kinds = dict(_KIND_OF_KEY)
        self._started = False
        self._output_tokens = 0

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        if not data:
            return Frame(raw, None, event)
        body = parse_event(data)
        kind = body.get("type", event)
        index = number_of(body.get("index"), 0)
        collector = Collector()
        ends = False
        closes: tuple[str, ...] = ()
        if kind == "content_block_delta" and isinstance(body.get("delta"), dict):
            deltas = self._delta(index, body["delta"], collector)
            _rest(collector, body, {"type", "index", "delta"})
            return Frame(raw, body, event, deltas, tuple(collector.segments))
        if kind == "content_block_start":
            self._channels[index] = []
            collect_block(collector, "/content_block", body.get("content_block"), Origin.ASSISTANT, "assistant", "")
            _rest(collector, body, {"type", "index", "content_block"})
        elif kind == "content_block_stop":
            closes = tuple(self._channels.pop(index, ()))
            _rest(collector, body, {"type", "index"})
        elif kind == "message_start" and isinstance(body.get("message"), dict):
            self._started = True
            self._output_tokens = max(0, anthropic_shared.usage_of(body).output_tokens)
            collect_message(collector, "/message", body["message"])
        else:
            ends = kind in ("message_stop", "error")
            if ends:
                closes = tuple(name for names in self._channels.values() for name in names)
                self._channels.clear()
            self._output_tokens = max(self._output_tokens, anthropic_shared.usage_of(body).output_tokens)
            _rest(collector, body, {"type"})
        return Frame(raw, body, event, wholes=tuple(collector.segments), closes=closes, ends=ends)

    def _delta(self, index: int, delta: dict[str, Any], collector: Collector) -> tuple[Delta, ...]:
        deltas: list[Delta] = []
        for key, value in delta.items():
            if key in _OPAQUE_DELTAS and isinstance(value, str):
                continue
            path = f"/delta/{pointer.escape(key)}"
            if isinstance(value, str):
                if not value:
                    continue
                channel = f"{index}/{key}"
                names = self._channels.setdefault(index, [])
                if channel not in names:
                    names.append(channel)
                    self._kinds.setdefault(key, str(delta.get("type", key)))
                is_json = key == "partial_json"
                origin = Origin.TOOL_CALL if is_json else Origin.ASSISTANT
                deltas.append(Delta(channel, path, origin, value, is_json))
            else:
                collector.walk(path, value, Origin.DOCUMENT)
        return tuple(deltas)

    def shape(self, frame: Frame, data: bytes) -> Shape | None:
        """The shape of the events that only add text."""
        return shape_of(frame, data)

    def ran(self, number: int) -> None:
        """Nothing is numbered here."""

    def keep(self, frame: Frame) -> bytes:
        """The event as it came."""
        return frame.raw

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        assert isinstance(frame.body, dict)
        return _event(frame.event or str(frame.body.get("type", "")), frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text to a block."""
        index, _, key = channel.partition("/")
        delta = {"type": self._kinds.get(key, key), key: text}
        return _event("content_block_delta", {"type": "content_block_delta", "index": int(index), "delta": delta})

    def refuse(self, refusal: Refusal) -> bytes:
        """Open blocks are closed, then the message stops with `refusal`; a fault is an error event."""
        if refusal.kind != "sigmaguard_blocked" or not self._started:
            return b"event: error\ndata: " + anthropic_shared.error_body(refusal) + b"\n\n"
        pieces = [
            _event("content_block_stop", {"type": "content_block_stop", "index": index})
            for index in sorted(self._channels)
        ]
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        stop = {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_sequence": None},
            "usage": {"output_tokens": self._output_tokens},
            "sigmaguard": details,
        }
        pieces += (_event("message_delta", stop), _event("message_stop", {"type": "message_stop"}))
        return b"".join(pieces)


def _rest(collector: Collector, body: dict[str, Any], known: set[str]) -> None:
    for key, value in body.items():
        if key not in known and type(value) in (str, dict, list):
            collector.walk("", {key: value}, Origin.ASSISTANT, "assistant")


def _event(name: str, body: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(body))
