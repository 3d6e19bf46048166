"""Spans of which none overlaps another: which are taken, found by bisection. Knows places, no text."""

from bisect import bisect_left, insort
from collections.abc import Iterable


class Taken:
    """Takes spans [start, end) for as long as they are free. A text may hold ten thousand: each costs a bisection."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans = sorted(spans)

    def take(self, start: int, end: int) -> bool:
        """Whether nothing of a span was taken yet; it is now."""
        at = bisect_left(self._spans, (end,))
        if at and self._spans[at - 1][1] > start:
            return False
        insort(self._spans, (start, end))
        return True
