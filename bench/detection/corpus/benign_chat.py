"""Knows ordinary requests and small talk of users of a chat; knows no attack."""

import random
from collections.abc import Iterator

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign chat messages, from one word to several paragraphs."""
    cards = bank_cards(read_banks("benign_chat", "chat", "user"), roughen)
    return deal(rng, count, cards, "benign_chat")
