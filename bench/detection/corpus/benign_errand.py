"""Knows what users tell their agents to do: short orders with tools, and questions about their own things. All harmless."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` orders and questions, origin `user`."""
    return deal(rng, count, bank_cards(read_banks("benign_errand", "errand", "user"), roughen), "benign_errand")
