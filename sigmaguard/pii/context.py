"""Words that say what a number is: found in one pass, without lemmas. Knows literals, no kind of data.

Presidio asks an NLP pipeline for the lemmas of five words before a match, which costs more than all its
patterns together. One automaton over the lowered text finds the same words, and its reach is measured in
code points, so that a stream can be cut exactly.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import ahocorasick

from sigmaguard.gate import gate
from sigmaguard.outline import Outline

REACH = 72  # code points before a value in which a word counts; `stream.CONTEXT` keeps 256
KELVIN = "\u212a"  # the one letter beyond ASCII whose lower case is within
SHORT = 4  # a literal this short must end where the word ends: `geb` is not in `gebucht`
# the end of a sentence, but for `Nr. Abc`; two ends of line, but for the line under the head of a table
_BREAK = re.compile(r"(?<![Nn][ro])[.!?]\s+(?=[A-ZÄÖÜ][a-zäöü])|\n(?![ |]*:?-{2,}[-:| ]*\n)[^\n]*\n")
_SPACED = str.maketrans({"-": " ", "_": " ", "\u00a0": " ", "\u2011": " ", "\n": " ", "\t": " "})


class ContextWords:
    """Finds which kinds are named where. `words` are the literals of each kind, by its number."""

    def __init__(self, words: Mapping[int, Sequence[str]]) -> None:
        table: dict[str, set[int]] = {}
        for kind, literals in words.items():
            for literal in (form for one in literals for form in _forms(one)):
                table.setdefault(literal, set()).add(kind)
        self.kinds = {literal: tuple(kinds) for literal, kinds in table.items()}
        self._automaton = ahocorasick.Automaton()
        for literal, kinds in table.items():
            self._automaton.add_word(literal, (len(literal), tuple(kinds)))
        self._automaton.make_automaton()
        self._gate = gate([_in_bytes(literal) for literal in table], ignore_case=True) if table else None

    def outlines(self) -> dict[Outline, tuple[int, ...]]:
        """How each word may be written, and the kinds it names."""
        return {Outline(_in_bytes(literal), ignores_case=True): kinds for literal, kinds in self.kinds.items()}

    def scan(self, text: str, written: bytes) -> dict[int, list[int]]:
        """Where each kind is named: the ends of its words, ascending. `written` is the text in UTF-8."""
        if self._gate is None or (KELVIN not in text and self._gate.search(written) is None):
            return {}
        low = lowered(text)
        named: dict[int, list[int]] = {}
        size = len(low)
        for last, (length, kinds) in self._automaton.iter(low):
            start, end = last - length + 1, last + 1
            if start and low[start - 1].isalnum() and not _is_hump(text, start):
                continue
            if length <= SHORT and end < size and low[end].isalnum() and not text[end].isupper():
                continue
            for kind in kinds:
                named.setdefault(kind, []).append(end)
        return named


def distance(text: str, ends: Sequence[int] | None, start: int) -> int:
    """Code points between the last of these words before `start` and `start`; more than REACH where none is near.

    A word in an earlier sentence, or more than a line above, names nothing here.
    """
    at = bisect_left(ends, start + 1) if ends else 0
    if not ends or not at or start - ends[at - 1] > REACH or _BREAK.search(text, ends[at - 1], start):
        return REACH + 1
    return start - ends[at - 1]


def lowered(text: str) -> str:
    """The text in lower case with gaps as spaces, as long as it was."""
    low = text.lower()
    if len(low) != len(text):  # U+0130 lowers to two code points
        low = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    return low.translate(_SPACED)


def _in_bytes(literal: str) -> str:
    """A literal in bytes, for RE2: any bytes beyond ASCII stand for a letter beyond, any gap for a space."""
    parts = [re.escape(char) if char.isascii() else r"[\x80-\xff]{1,4}" for char in literal if char != " "]
    spaced = iter(parts)
    return "".join(r"(?:[ \t\n_-]|[\x80-\xff]{2,3})" if char == " " else next(spaced) for char in literal)


def _forms(literal: str) -> tuple[str, ...]:
    """A literal with its gaps as spaces and closed up."""
    return (literal, literal.replace(" ", "")) if " " in literal else (literal,)


def _is_hump(text: str, start: int) -> bool:
    """Whether a word begins here inside a name such as `customerPassport`."""
    return text[start].isupper() and text[start - 1].islower()
