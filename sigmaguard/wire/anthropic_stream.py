"""Anthropic messages as a stream: content blocks that start, grow and stop."""

import re
from binascii import Error, a2b_base64
from collections.abc import Mapping
from typing import Any

import orjson

from sigmaguard.model import Origin
from sigmaguard.wire import anthropic_shared, pointer
from sigmaguard.wire.anthropic_blocks import collect_block, collect_message
from sigmaguard.wire.codec import Delta, Frame, Refusal
from sigmaguard.wire.delta_places import DeltaPlaces, Found, PlacedStream
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.opaque import is_word
from sigmaguard.wire.openai_shared import number_of, parse_event
from sigmaguard.wire.sse_fields import known_name, read_lines

_KIND_OF_KEY = {"text": "text_delta", "partial_json": "input_json_delta", "thinking": "thinking_delta"}
_SEALED_DELTAS = frozenset({"signature", "encrypted_content"})
_COMPLETE = frozenset({"citation"})  # an object that comes whole
_LEAST_SEALED = 64  # characters of base64; a provider's are hundreds, and a key may look like a shorter one
_LEGIBLE = re.compile(rb"[\x20-\x7e]{32}")  # in the decoded bytes; random ones hold this once in 10^14


class MessagesStream(PlacedStream):
    """One streamed message: a channel a content block and kind of text (`0/text`, `1/partial_json`)."""

    def __init__(self) -> None:
        self._channels: dict[int, list[str]] = {}  # of every block that is open
        self._kinds = dict(_KIND_OF_KEY)
        super().__init__(DeltaPlaces())
        self._started = False
        self._output_tokens = 0

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        raw, event = read_lines(raw, event)
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
            if isinstance(value, str) and (_is_sealed(value) if key in _SEALED_DELTAS else _is_kind(key, value)):
                continue
            path = f"/delta/{pointer.escape(key)}"
            if isinstance(value, str) and "/" not in key:
                if not value:
                    continue
                channel = f"{index}/{key}"
                self._kinds.setdefault(key, str(delta.get("type", key)))
                is_json = key == "partial_json"
                origin = Origin.TOOL_CALL if is_json else Origin.ASSISTANT
                deltas.append(Delta(channel, path, origin, value, is_json))
            elif key in _COMPLETE:
                collector.walk(path, value, Origin.DOCUMENT)
            else:
                found = Found(str(index), delta, "/delta", deltas, collector)
                self._places.collect(found, "/delta", {key: value}, Origin.DOCUMENT)
        if deltas:
            names = self._channels.setdefault(index, [])
            names += (name for name in dict.fromkeys(one.channel for one in deltas) if name not in names)
        return tuple(deltas)

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        self._places.leave(frame, texts)
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        assert isinstance(frame.body, dict)
        return _event(frame.event or str(frame.body.get("type", "")), frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text to a block."""
        index, _, key = channel.partition("/")
        delta = self._places.wrapped(channel, text)
        if delta is None:
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


def _is_kind(key: str, text: str) -> bool:
    return key == "type" and is_word(text)


def _is_sealed(text: str) -> bool:
    """Whether a string is what a provider signs or encrypts: base64 of bytes that nobody can read."""
    if len(text) < _LEAST_SEALED:
        return False
    try:
        sealed = a2b_base64(text, strict_mode=True)
    except (Error, ValueError):  # ValueError: not ASCII
        return False
    try:
        sealed.decode()
    except UnicodeDecodeError:
        return _LEGIBLE.search(sealed) is None
    return False


def _rest(collector: Collector, body: dict[str, Any], known: set[str]) -> None:
    for key, value in body.items():
        if key not in known and type(value) in (str, dict, list):
            collector.walk("", {key: value}, Origin.ASSISTANT, "assistant")


def _event(name: str, body: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (known_name(name).encode(), orjson.dumps(body))
