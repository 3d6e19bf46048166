"""Knows pages that agents read at work, full of orders to people: wikis, threads, shops, logs, JSON; none speaks to a model."""

import random
from collections.abc import Iterator

import msgspec

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.example import Example
from detection.corpus.office_shape import reshape

SOURCE = "benign_office"
TOGETHER = 0.12  # share of pages that are read with another one below: a search, a thread, a folder


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign documents and tool results, from one line to a few hundred words, five languages."""
    previous: dict[str, str] = {}
    for page in pages(rng, count):
        above = previous.get(page.lang)
        previous[page.lang] = page.text
        if above is None or rng.random() > TOGETHER:
            yield page
        else:
            glue = rng.choice(("\n\n", "\n\n---\n\n", "\n\n\n", "\n\n* * *\n\n", "\n"))
            yield msgspec.structs.replace(page, text=above + glue + page.text)


def pages(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` single pages in the many shapes in which an agent meets them."""
    cards = bank_cards(read_banks("benign_office", "document", "document"))
    for example in deal(rng, count, cards, SOURCE):
        text, origin = reshape(rng, example.text, example.origin, example.lang)
        yield msgspec.structs.replace(example, text=text, origin=origin)
