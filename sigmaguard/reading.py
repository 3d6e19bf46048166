"""One way a text can be read, with the way back to the text as written. Knows no decoding itself."""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec


class Reading(msgspec.Struct, frozen=True):
    """A text after undoing one disguise, and where each of its code points came from.

    `kind` is `plain`, `folded`, `base64`, `hex`, `percent`, `rot13`, `spaced`, `escaped`, ...
    `starts`/`ends` give, for the i-th code point of `text`, its half-open source span; both None
    where the reading is the text as written.
    """

    text: str
    kind: str = "plain"
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text as written that the span [start, end) of this reading came from."""
        if self.starts is None or self.ends is None:
            return start, end
        if start >= end:
            at = self.starts[start] if start < len(self.starts) else (self.ends[-1] if self.ends else 0)
            return at, at
        low, high = self.starts[start], self.ends[end - 1]
        if low >= high:  # a text read backwards
            return self.starts[end - 1], self.ends[start]
        return low, high


def offsets_of_parts(lengths: Sequence[int]) -> list[int]:
    """Where each part begins when parts of these lengths are laid end to end."""
    starts: list[int] = []
    at = 0
    for length in lengths:
        starts.append(at)
        at += length
    return starts


def part_at(starts: Sequence[int], offset: int) -> int:
    """Index of the part that holds `offset`."""
    return bisect_right(starts, offset) - 1
