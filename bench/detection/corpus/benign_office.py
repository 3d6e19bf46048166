"""Knows pages agents read at work, full of orders to people: wikis, threads, shops, logs, JSON; none addresses a model."""

import random
from collections import deque
from collections.abc import Iterator

import msgspec

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.example import Example
from detection.corpus.office_shape import reshape

SOURCE = "benign_office"
TOGETHER = 0.22  # share of pages that are read with others: a thread, a folder, a long document
PARTS = (2, 2, 3, 4, 5, 7, 9)
ALIKE = 0.6  # share of those whose parts are all of one kind


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign documents and tool results, from one line to a few hundred words, five languages."""
    cards = bank_cards(read_banks("benign_office", "document", "document"))
    earlier: dict[str, deque[str]] = {}
    for page in deal(rng, count, cards, SOURCE):
        kind = page.template if rng.random() < ALIKE else page.lang
        text = page.text
        if rng.random() < TOGETHER:
            text = _stacked(rng, [*earlier.get(kind, ()), text])
        for key in (page.template, page.lang):
            earlier.setdefault(key, deque(maxlen=max(PARTS) - 1)).append(page.text)
        text, origin = reshape(rng, text, page.origin, page.lang)
        yield msgspec.structs.replace(page, text=text, origin=origin)


def _stacked(rng: random.Random, texts: list[str]) -> str:
    glue = rng.choice(("\n\n", "\n\n---\n\n", "\n\n\n", "\n\n* * *\n\n", "\n"))
    return glue.join(texts[-rng.choice(PARTS) :])
