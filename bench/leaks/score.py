"""Counts what was found, missed and wrongly called a secret. Knows spans only."""

import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from leaks.corpus import Document
from leaks.finders import Finder, Found


class Score(msgspec.Struct):
    """One finder over a corpus: how often each kind was planted, noticed and covered, and its false lines by look-alike.

    `noticed`: a finding stands on a line of the secret. `covered`: one spans half of it or more, so that masking works.
    """

    planted: Counter[str]
    noticed: Counter[str]
    covered: Counter[str]
    false: Counter[str]
    documents: int = 0
    characters: int = 0
    seconds: float = 0.0

    @property
    def recall(self) -> float:
        """The share of what was planted that was noticed."""
        return self.noticed.total() / max(1, self.planted.total())

    @property
    def precision(self) -> float:
        """The share of lines called secret that held one."""
        return self.noticed.total() / max(1, self.noticed.total() + self.false.total())


def score(finder: Finder, documents: Sequence[Document]) -> Score:
    """A finder's score over documents."""
    result = Score(Counter(), Counter(), Counter(), Counter())
    for document in documents:
        since = time.perf_counter()
        findings = finder.find(document.name, document.text)
        result.seconds += time.perf_counter() - since
        result.documents += 1
        result.characters += len(document.text)
        _count(result, document, findings)
    return result


def _count(result: Score, document: Document, findings: Sequence[Found]) -> None:
    text, secret_lines = document.text, set[int]()
    for planted in document.planted:
        lines = _lines(text, planted.start, planted.end)
        secret_lines |= lines
        result.planted[planted.kind] += 1
        result.noticed[planted.kind] += any(lines & _lines(text, one.start, one.end) for one in findings)
        half = (planted.end - planted.start) / 2
        result.covered[planted.kind] += any(
            min(one.end, planted.end) - max(one.start, planted.start) >= half for one in findings
        )
    false = {line for one in findings for line in _lines(text, one.start, one.end)} - secret_lines
    for start, end, kind in document.harmless:
        result.false[kind] += len(_lines(text, start, end) & false)


def _lines(text: str, start: int, end: int) -> set[int]:
    return set(range(text.count("\n", 0, start), text.count("\n", 0, max(start, end - 1)) + 1))
