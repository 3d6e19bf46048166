"""Which kinds of personal data can be in a text, by one look at it. Knows outlines and naming words, no value."""

from collections.abc import Sequence

from sigmaguard.outline import Outline
from sigmaguard.pii.context import ContextWords
from sigmaguard.pii.kind import Kind, Outlined, Spans
from sigmaguard.prefilter import prefilter

LEAST = 0.3  # a finding below this is not worth telling
_ANYWHERE = (Outline(""),)


class Possible:
    """The kinds by their places in a table: how each is written, and the words that name it."""

    def __init__(self, kinds: Sequence[Kind], spans: Sequence[Spans], words: ContextWords) -> None:
        written: dict[Outline, set[int]] = {}
        for at, (kind, one) in enumerate(zip(kinds, spans, strict=True)):
            gate = (Outline(kind.gate),) if kind.gate else ()
            for outline in gate or (one.outlines if isinstance(one, Outlined) else _ANYWHERE):
                written.setdefault(outline, set()).add(at)
        named = words.outlines()
        self._shapes = prefilter(tuple(written))
        self._words = prefilter(tuple(named))  # apart: made as one automaton they take three times as long to compile
        self._written = tuple(map(frozenset, written.values()))
        self._named = tuple(map(frozenset, named.values()))
        # what counts only where a word names it
        self._needs_name = frozenset(at for at, kind in enumerate(kinds) if kind.alone < LEAST)

    def of(self, text: str) -> set[int] | None:
        """The kinds that can be found in a text; None where nobody knows."""
        shapes, words = self._shapes.seen(text), self._words.seen(text)
        if shapes is None or words is None:
            return None
        if not shapes:
            return set()
        possible = frozenset[int]().union(*(self._written[at] for at in shapes))
        named = frozenset[int]().union(*(self._named[at] for at in words))
        return set(possible - (self._needs_name - named))
