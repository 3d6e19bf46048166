"""Cuts token ids into overlapping windows; knows nothing of what scores them."""

from __future__ import annotations

from collections.abc import Iterator


def windows(count: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges over `count` tokens, the last one flush with the end.

    Every token is in at least one range, and every run of `size - stride` tokens lies whole in one.
    Raises ValueError if the stride is not in 1..size.
    """
    if not 1 <= stride <= size:
        raise ValueError(f"stride {stride} is not within 1..{size}")
    if count <= size:
        yield 0, count
        return
    for start in range(0, count - size, stride):
        yield start, start + size
    yield count - size, count
