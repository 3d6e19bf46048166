"""Knows what tools hand back to an agent: records, pages, logs, code, threads; none of it speaks to the agent."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_record import record_cards
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign tool results, from one line to a few hundred words."""
    cards = [*bank_cards(read_banks("benign_tool", "tool-text", "tool")), *record_cards()]
    return deal(rng, count, cards, "benign_tool")
