"""Finds any of many literal strings in one pass, whatever their case. Knows no rule and no meaning."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import ahocorasick

T = TypeVar("T")


def lower(text: str) -> str:
    """`text` in lower case with every code point in its place: the few whose lower case is longer stay as they are."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


class Keywords(Generic[T]):
    """An automaton over lower-case strings, each with a value.

    Costs about 8 us a KB with 400 words (Aho-Corasick in C); the interpreter's lock is held meanwhile.
    """

    __slots__ = ("_automaton", "_longest", "_starts")

    def __init__(self, words: Mapping[str, T]) -> None:
        self._automaton = ahocorasick.Automaton()
        self._starts: dict[str, tuple[T, ...]] = {}
        starts: dict[str, list[T]] = {}
        for word, value in words.items():
            self._automaton.add_word(word, (len(word), value))
            for size in range(1, len(word)):
                starts.setdefault(word[:size], []).append(value)
        self._automaton.make_automaton()
        self._starts = {start: tuple(values) for start, values in starts.items()}
        self._longest = max(map(len, words), default=0)

    def __len__(self) -> int:
        return len(self._automaton)

    def find(self, lowered: str) -> Iterator[tuple[int, T]]:
        """Every occurrence in a lower-cased text as (start, value), by where it ends."""
        if not len(self._automaton):
            return
        for end, (size, value) in self._automaton.iter(lowered):
            yield end - size + 1, value

    def unfinished(self, lowered: str) -> Iterator[tuple[int, tuple[T, ...]]]:
        """Where the text's end could be the start of a word, earliest first: (start, the values of such words)."""
        size = len(lowered)
        for at in range(max(0, size - self._longest + 1), size):
            values = self._starts.get(lowered[at:])
            if values is not None:
                yield at, values
