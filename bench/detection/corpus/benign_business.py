"""Knows documents of working life: mails, policies, manuals, contracts, tables; none of them speaks to a model."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_table import table_cards
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign documents, from one line to a few hundred words."""
    cards = [*bank_cards(read_banks("benign_business", "document", "document")), *table_cards()]
    return deal(rng, count, cards, "benign_business")
