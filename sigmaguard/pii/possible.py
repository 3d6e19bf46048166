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
        self._prefilter = prefilter((*written, *named))
        self._written = tuple(map(frozenset, written.values()))
        self._named = tuple(map(frozenset, named.values()))
        # what counts only where a word names it
        self._needs_name = frozenset(at for at, kind in enumerate(kinds) if kind.alone < LEAST)

    def of(self, text: str) -> set[int] | None:
        """The kinds that can be found in a text; None where nobody knows."""
        seen = self._prefilter.seen(text)
        if not seen:
            return None if seen is None else set()
        names_from = len(self._written)
        possible: set[int] = set()
        named: set[int] = set()
        for at in seen:
            if at < names_from:
                possible |= self._written[at]
            else:
                named |= self._named[at - names_from]
        return possible - (self._needs_name - named)
