"""Texts that only make sense laid side by side: a word split over two parts or messages.

Knows how to lay segments end to end and how to take findings back to them; detects nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.reading import part_at

REACH = 256  # code points taken from either side of a seam: the longest phrase rule spans under 200
LONGEST_RUN = 1024  # of what follows a seam, a run without a space is taken up to here: a token is not cut in two
# Detectors whose finding is the value alone while the word that gives it away may stand beside the seam
TOLD_BY_NEIGHBOURS = frozenset({"leaks", "pii"})
_SPACE = re.compile(r"\s")
SPLITTABLE = frozenset({Origin.USER, Origin.TOOL_RESULT, Origin.DOCUMENT, Origin.SYSTEM})


class Part(msgspec.Struct, frozen=True):
    """Where one piece of a joined text came from: code points from `start` of segment `index`.

    `is_cut` says that the segment goes on after it.
    """

    index: int
    start: int
    length: int
    message: str = ""
    is_cut: bool = False


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
        self.parts.append(Part(index, len(text) - len(taken), len(taken), segment.message))
        self.text += taken
        self.message = segment.message
        while len(self.text) - self.parts[0].length >= REACH:
            self.text = self.text[self.parts.pop(0).length :]


def seams(segments: Sequence[Segment], first: int = 0) -> Iterator[Joined]:
    """Every seam between a segment from `first` on and what the same origin said before it, laid side by side.

    Each seam comes as it is and, where two words meet, once more with a space between them.
    """
    if first >= len(segments):
        return
    tails = _tails(segments, first)
    for index in range(first, len(segments)):
        segment = segments[index]
        if segment.origin not in SPLITTABLE or not segment.text:
            continue
        tail = tails.get(segment.origin)
        if tail is None:
            tail = tails[segment.origin] = _Tail()
        elif tail.text:
            yield from _seam(tail, index, segment)
        tail.add(index, segment)


def _tails(segments: Sequence[Segment], end: int) -> dict[Origin, _Tail]:
    """The tail of each origin just before segment `end`, from no more segments than it takes."""
    wanted = {origin: REACH for origin in SPLITTABLE} if end else {}
    chosen: list[int] = []
    for index in range(end - 1, -1, -1):
        segment = segments[index]
        left = wanted.get(segment.origin)
        if left is None or not segment.text:
            continue
        chosen.append(index)
        wanted[segment.origin] = left - len(segment.text)
        if wanted[segment.origin] <= 0:
            del wanted[segment.origin]
            if not wanted:
                break
    tails: dict[Origin, _Tail] = {}
    for index in reversed(chosen):
        tails.setdefault(segments[index].origin, _Tail()).add(index, segments[index])
    return tails


def _seam(tail: _Tail, index: int, segment: Segment) -> Iterator[Joined]:
    head = segment.text[: _head_end(segment.text)]
    within = bool(segment.message) and tail.message == segment.message
    last = Part(index, 0, len(head), segment.message, len(head) < len(segment.text))
    if not within or tail.parts[0].message == segment.message:
        yield from _laid(tail.text, tail.parts, head, last, segment.origin, within=within)
        return
    # what earlier messages said is a neighbour, but not of this message
    yield from _laid(tail.text, tail.parts, head, last, segment.origin, within=False)
    own = [part for part in tail.parts if part.message == segment.message]
    length = sum(part.length for part in own)
    yield from _laid(tail.text[-length:], own, head, last, segment.origin, within=True)


def _head_end(text: str) -> int:
    """How much of what follows a seam is laid beside it: REACH, and what is left of the run without a space there."""
    if len(text) <= REACH:
        return len(text)
    space = _SPACE.search(text, REACH, LONGEST_RUN)
    return space.start() if space else min(len(text), LONGEST_RUN)


def _laid(text: str, parts: Sequence[Part], head: str, last: Part, origin: Origin, *, within: bool) -> Iterator[Joined]:
    yield Joined(text + head, origin, (*parts, last), within)
    if head[0].isalnum() and (text[-1].isalnum() or text[-1] in ":="):
        yield Joined(f"{text} {head}", origin, (*parts, Part(-1, 0, 1), last), within)


def take_back(joined: Joined, findings: Iterable[Finding]) -> Iterator[list[tuple[int, Finding]]]:
    """Each finding that crosses a seam, as one finding in each segment it touches: (segment index, finding).

    Those inside one part are dropped: the segment's own inspection sees them, and `beside` what it does not.
    """
    starts = _starts(joined)
    for finding, first, last in _located(joined, starts, findings):
        if first == last:
            continue
        pieces: list[tuple[int, Finding]] = []
        for at in range(first, last + 1):
            part = joined.parts[at]
            if part.index < 0:
                continue
            begin = max(finding.start, starts[at]) - starts[at] + part.start
            end = min(finding.end, starts[at + 1]) - starts[at] + part.start
            pieces.append((part.index, msgspec.structs.replace(finding, start=begin, end=end)))
        yield pieces


def beside(joined: Joined, findings: Iterable[Finding]) -> Iterator[tuple[int, Finding]]:
    """Findings inside one part that the word beside the seam may have told: (segment index, finding).

    `My password is` | `N7aFa49QVMd!`: the value lies wholly in the second part, which shows nothing by
    itself. What touches the place where a segment was cut may have come about by the cut and is dropped.
    """
    told = (finding for finding in findings if finding.detector in TOLD_BY_NEIGHBOURS)
    starts = _starts(joined)
    for finding, first, last in _located(joined, starts, told):
        part = joined.parts[first]
        if first != last or part.index < 0:
            continue
        begin, end = (at - starts[first] + part.start for at in (finding.start, finding.end))
        if (part.start and begin == part.start) or (part.is_cut and end == part.start + part.length):
            continue
        yield part.index, msgspec.structs.replace(finding, start=begin, end=end)


def _starts(joined: Joined) -> list[int]:
    starts = [0]
    for part in joined.parts:
        starts.append(starts[-1] + part.length)
    return starts


def _located(joined: Joined, starts: Sequence[int], findings: Iterable[Finding]) -> Iterator[tuple[Finding, int, int]]:
    """Each finding that spans something, with the first and the last part it touches."""
    for finding in findings:
        if finding.end > finding.start:
            last = min(part_at(starts, finding.end - 1), len(joined.parts) - 1)
            yield finding, part_at(starts, finding.start), last
