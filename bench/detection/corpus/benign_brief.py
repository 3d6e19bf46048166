"""Knows how people brief a writer: long demands on stories, form and style, and hard questions. All harmless."""

import random
from collections.abc import Iterator

from detection.corpus.attack_style import roughen
from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.example import Example


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` briefs, tasks with demands on form and discussion questions, origin `user`."""
    return deal(rng, count, bank_cards(read_banks("benign_brief", "brief", "user"), _typed), "benign_brief")


def _typed(rng: random.Random, text: str, _lang: str) -> str:
    # No greetings or "keep it short" here: they would contradict the demands of a brief.
    return roughen(text, rng)
