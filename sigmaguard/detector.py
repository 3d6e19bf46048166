"""What a detector is to the engine. Knows the protocol and the registry's shape, no detector itself."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from sigmaguard.model import Direction, Finding, Segment
from sigmaguard.reading import Reading


class Cost(StrEnum):
    """`inline` runs on the event loop (well under a millisecond a segment); `pooled` in a worker thread."""

    INLINE = "inline"
    POOLED = "pooled"


class Passage(msgspec.Struct, frozen=True):
    """A segment together with every way it can be read; `readings[0]` is the text as written.

    `is_joined` marks a passage the engine composed from neighbouring segments (a word split over
    two parts or messages): its spans are mapped back to the parts by the engine.
    """

    segment: Segment
    readings: tuple[Reading, ...]
    direction: Direction = Direction.INPUT
    is_joined: bool = False


class Detector(Protocol):
    """Looks at passages and reports findings: deterministic, thread-safe, without I/O.

    `version` changes whenever the same text could give another answer: it is part of the verdict
    memory's key. `detect` returns one list of findings a passage, spans in the segment as written
    (`Reading.source` maps them). Raise `DetectorError` on failure.
    """

    @property
    def name(self) -> str:
        """The detector's name in packs, metrics and findings."""
        ...

    @property
    def version(self) -> str:
        """Changes when answers could."""
        ...

    @property
    def cost(self) -> Cost:
        """Where it may run."""
        ...

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order."""
        ...


class StreamingDetector(Detector, Protocol):
    """A detector that can also watch a stream."""

    def hold(self, text: str) -> int:
        """Code point from which `text` must be held back because a finding could begin or grow there.

        len(text) when nothing could. Everything before it is final: no continuation of `text` adds,
        removes or changes a finding that starts before it and no finding crosses it.
        """
        ...


class QuickDetector(Detector, Protocol):
    """A pooled detector that knows of most short texts at once what it would say of them.

    `quick` runs on the event loop, for passages of at most `quick_chars` code points together; a passage it
    answers None for goes to the pool. What it does answer is what `detect` would.
    """

    quick_chars: int

    def quick(self, passages: Sequence[Passage]) -> list[list[Finding] | None]:
        """Findings for each passage, in order; None where `detect` must be asked."""
        ...
