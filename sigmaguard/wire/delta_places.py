"""Texts inside the nested fields of deltas, by the place they stand at: pieces of one text. Knows no protocol.

A client puts the strings at one place of successive deltas together, so they are one channel. The entries of
a list are told apart by their `index`, as SDKs do; those without one are one place, whatever their position.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame
from sigmaguard.wire.fields import Collector, may_hide
from sigmaguard.wire.opaque import is_word
from sigmaguard.wire.stream_shape import Shape, shape_of

PLACES = 512  # of one stream; fields have a handful each, and every one may hold text back
KEYS = 4096  # that may be text, of one stream
_BESIDE = ("type", "index")  # of an object: they say which text ours goes on, and no client concatenates them


class _Step(msgspec.Struct, frozen=True):
    """One step to a text: a key and what stands beside it, or an entry of a list (no key)."""

    key: str | None
    beside: dict[str, Any]


class Found(msgspec.Struct, frozen=True):
    """Where to put what is found in one delta: `delta` stands at the pointer `at`; `prefix` begins its channels."""

    prefix: str
    delta: Any
    at: str
    deltas: list[Delta]
    collector: Collector


class DeltaPlaces:
    """The places of one stream's nested texts. `beside` tells what of an object a frame of ours repeats."""

    def __init__(self, beside: "Callable[[Mapping[str, Any]], dict[str, Any]] | None" = None) -> None:
        self._beside = beside or _told_apart
        self._steps: dict[str, list[_Step]] = {}
        self._left: dict[str, str] = {}  # keys that may be text, and as what they left

    def collect(self, found: Found, path: str, value: Any, origin: Origin) -> None:
        """Every text of a value at `path` as a fragment of its place; keys that may be text, whole.

        Raises WireError where a stream has text at more than `PLACES` places.
        """
        inside = Collector()
        inside.walk(path, value, origin, "assistant")
        self.add(found, inside.segments)

    def add(self, found: Found, segments: Sequence[Segment]) -> None:
        """`collect` of texts that were found already."""
        for segment in segments:
            if segment.path.endswith(pointer.KEY):
                found.collector.segments.append(segment)
                continue
            name, steps, value = _steps_to(found.delta, pointer.tokens(segment.path[len(found.at) :]), self._beside)
            if not isinstance(value, str):  # a number is whole as it is, and goes on none
                found.collector.segments.append(segment)
                continue
            channel = f"{found.prefix}/at/{name}"
            if channel not in self._steps and len(self._steps) >= PLACES:
                raise WireError("too_many_places", f"the stream has text at over {PLACES} places of its deltas")
            self._steps[channel] = steps
            found.deltas.append(Delta(channel, segment.path, segment.origin, segment.text))

    def wrapped(self, channel: str, text: str) -> Any:
        """A delta that adds `text` at a channel's place; None where the channel is none of ours.

        Keys are named as they left; the delta is empty where one of them never did.
        """
        steps = self._steps.get(channel)
        if steps is None:
            return None
        value: Any = text
        for step in reversed(steps):
            key = step.key
            if key and may_hide(key):
                key = self._left.get(key)
                if key is None:
                    return {}
            value = [value] if key is None else {**step.beside, key: value}
        return value

    def leave(self, frame: Frame, texts: Mapping[str, str]) -> None:
        """Notes the keys of a frame that leaves with these strings replaced."""
        for segment in frame.wholes:
            if segment.path.endswith(pointer.KEY) and len(self._left) < KEYS:
                self._left[segment.text] = texts.get(segment.path, segment.text)


class PlacedStream:
    """What streams have in common whose nested texts are told by their places and whose events are not numbered."""

    def __init__(self, places: DeltaPlaces) -> None:
        self._places = places

    def shape(self, frame: Frame, data: bytes) -> Shape | None:
        """The shape of the events that only add text."""
        return shape_of(frame, data)

    def ran(self, number: int) -> None:
        """Nothing is numbered here."""

    def keep(self, frame: Frame) -> bytes:
        """The event as it came."""
        if frame.wholes:
            self._places.leave(frame, {})
        return frame.raw


def place(holder: Any, path: str) -> str:
    """The name of the place that a pointer leads to: what channels are called by."""
    return _steps_to(holder, pointer.tokens(path), _told_apart)[0]


def _told_apart(at: Mapping[str, Any]) -> dict[str, Any]:
    return {key: at[key] for key in _BESIDE if key in at and _is_plain(at[key])}


def _steps_to(
    holder: Any, tokens: list[str], beside_of: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> tuple[str, list[_Step], Any]:
    names: list[str] = []
    steps: list[_Step] = []
    at: Any = holder
    for token in tokens:
        if isinstance(at, list):
            at = at[int(token)]
            index = at.get("index") if isinstance(at, dict) else None
            names.append(f"#{index}" if type(index) is int else "#")
            steps.append(_Step(None, {}))
        else:
            names.append(pointer.escape(token))
            steps.append(_Step(token, beside_of(at)))
            at = at[token]
    return "/".join(names), steps, at


def _is_plain(value: object) -> bool:
    return type(value) is int or (type(value) is str and is_word(value))
