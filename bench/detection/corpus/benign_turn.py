"""Knows what people ordinarily type in one turn, also where it looks like an injection: corrections, roles, pasted texts."""

import random
import re
from collections.abc import Iterator

from detection.corpus.benign_bank import Bank, read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example

SOURCE = "benign_turn"
SHARES = {"en": 0.45, "de": 0.35, "fr": 0.07, "it": 0.065, "es": 0.065}
PASTED = 0.34  # the share of turns that ask about a text pasted above
SHORTEST, LONGEST = 10, 900
_SPARE = 9  # texts dealt for one that is kept
_ARTICLE = re.compile(r"\b([Aa])(?= [aeio])(?! (?:eu|one|once)\b)")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless turns, origin `user`, of all languages; about a third follow a pasted text."""
    short = _streams(rng, count, read_banks("benign_turn_short", "turn", "user"))
    pasted = _streams(rng, count, read_banks("benign_turn_paste", "turn-paste", "user"))
    for _ in range(count):
        lang = rng.choices(list(SHARES), list(SHARES.values()))[0]
        stream = (pasted if rng.random() < PASTED else short)[lang]
        yield next(turn for turn in stream if SHORTEST <= len(turn.text) <= LONGEST)


def _streams(rng: random.Random, count: int, banks: tuple[Bank, ...]) -> dict[str, Iterator[Example]]:
    """One endless enough row of turns for every language."""
    cards = bank_cards(banks, _typed)
    return {lang: deal(rng, count * _SPARE, [card for card in cards if card.lang == lang], SOURCE) for lang in SHARES}


def _typed(rng: random.Random, text: str, lang: str) -> str:
    if lang == "en":
        text = _ARTICLE.sub(r"\1n", text)
    return roughen(rng, text, lang)
