"""Texts that only make sense laid side by side: a word split over two parts or messages.

Knows how to lay segments end to end and how to take findings back to them; detects nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.reading import part_at

REACH = 256  # code points taken from either side of a seam: the longest phrase rule spans under 200
SPLITTABLE = frozenset({Origin.USER, Origin.TOOL_RESULT, Origin.DOCUMENT, Origin.SYSTEM})


class Part(msgspec.Struct, frozen=True):
    """Where one piece of a joined text came from: code points from `start` of segment `index`."""

    index: int
    start: int
    length: int


class Joined(msgspec.Struct, frozen=True):
    """Pieces of neighbouring segments laid end to end; `within` says they share one message."""

    text: str
    origin: Origin
    parts: tuple[Part, ...]
    within: bool


class _Tail:
    """The last REACH code points of what one origin said so far, with where they came from."""

    __slots__ = ("message", "parts", "text")

    def __init__(self) -> None:
        self.text = ""
        self.message = ""
        self.parts: list[Part] = []

    def add(self, index: int, segment: Segment) -> None:
        text = segment.text
        taken = text[-REACH:]
        self.parts.append(Part(index, len(text) - len(taken), len(taken)))
        self.text += taken
        self.message = segment.message
        while len(self.text) - self.parts[0].length >= REACH:
            self.text = self.text[self.parts.pop(0).length :]


def seams(segments: Sequence[Segment]) -> Iterator[Joined]:
    """Every seam between a segment and what the same origin said before it, laid side by side.

    Each seam comes as it is and, where two words meet, once more with a space between them.
    """
    tails: dict[Origin, _Tail] = {}
    for index, segment in enumerate(segments):
        if segment.origin not in SPLITTABLE or not segment.text:
            continue
        tail = tails.get(segment.origin)
        if tail is None:
            tail = tails[segment.origin] = _Tail()
        elif tail.text:
            yield from _seam(tail, index, segment)
        tail.add(index, segment)


def _seam(tail: _Tail, index: int, segment: Segment) -> Iterator[Joined]:
    head = segment.text[:REACH]
    within = bool(segment.message) and tail.message == segment.message
    parts = (*tail.parts, Part(index, 0, len(head)))
    yield Joined(tail.text + head, segment.origin, parts, within)
    if tail.text[-1].isalnum() and head[0].isalnum():
        spaced = (*tail.parts, Part(-1, 0, 1), Part(index, 0, len(head)))
        yield Joined(f"{tail.text} {head}", segment.origin, spaced, within)


def take_back(joined: Joined, findings: Iterable[Finding]) -> Iterator[tuple[int, Finding]]:
    """Findings that cross a seam, as one finding in each segment they touch: (segment index, finding).

    Those inside one part are dropped: the segment's own inspection sees them.
    """
    starts = [0]
    for part in joined.parts:
        starts.append(starts[-1] + part.length)
    for finding in findings:
        if finding.end <= finding.start:
            continue
        first = part_at(starts, finding.start)
        last = min(part_at(starts, finding.end - 1), len(joined.parts) - 1)
        if first == last:
            continue
        for at in range(first, last + 1):
            part = joined.parts[at]
            if part.index < 0:
                continue
            begin = max(finding.start, starts[at]) - starts[at] + part.start
            end = min(finding.end, starts[at + 1]) - starts[at] + part.start
            yield part.index, msgspec.structs.replace(finding, start=begin, end=end)
