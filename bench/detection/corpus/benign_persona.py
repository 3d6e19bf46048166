"""Knows long harmless prompts in the form of jailbreaks: characters, games, simulators, strict rules. None lifts a limit."""

import random
import re
from collections.abc import Iterator, Mapping

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example
from detection.corpus.persona_layout import laid_out

SOURCE = "benign_persona"
SHARES: Mapping[str, float] = {"en": 0.56, "de": 0.23, "fr": 0.07, "it": 0.07, "es": 0.07}
_AN = re.compile(r"\b([Aa])(?= (?:a|e(?!u)|i|o(?!ne)|un(?!i))[a-z])")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` long harmless prompts, origin `user`."""
    cards = bank_cards(read_banks(f"{SOURCE}_", "persona", "user"), _typed)
    hands = {lang: deal(rng, count, [card for card in cards if card.lang == lang], SOURCE) for lang in SHARES}
    for lang in rng.choices(list(SHARES), list(SHARES.values()), k=count):
        yield next(hands[lang])


def _typed(rng: random.Random, text: str, lang: str) -> str:
    text = laid_out(rng, text)
    return roughen(rng, _AN.sub(r"\1n", text) if lang == "en" else text, lang)
