"""Texts to sentences, as spans, cheaply. Knows ends of sentences and abbreviations, no grammar."""

import re

LONGEST = 400  # code points: what has no end of a sentence is cut at a space
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÄÖÜ0-9])|\s*\n\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Co|Inc|Ltd|No|Nr|vs|e\.g|i\.e|z\.B|geb|Hr|Fr|Str|bzw|ca|Abs|Art|Tel|[A-Z])|\d)\.\Z"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of a text, without the gaps between them; each at most `LONGEST` long."""
    found: list[tuple[int, int]] = []
    at = 0
    for gap in _END.finditer(text):
        start, end = gap.span()
        if start < at or ("\n" not in gap[0] and _ABBREVIATION.search(text, max(at, start - 8), start)):
            continue
        _cut(text, at, start, found)
        at = end
    _cut(text, at, len(text), found)
    return found


def _cut(text: str, start: int, end: int, found: list[tuple[int, int]]) -> None:
    while end - start > LONGEST:
        space = text.rfind(" ", start + 1, start + LONGEST)
        stop = space if space > 0 else start + LONGEST
        found.append((start, stop))
        start = stop + 1 if space > 0 else stop
    if start < end:
        found.append((start, end))
