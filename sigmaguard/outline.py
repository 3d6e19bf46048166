"""The outline of a regular expression over UTF-8 bytes: wider than the pattern, never narrower. Matches nothing itself.

Reads the tree that `re` itself parses (`re._parser`, the only way to it). Edges, look-arounds and bounds are left
out, a code point beyond ASCII becomes some bytes over 7F, a repeated group becomes anything at all; what cannot
be said for sure ends the outline. What is left is what an automaton is good at: which words follow which.
"""

import re
from collections.abc import Sequence
from re import _constants as codes  # type: ignore[attr-defined,unused-ignore]
from re import _parser as parser  # type: ignore[attr-defined,unused-ignore]
from typing import Any

import msgspec

EDGE = "(?:^|[^0-9A-Za-z])"  # no ASCII letter or digit before
ANYTHING = r"[\x00-\xff]*"
MOST_SAID = 1_000  # characters of an outline: of a few that are longer an automaton takes seconds to make
MOST_COPIES = 6  # of a repeated character; more make the automaton larger and let hardly less through

# The code points beyond ASCII that equal an ASCII letter where case does not count: dotted I, dotless i, long s, kelvin
FOLDING = (0x130, 0x131, 0x17F, 0x212A)
_BYTE = r"[\x00-\xff]"
_BEYOND = r"\x80-\xff"
_ZERO_WIDTH = (codes.AT, codes.ASSERT, codes.ASSERT_NOT)
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
# What each category has of ASCII
_CATEGORIES = {
    codes.CATEGORY_DIGIT: "0-9",
    codes.CATEGORY_NOT_DIGIT: r"\x00-\x2f:-\x7f",
    codes.CATEGORY_WORD: "0-9A-Za-z_",
    codes.CATEGORY_NOT_WORD: r"\x00-\x2f:-@\x5b-\x5e\x60\x7b-\x7f",
    codes.CATEGORY_SPACE: r"\t-\r\x1c-\x20",
    codes.CATEGORY_NOT_SPACE: r"\x00-\x08\x0e-\x1b!-\x7f",
}

Piece = tuple[str, bool]  # what is said, and whether it may also be missing: beside `ANYTHING` it says nothing


class Outline(msgspec.Struct, frozen=True):
    """An expression over bytes (Latin-1); empty where it says nothing. `ignores_case`: ASCII letters of either case."""

    said: str
    ignores_case: bool = False

    def after(self, edge: str) -> "Outline":
        """The outline with something before it."""
        return Outline(f"{edge}(?:{self.said})", self.ignores_case) if self.said else self


def outline(pattern: str, *, ignores_case: bool = False) -> Outline:
    """The outline of a pattern; empty where it says nothing of what a match must hold.

    `ignores_case` is for patterns that are matched against text in lower case.
    """
    try:
        tree = parser.parse(pattern)
    except re.error:  # a pattern of another library
        return Outline("")
    either = ignores_case or bool(tree.state.flags & re.IGNORECASE) or "(?i" in pattern
    return Outline(_Outliner(ignores_case=either).whole(list(tree)), either)


class _UnsayableError(Exception):
    """A part of a pattern that no outline tells."""


