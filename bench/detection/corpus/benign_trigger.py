"""Knows innocent user sentences that carry the words of attacks; knows no attack."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign user sentences with one to three trigger words each."""
    cards = bank_cards(read_banks("benign_trigger", "trigger-words", "user"), roughen)
    return deal(rng, count, cards, "benign_trigger")
