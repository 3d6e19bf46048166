"""Finds any of many literal strings in one pass, whatever their case. Knows no rule and no meaning."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Generic, TypeVar

import ahocorasick
import re2

from sigmaguard.gate import Gate, gate

T = TypeVar("T")

MOST_GATED = 4_000  # words of which RE2 builds an automaton in well under its memory budget
_BEYOND = re.compile(r"[^\x00-\x7f]+")


def lower(text: str) -> str:
    """`text` in lower case with every code point in its place: the few whose lower case is longer stay as they are."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


class Keywords(Generic[T]):
    """An automaton over lower-case strings, each with a value.

    `bounded` words are found only where no ASCII letter or digit stands before them. `heads` say in RE2
    how a text must go on from a word for the word to matter; where none does, none need be found. A text that holds
    no word at all is told by RE2 in 2.4 us a KB (266 words); one that does by Aho-Corasick, 12 us a KB
    from the first word on. Both hold the interpreter's lock.
    """

    __slots__ = ("_anywhere", "_automaton", "_gate", "_longest")

    def __init__(
        self, words: Mapping[str, T], bounded: Collection[str] = (), heads: Mapping[str, str] | None = None
    ) -> None:
        self._automaton = ahocorasick.Automaton()
        for word, value in words.items():
            self._automaton.add_word(word, (len(word), word in bounded, value))
        self._automaton.make_automaton()
        self._longest = max(map(len, words), default=0)
        free = [word for word in words if word not in bounded]
        # only where both kinds of words are there must the beginnings of the free ones be known apart
        mixed = free if len(free) < len(words) else ()
        self._anywhere = frozenset(word[:size] for word in mixed for size in range(1, len(word) + 1)) if free else None
        self._gate = _gate(free, bounded, heads or {}) if len(words) <= MOST_GATED else None

    def __len__(self) -> int:
        return len(self._automaton)

    def find(self, text: str, *, unfinished: bool = False) -> Iterator[tuple[int, T]]:
        """Every occurrence in a text as (start, value), by where it ends.

        Of an `unfinished` text also words that it does not yet go on from as their heads say.
        """
        first = 0
        if self._gate is not None and not unfinished:
            seen = self._gate.search(text.encode("utf-8", "surrogatepass"))
            if seen is None:
                return
            first = seen.start() if text.isascii() else 0
        if not len(self._automaton):
            return
        for end, (size, bounded, value) in self._automaton.iter(lower(text), first):
            start = end - size + 1
            if not (bounded and _follows_letter(text, start)):
                yield start, value

    def unfinished(self, text: str) -> int:
        """Where the text's end could be the start of a word, or is one; len(text) where it could not."""
        size = len(text)
        if not len(self._automaton):
            return size
        first = max(0, size - self._longest)
        tail = lower(text[first:])
        for at in range(len(tail)):
            if self._automaton.match(tail[at:]) and self._may_start(text, first + at, tail[at:]):
                return first + at
        return size

    def _may_start(self, text: str, at: int, start: str) -> bool:
        if not _follows_letter(text, at):
            return True
        return self._anywhere is not None and (not self._anywhere or start in self._anywhere)


def _follows_letter(text: str, at: int) -> bool:
    before = text[at - 1] if at else ""
    return before.isascii() and before.isalnum()


def _gate(free: Collection[str], bounded: Collection[str], heads: Mapping[str, str]) -> Gate | None:
    """A pattern that no text with one of the words escapes. Reads bytes, so that no text is unreadable to it."""
    parts = list(dict.fromkeys(heads.get(word) or _spelled(word) for word in free))
    if bounded:
        whole = dict.fromkeys(heads.get(word) or _spelled(word) for word in bounded)
        parts.append(f"(?:^|[^0-9A-Za-z])(?:{'|'.join(whole)})")
    return gate(parts, ignore_case=True) if parts else None


def _spelled(word: str) -> str:
    """A word in bytes: any bytes beyond ASCII stand for its letters beyond, since bytes have no case there."""
    pieces = _BEYOND.split(word)
    return "[\\x80-\\xff]{1,64}".join(re2.escape(piece) for piece in pieces)