class _Outliner:
    def __init__(self, *, ignores_case: bool) -> None:
        self._ignores_case = ignores_case

    def whole(self, items: Sequence[Any]) -> str:
        """The outline of a whole pattern, up to what cannot be said."""
        pieces: list[Piece] = []
        size = 0
        for item in items:
            try:
                piece = self._piece(*item)
            except _UnsayableError:
                break
            size += len(piece[0])
            if pieces and size > MOST_SAID:
                break
            pieces.append(piece)
        kept = _told(pieces)
        while kept and (kept[-1][1] or kept[-1][0] == ANYTHING):
            kept.pop()
        return "".join(said for said, _ in kept)

    def _said(self, items: Sequence[Any]) -> str:
        return "".join(said for said, _ in _told([self._piece(*item) for item in items]))

    def _piece(self, code: Any, argument: Any) -> Piece:
        if code in _ZERO_WIDTH:
            return "", True
        if code is codes.LITERAL:
            if argument < 0x80:
                return _byte(argument), False
            return f"{_BYTE}+" if self._folds(argument, argument) else f"[{_BEYOND}]+", False
        if code is codes.NOT_LITERAL:
            return self._class([(codes.NEGATE, None), (codes.LITERAL, argument)]), False
        if code is codes.IN:
            return self._class(argument), False
        if code is codes.ANY:
            return f"{_BYTE}+", False
        if code in (codes.SUBPATTERN, codes.ATOMIC_GROUP):
            return self._group(list(argument[3] if code is codes.SUBPATTERN else argument))
        if code is codes.BRANCH:
            return self._branch(argument[1])
        if code in _REPEATS:
            return self._repeat(*argument)
        raise _UnsayableError

    def _group(self, items: Sequence[Any]) -> Piece:
        pieces = _told([self._piece(*item) for item in items])
        if len(pieces) == 1:
            return pieces[0]
        return _grouped("".join(said for said, _ in pieces)), not pieces

    def _branch(self, branches: Sequence[Any]) -> Piece:
        ways = list(dict.fromkeys(self._said(list(one)) for one in branches))
        if ANYTHING in ways:
            return ANYTHING, False
        return (f"(?:{'|'.join(ways)})" if any(ways) else ""), "" in ways

    def _repeat(self, least: int, most: Any, body: Sequence[Any]) -> Piece:
        items = list(body)
        said = self._said(items)
        if not said:
            return "", True
        if said == ANYTHING:
            return ANYTHING, False
        if (least, most) == (0, 1):
            return f"{_grouped(said)}?", True
        if len(items) == 1 and items[0][0] in (codes.IN, codes.LITERAL, codes.NOT_LITERAL):
            one = said.removesuffix("+")  # a run of a class is said as a run already
            copies = min(least, MOST_COPIES)
            is_run = one != said or most != least or least > MOST_COPIES
            return f"{one}{{{copies}{',' if is_run else ''}}}", not least
        if least == 0:
            return ANYTHING, False
        return (_grouped(said) if most == 1 else _grouped(said) + ANYTHING), False

    def _folds(self, low: int, high: int) -> bool:
        """Whether one of these code points beyond ASCII also matches an ASCII letter, where case does not count."""
        return self._ignores_case and any(low <= point <= high for point in FOLDING)

    def _class(self, choices: Sequence[Any]) -> str:
        """A character class over bytes; where case does not count, a class that leaves letters out says nothing."""
        members, is_negated, beyond, has_letters = "", False, False, False
        for code, argument in choices:
            if code is codes.NEGATE:
                is_negated = True
            elif code is codes.LITERAL:
                members += _byte(argument) if argument < 0x80 else ""
                if not is_negated and self._folds(argument, argument):
                    return f"{_BYTE}+"
                beyond = beyond or argument >= 0x80
                has_letters = has_letters or chr(argument).isalpha()
            elif code is codes.RANGE:
                low, high = argument
                members += f"{_byte(low)}-{_byte(min(high, 0x7F))}" if low < 0x80 else ""
                if not is_negated and self._folds(low, high):
                    return f"{_BYTE}+"
                beyond = beyond or high >= 0x80
                has_letters = has_letters or high >= ord("A")
            elif argument in _CATEGORIES:
                members += _CATEGORIES[argument]
                beyond = True
                has_letters = has_letters or argument is codes.CATEGORY_WORD
            else:
                raise _UnsayableError
        if not is_negated:
            return f"[{members}{_BEYOND}]+" if beyond else f"[{members}]"
        if has_letters and self._ignores_case:
            return f"{_BYTE}+"
        return f"[^{members}]+" if members else f"{_BYTE}+"


def _told(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces that say something: what may be missing says nothing beside `ANYTHING`."""
    kept: list[Piece] = []
    for said, may_miss in pieces:
        if not said:
            continue
        if said == ANYTHING:
            while kept and (kept[-1][1] or kept[-1][0] == ANYTHING):
                kept.pop()
        elif may_miss and kept and kept[-1][0] == ANYTHING:
            continue
        kept.append((said, may_miss))
    return kept


def _byte(point: int) -> str:
    char = chr(point)
    return char if char.isalnum() else rf"\x{point:02x}"


def _grouped(said: str) -> str:
    return f"(?:{said})" if said else ""
