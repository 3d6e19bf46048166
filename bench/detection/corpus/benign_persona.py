"""Knows long harmless prompts in the form of jailbreaks: characters, games, simulators, strict rules. None lifts a limit."""

import random
from collections.abc import Iterator, Mapping

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal_shares
from detection.corpus.benign_register import roughen, with_articles
from detection.corpus.example import Example
from detection.corpus.persona_layout import laid_out

SOURCE = "benign_persona"
SHARES: Mapping[str, float] = {"en": 0.56, "de": 0.23, "fr": 0.07, "it": 0.07, "es": 0.07}


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` long harmless prompts, origin `user`."""
    cards = bank_cards(read_banks(f"{SOURCE}_", "persona", "user"), _typed)
    return deal_shares(rng, count, cards, SOURCE, SHARES)


def _typed(rng: random.Random, text: str, lang: str) -> str:
    text = laid_out(rng, text)
    return roughen(rng, with_articles(text, lang), lang)
