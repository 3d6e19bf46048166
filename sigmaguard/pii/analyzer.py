"""Finds personal data by its shape in one text. Knows windows, gates and scores; no detector's protocol."""

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from sigmaguard.gate import gate
from sigmaguard.pii.context import REACH, ContextWords, distance
from sigmaguard.pii.kind import Kind, Spans
from sigmaguard.pii.possible import LEAST, Possible
from sigmaguard.pii.technical import is_technical, is_version
from sigmaguard.pii.windows import Window, near, windows


class Found(msgspec.Struct, frozen=True, gc=False):
    """One value: code points of the text, half-open; how sure; its entity.

    `away` is how far before it a word names it, `rank` its place in the table.
    """

    start: int
    end: int
    score: float
    entity: str
    away: int
    rank: int


class PiiAnalyzer:
    """The recognizers of a table, loaded once, run only where they could find something."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.kinds = tuple(kinds)
        self._spans: list[Spans] = [kind.build() for kind in self.kinds]
        # a kind that counts only where it is named is switched on by its words
        self._always = [at for at, kind in enumerate(self.kinds) if kind.alone >= LEAST]
        # what may be found without being named: (fewest digits, place, whether a gate keeps it)
        self._unnamed = [(self.kinds[at].digits, at, bool(self.kinds[at].gate)) for at in self._always]
        self._gates = {at: gate((kind.gate,)) for at, kind in enumerate(self.kinds) if kind.gate}
        self._any_gate = gate([kind.gate for kind in self.kinds if kind.gate])
        self._words = ContextWords({at: kind.context for at, kind in enumerate(self.kinds)})
        self._possible = Possible(self.kinds, self._spans, self._words)

    def find(self, text: str) -> list[Found]:
        """Every value in a text, none overlapping another, in order."""
        possible = self._possible.of(text)
        if possible is not None and not possible:
            return []
        parts = windows(text)
        found: list[Found] = []
        written = text.encode("utf-8", "surrogatepass")
        # what is possible has been looked for by its gate already
        is_open = possible is not None or self._any_gate.search(written) is not None
        if parts:
            named = self._words.scan(text, written)
            most = max([part.digits for part in parts])
            ranks = [at for digits, at, gated in self._unnamed if digits <= most and (is_open or not gated)]
            for rank in sorted({*named, *ranks}) if named else ranks:
                if possible is not None and rank not in possible:
                    continue
                self._one(text, written, parts, rank, named.get(rank), found)
        else:
            # only what needs no digit: addresses of mail and of hardware
            for digits, rank, gated in self._unnamed:
                if digits == 0 and (is_open or not gated) and (possible is None or rank in possible):
                    self._one(text, written, (Window(0, len(text), 0),), rank, None, found)
        return resolve(found)

    def _one(
        self,
        text: str,
        written: bytes,
        parts: Sequence[Window],
        rank: int,
        named: Sequence[int] | None,
        found: list[Found],
    ) -> None:
        kind = self.kinds[rank]
        if kind.gate and self._gates[rank].search(written) is None:
            return
        if kind.needs and not any(need in text for need in kind.needs):
            return
        if kind.digits == 0:
            parts = (Window(0, len(text), 0),)
        spans = self._spans[rank].spans
        if kind.alone < LEAST:
            parts = near(text, parts, named or (), REACH + kind.chars)
        for part in parts:
            if part.digits < kind.digits:
                continue
            for start, end, score in spans(text, part.start, part.end):
                away = distance(text, named, start)
                if away <= REACH:
                    score = max(score, kind.named)
                else:
                    score = min(score, kind.alone)
                    if kind.bare < score and text[start:end].isdigit():
                        score = kind.bare
                if score >= LEAST and self._stands(text, start, end, kind):
                    found.append(Found(start, end, score, kind.entity, away, rank))

    def _stands(self, text: str, start: int, end: int, kind: Kind) -> bool:
        """Whether a value is not merely a part of something longer or of something technical."""
        if not kind.glued and (_glued_before(text, start) or _glued_after(text, end)):
            return False
        if kind.entity == "IP_ADDRESS" and is_version(text, start, end):
            return False
        return kind.digits == 0 or kind.sure or not is_technical(text, start, end)


def _glued_before(text: str, start: int) -> bool:
    return start >= 2 and text[start - 1] in "-./+" and text[start - 2].isdigit() and text[start].isdigit()


def _glued_after(text: str, end: int) -> bool:
    return end + 1 < len(text) and text[end] in "-./" and text[end + 1].isdigit() and text[end - 1].isdigit()


def resolve(found: list[Found]) -> list[Found]:
    """The findings that do not overlap a better one: the surer, then the one named nearest, then the longer."""
    if len(found) < 2:
        return found
    found.sort(key=_order)
    kept: list[Found] = []  # in order, so that a neighbour is enough to ask: a list of addresses holds thousands
    starts: list[int] = []
    for one in found:
        at = bisect_left(starts, one.end)
        if at == 0 or kept[at - 1].end <= one.start:
            kept.insert(at, one)
            starts.insert(at, one.start)
    return kept


def _order(one: Found) -> tuple[float, int, int, int, int]:
    return -one.score, one.away, one.start - one.end, one.rank, one.start
