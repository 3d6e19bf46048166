"""Where in a text a value could stand: around its digits. Knows characters, no kind of data."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

import msgspec

LEFT, RIGHT = 48, 72  # code points around digits: a street's name before its number, code and town behind
_DIGITS = re.compile(r"[0-9]+")
# base64, keys, hashes, data URLs: no value that matters to a person stands inside such a run
_OPAQUE = re.compile(r"[A-Za-z0-9+/_-]{64,}")
_SPACE = re.compile(r"\s")
_start, _end = attrgetter("start"), attrgetter("end")


class Window(msgspec.Struct, frozen=True, gc=False):
    """A part of a text that begins and ends between words, and how many digits it holds."""

    start: int
    end: int
    digits: int


def windows(text: str) -> list[Window]:
    """The parts of a text with digits in them, apart from each other."""
    size = len(text)
    found: list[Window] = []
    low = high = count = 0
    skip = 0
    for match in _DIGITS.finditer(text):
        start, end = match.span()
        if start < skip:
            continue
        if end - start < 64:
            opaque = _OPAQUE.match(text, start)
            if opaque:
                skip = opaque.end()
                continue
        else:
            continue
        if count and start - LEFT <= high:
            high, count = end + RIGHT, count + end - start
            continue
        if count:
            found.append(_snapped(text, low, high, count, size))
        low, high, count = start - LEFT, end + RIGHT, end - start
    if count:
        found.append(_snapped(text, low, high, count, size))
    return found


def _snapped(text: str, low: int, high: int, count: int, size: int) -> Window:
    low = max(0, low)
    if low:
        before = text.rfind(" ", max(0, low - 256), low)
        low = before + 1 if before >= 0 else max(0, low - 256)
    if high >= size:
        return Window(low, size, count)
    after = _SPACE.search(text, high)
    return Window(low, after.start() if after else size, count)


def near(text: str, parts: Sequence[Window], ends: Sequence[int], reach: int) -> list[Window]:
    """The parts of `parts` that lie within `reach` behind one of `ends` (ascending)."""
    found: list[Window] = []
    low = high = -1
    for at in (*ends, len(text) + 2 * reach):
        if at <= high:
            high = at + reach
            continue
        if low >= 0:
            after = _SPACE.search(text, high)
            stop = after.start() if after else len(text)
            first = bisect_right(parts, low, key=_end)
            found.extend(
                Window(max(low, part.start), min(stop, part.end), part.digits)
                for part in parts[first : bisect_left(parts, stop, first, key=_start)]
            )
        low, high = at, at + reach
    return found
