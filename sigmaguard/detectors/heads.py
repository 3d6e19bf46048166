"""How the matches of a pattern must begin, said in RE2 over bytes: wider than the pattern, never narrower.

Reads the same tree as `shape`. A gate made of heads lets far fewer texts through than one of bare keywords.
"""

from collections.abc import Sequence
from re import _constants as codes  # type: ignore[attr-defined,unused-ignore]
from re import _parser as parser  # type: ignore[attr-defined,unused-ignore]
from typing import Any

import re2

MOST_COPIES = 6  # of a repeated item; more make the automaton larger and let hardly less through

_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"0-9\x80-\xff",
    codes.CATEGORY_WORD: r"0-9A-Za-z_\x80-\xff",
    codes.CATEGORY_SPACE: r"\t-\r\x1c-\x20\x80-\xff",
}


def head_of(pattern: str) -> str:
    """The head of a pattern; empty where nothing is known of how its matches begin."""
    return _Head().of(list(parser.parse(pattern)))[0]


class _Head:
    """Translates until it meets what it cannot say cheaply: a second open repeat, or one that spans spaces."""

    def __init__(self) -> None:
        self._is_open = False

    def of(self, items: Sequence[Any]) -> tuple[str, bool]:
        """The head of these items, and whether it says all of them."""
        said = ""
        for code, argument in items:
            if code in (codes.AT, codes.ASSERT, codes.ASSERT_NOT):
                continue
            piece, whole = self._item(code, argument)
            said += piece
            if not whole:
                return said, False
        return said, True

    def _item(self, code: Any, argument: Any) -> tuple[str, bool]:
        if code is codes.LITERAL:
            return (re2.escape(chr(argument)), True) if argument < 0x80 else (r"[\x80-\xff]+", True)
        if code is codes.NOT_LITERAL:
            return _class([(codes.NEGATE, None), (codes.LITERAL, argument)])
        if code is codes.IN:
            return _class(argument)
        if code is codes.SUBPATTERN:
            return self._grouped(self.of(list(argument[3])))
        if code is codes.BRANCH:
            said = [self.of(list(one)) for one in argument[1]]
            return f"(?:{'|'.join(one for one, _ in said)})", all(whole for _, whole in said)
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            return self._repeat(*argument)
        return "", False

    def _repeat(self, least: int, most: int, body: Sequence[Any]) -> tuple[str, bool]:
        piece, whole = self._grouped(self.of(list(body)))
        if not whole:
            return (piece, False) if least else ("", False)
        if (least, most) == (0, 1):
            return f"(?:{piece})?", True
        copies = min(least, MOST_COPIES)
        said = f"{piece}{{{copies}}}" if copies else ""
        if least == most and least <= MOST_COPIES:
            return said, True
        spans_spaces = len(body) != 1 or body[0][0] is not codes.IN or _takes_space(body[0][1])
        if self._is_open or spans_spaces:
            return said, False
        self._is_open = True
        return f"{said}{piece}*", True

    @staticmethod
    def _grouped(said: tuple[str, bool]) -> tuple[str, bool]:
        return f"(?:{said[0]})", said[1]


def _class(choices: Sequence[Any]) -> tuple[str, bool]:
    """A character class over bytes: any of those beyond ASCII stands for a part of a character beyond.

    RE2 looks at no case here, so a class that leaves letters out cannot be said.
    """
    members, is_negated, beyond, has_letters = "", False, False, False
    for code, argument in choices:
        if code is codes.NEGATE:
            is_negated = True
        elif code is codes.LITERAL and argument < 0x80:
            members += rf"\x{argument:02x}"
            has_letters = has_letters or chr(argument).isalpha()
        elif code is codes.RANGE and argument[1] < 0x80:
            members += rf"\x{argument[0]:02x}-\x{argument[1]:02x}"
            has_letters = has_letters or argument[1] >= ord("A")
        elif code is codes.CATEGORY and argument in _CATEGORIES:
            members += _CATEGORIES[argument].removesuffix(r"\x80-\xff") if is_negated else _CATEGORIES[argument]
            beyond = beyond or not is_negated
            has_letters = has_letters or argument is codes.CATEGORY_WORD
        else:
            return r"[\x00-\xff]", False
    if is_negated and has_letters:
        return r"[\x00-\xff]", False
    many = "+" if is_negated or beyond else ""
    return f"[{'^' if is_negated else ''}{members}]{many}", True


def _takes_space(choices: Sequence[Any]) -> bool:
    negated = choices[0][0] is codes.NEGATE
    named = any(code is codes.CATEGORY and argument is codes.CATEGORY_SPACE for code, argument in choices)
    literal = any(code is codes.LITERAL and argument == 0x20 for code, argument in choices)
    return not (named or literal) if negated else named or literal
