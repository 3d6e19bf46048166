"""What can be told of a regular expression before it runs: its width, its first letters, whether it spans spaces.

Reads the tree that `re` itself parses (`re._parser`, the only way to it); matches nothing.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from re import _constants as codes  # type: ignore[attr-defined,unused-ignore]
from re import _parser as parser  # type: ignore[attr-defined,unused-ignore]
from typing import Any

import msgspec

from sigmaguard.errors import ConfigError

MOST_PREFIXES = 512  # alternatives followed before a pattern's first letters count as unknown
_WIDE = 1_000_000


class Shape(msgspec.Struct, frozen=True):
    """A pattern's width in code points, the lower-case letters it can begin with, whether it can span a space.

    `prefixes` holds every way it can begin, as far as that is literal.
    """

    narrowest: int
    widest: int
    prefixes: frozenset[str]
    spans_spaces: bool

    def begins_with(self, words: Iterable[str]) -> bool:
        """Whether every match begins with one of these lower-case words."""
        chosen = tuple(words)
        return bool(chosen) and all(prefix.startswith(chosen) for prefix in self.prefixes)


def shape_of(pattern: str) -> Shape:
    """The shape of a pattern. Raises ConfigError where it is not one, has no greatest width, or cannot stream."""
    try:
        tree = parser.parse(pattern)
    except re.error as error:
        raise ConfigError(f"not a regular expression: {error}") from error
    narrowest, widest = tree.getwidth()
    if widest >= _WIDE:
        raise ConfigError("a repeat has no upper bound: write `{0,80}` instead of `*`, `{1,80}` instead of `+`")
    items = list(tree)
    _refuse_boundaries(items)
    prefixes = frozenset(head for head, _ in _prefixes(items))
    return Shape(narrowest, widest, prefixes, any(_spans_space(item) for item in items))


def _refuse_boundaries(items: Sequence[Any]) -> None:
    """A boundary at the end of what was streamed so far says nothing of what comes: only the first item may be one."""
    for at, (code, argument) in enumerate(items):
        if at and code is codes.AT:
            raise ConfigError("only the start of a pattern may hold a boundary; write `(?![A-Za-z0-9])` at its end")
        for inner in _inside(code, argument):
            _refuse_boundaries([(codes.ANY, None), *inner])


def _inside(code: Any, argument: Any) -> list[Sequence[Any]]:
    if code is codes.SUBPATTERN:
        return [list(argument[3])]
    if code is codes.BRANCH:
        return [list(one) for one in argument[1]]
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [list(argument[2])]
    if code is codes.ATOMIC_GROUP:
        return [list(argument)]
    return []


Prefix = tuple[str, bool]  # letters, and whether they are the whole of what they begin


def _prefixes(items: Sequence[Any]) -> set[Prefix]:
    """Every literal beginning of the items."""
    found: set[Prefix] = {("", True)}
    for code, argument in items:
        if code in (codes.AT, codes.ASSERT, codes.ASSERT_NOT):
            continue
        step = _step(code, argument)
        if len(found) * len(step) > MOST_PREFIXES:
            return {(head, False) for head, _ in found}
        found = {one for one in found if not one[1]} | {
            (head + tail, whole) for head, is_open in found if is_open for tail, whole in step
        }
        if not any(is_open for _, is_open in found):
            break
    return found


def _step(code: Any, argument: Any) -> set[Prefix]:
    if code is codes.LITERAL:
        return {(chr(argument).lower(), True)}
    if code is codes.IN:
        return _letters(argument)
    if code is codes.SUBPATTERN:
        return _prefixes(list(argument[3]))
    if code is codes.BRANCH:
        return set().union(*(_prefixes(list(one)) for one in argument[1]))
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        least, most, body = argument
        if (least, most) == (0, 1):
            return _prefixes(list(body)) | {("", True)}
        return {(head, False) for head, _ in _prefixes(list(body))} if least else {("", False)}
    return {("", False)}


def _letters(choices: Sequence[Any]) -> set[Prefix]:
    """The members of a small character class, lower-cased."""
    members: set[str] = set()
    for code, argument in choices:
        if code is codes.LITERAL:
            members.add(chr(argument).lower())
        elif code is codes.RANGE and argument[1] - argument[0] < 32:
            members |= {chr(point).lower() for point in range(argument[0], argument[1] + 1)}
        else:
            return {("", False)}
    return {(member, True) for member in members} if len(members) <= 16 else {("", False)}


def _spans_space(item: Any) -> bool:
    code, argument = item
    if code is codes.LITERAL:
        return chr(argument).isspace()
    if code in (codes.ANY, codes.NOT_LITERAL):
        return True
    if code is codes.IN:
        return _class_spans_space(argument)
    return any(_spans_space(one) for inner in _inside(code, argument) for one in islice(inner, None))


def _class_spans_space(choices: Sequence[Any]) -> bool:
    negated = bool(choices) and choices[0][0] is codes.NEGATE
    named = [argument for code, argument in choices if code is codes.CATEGORY]
    if negated:
        return codes.CATEGORY_SPACE not in named
    if codes.CATEGORY_SPACE in named or any("NOT" in str(one) for one in named):
        return True
    literals = (chr(argument) for code, argument in choices if code is codes.LITERAL)
    ranges = (argument for code, argument in choices if code is codes.RANGE)
    return any(char.isspace() for char in literals) or any(low <= 32 <= high for low, high in ranges)
