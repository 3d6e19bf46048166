"""One leak rule compiled: where to try it, what it matches, whether the value can be real. Knows no other rule."""

import re
from collections.abc import Callable, Sequence

import regex

from sigmaguard.detectors.checks import CHECKS
from sigmaguard.detectors.entropy import shannon
from sigmaguard.detectors.heads import head_of
from sigmaguard.detectors.keywords import lower
from sigmaguard.detectors.shape import Shape, shape_of
from sigmaguard.errors import ConfigError
from sigmaguard.outline import EDGE, outline
from sigmaguard.policy.pack import Rule

Span = tuple[int, int]
Match = tuple[int, int, int, int]  # the whole match, then its value, half-open
Judge = Callable[[str], bool]

_UNNAMED = re.compile(r"\(\?P<value>")
_NEVER = "\U0010ffff"  # a noncharacter: a pattern followed by it can only ever match in part
LOOKAHEAD = 8  # code points past a match that its closing look-ahead may read


class Credential:
    """A compiled rule.

    `leads` says that every match begins with a keyword, so that the pattern is tried just there;
    otherwise it is searched in a window around the keyword. `head` says in RE2 how a match that leads
    begins, empty where nothing is known; `outline` what any match holds. `bounded` says that no match
    follows a letter or digit.
    Raises ConfigError where the rule cannot work.
    """

    __slots__ = (
        "_accepts",
        "_allow",
        "_entropy",
        "_partial",
        "_pattern",
        "_value",
        "bounded",
        "head",
        "keywords",
        "leads",
        "outline",
        "reach",
        "rule",
        "shape",
        "tags",
    )

    def __init__(self, rule: Rule, tags: tuple[str, ...] = ()) -> None:
        self.rule = rule
        self.tags = rule.tags or tags
        try:
            self.shape: Shape = shape_of(rule.pattern)
        except ConfigError as error:
            raise ConfigError(f"rule `{rule.id}`: pattern: {error}") from error
        if not rule.pattern or self.shape.narrowest == 0:
            raise ConfigError(f"rule `{rule.id}`: a leak rule needs a pattern that matches at least one character")
        if self.shape.widest > rule.max_chars:
            raise ConfigError(
                f"rule `{rule.id}`: the pattern can match {self.shape.widest} characters and `max_chars` is "
                f"{rule.max_chars}; raise it or bound the pattern"
            )
        if rule.check and rule.check not in CHECKS:
            raise ConfigError(f"rule `{rule.id}`: no check `{rule.check}`; there are {', '.join(sorted(CHECKS))}")
        self._pattern = re.compile(rule.pattern)
        self._partial = regex.compile(f"(?:{rule.pattern}){_NEVER}")
        self._value = "value" if "value" in self._pattern.groupindex else 0
        self._entropy = rule.entropy
        self._allow = frozenset(rule.allow)
        self._accepts: Judge | None = CHECKS.get(rule.check)
        self.reach = self.shape.widest
        self.keywords = tuple(dict.fromkeys(lower(word) for word in rule.keywords))
        self.leads = self.shape.begins_with(self.keywords)
        self.head = head_of(rule.pattern) if self.leads else ""
        self.bounded = not any(
            self._partial.match(mark + word, 1, partial=True) for word in self._starts() for mark in "aZ0"
        )

        self.outline = outline(rule.pattern).after(EDGE if self.leads and self.bounded else "")

    def _starts(self) -> tuple[str, ...]:
        """Beginnings to try a boundary with, in every case they might be written."""
        words = self.rule.keywords if self.leads else ()
        return tuple({form for word in words for form in (word, word.lower(), word.upper())})

    def match(self, text: str, at: int) -> Match | None:
        """The rule's match that begins at `at`, if its value can be real."""
        found = self._pattern.match(text, at)
        return self._judged(found) if found else None

    def search(self, text: str, start: int, end: int) -> list[Match]:
        """The rule's matches within [start, end)."""
        judged = (self._judged(found) for found in self._pattern.finditer(text, start, end))
        return [one for one in judged if one]

    def _judged(self, found: re.Match[str]) -> Match | None:
        value = found[self._value]
        if (
            value in self._allow
            or (self._entropy and shannon(value) < self._entropy)
            or (self._accepts is not None and not self._accepts(value))
        ):
            return None
        return (*found.span(), *found.span(self._value))

    def may_grow(self, text: str, at: int) -> bool:
        """Whether a match beginning at `at` could still come about, or grow, as text follows."""
        found = self._partial.match(text, at, partial=True)
        return found is not None and found.partial

    def grows_from(self, text: str, at: int) -> int:
        """The first place from `at` on where a match could still come about or grow; len(text) where none could."""
        return _grows_from(self._partial, text, at)


class Growing:
    """Several rules' patterns asked at once whether a match could still come about."""

    __slots__ = ("_partial", "reach")

    def __init__(self, credentials: Sequence[Credential]) -> None:
        self.reach = max((one.reach for one in credentials), default=0)
        patterns = "|".join(f"(?:{_UNNAMED.sub('(', one.rule.pattern)})" for one in credentials)
        self._partial = regex.compile(f"(?:{patterns}){_NEVER}") if patterns else None

    def grows_from(self, text: str, at: int) -> int:
        """The first place from `at` on where a match could still come about or grow; len(text) where none could."""
        return _grows_from(self._partial, text, at) if self._partial else len(text)


def _grows_from(partial: "regex.Pattern[str]", text: str, at: int) -> int:
    found = partial.search(text, at, partial=True)
    return found.start() if found is not None and found.partial else len(text)
