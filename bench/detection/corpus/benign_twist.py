"""Knows ordinary requests that resemble hijacks, and the everyday traffic of agents: tasks, bills, bookings, tool descriptions."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign texts of every origin, English and German."""
    cards = bank_cards(read_banks("benign_twist", "chat", "user"))
    rough = bank_cards(read_banks("benign_twist", "chat", "user"), roughen)
    return deal(rng, count, [a if a.origin != "user" else b for a, b in zip(cards, rough, strict=True)], "benign_twist")
