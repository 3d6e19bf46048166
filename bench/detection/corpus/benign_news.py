"""Knows newspaper prose as people paste, mail and fetch it; knows no attack."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign articles, alone or with what a user asks about them, in English and German."""
    return deal(rng, count, bank_cards(read_banks("benign_news", "news", "document")), "benign_news")
