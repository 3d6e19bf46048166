"""What one kind of personal data is to the analyzer. Knows the shape of the table, not its rows."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from sigmaguard.outline import Outline

Span = tuple[int, int, float]  # start, end in code points, half-open, and a score 0..1


class Spans(Protocol):
    """Finds one kind in a part of a text: what Presidio's `analyze` does, without building result objects."""

    def spans(self, text: str, start: int, end: int) -> Iterable[Span]:
        """Spans found between `start` and `end`, which lie at the borders of words."""
        ...


@runtime_checkable
class Outlined(Protocol):
    """Spans that can say what a text must hold for any of them to be in it."""

    @property
    def outlines(self) -> Sequence[Outline]:
        """One of these is in every text with a span; one that says nothing is in any text."""
        ...


class Kind(msgspec.Struct, frozen=True):
    """One kind of personal data and when it counts.

    `entity` is our name, `presidio` the recognizer's own. A finding scores at most `alone` where none
    of `context` stands within reach before it, and at least `named` where one does. `context` are
    literals in lower case; a space in them stands for a space, `-`, `_` or nothing. `needs` are strings
    one of which the text must hold, `digits` the fewest digits a finding has. `glued` allows digits
    right before or after, parted by a point or a hyphen only. `sure` says that no part of a hash or a timestamp
    is found by chance. `bare` is the most that digits without
    any separator score alone. `language` is where it is used (empty: everywhere). `chars` bounds its
    length in code points. `gate` is a pattern (RE2, over UTF-8) without which no finding can be in a
    text: cheap to look for, it spares the patterns themselves.
    """

    entity: str
    presidio: str
    build: Callable[[], Spans]
    alone: float = 1.0
    named: float = 0.9
    context: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    digits: int = 1
    bare: float = 1.0
    glued: bool = False
    sure: bool = False
    language: str = ""
    chars: int = 48
    gate: str = ""
