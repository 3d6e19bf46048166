"""Knows what builders, offices, shops and security staff write with the words of attacks in their ordinary meaning. All harmless."""

import random
from collections.abc import Iterator, Mapping

import msgspec

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example

SOURCE = "benign_maker"
SHARES: Mapping[str, float] = {"en": 0.5, "de": 0.32, "fr": 0.06, "it": 0.06, "es": 0.06}
ORIGINS: Mapping[str, float] = {"user": 0.65, "tool": 0.2, "document": 0.15}


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless texts of makers; what users typed is roughened, what tools and documents say is not."""
    cards = bank_cards(read_banks(f"{SOURCE}_", "maker", "user"))
    hands = {
        (lang, origin): deal(rng, count, [card for card in cards if (card.lang, card.origin) == (lang, origin)], SOURCE)
        for lang in SHARES
        for origin in ORIGINS
    }
    langs = rng.choices(list(SHARES), list(SHARES.values()), k=count)
    origins = rng.choices(list(ORIGINS), list(ORIGINS.values()), k=count)
    for hand in zip(langs, origins, strict=True):
        yield _typed(rng, next(hands[hand]))


def _typed(rng: random.Random, example: Example) -> Example:
    if example.origin != "user" or "\n" in example.text:
        return example
    return msgspec.structs.replace(example, text=roughen(rng, example.text, example.lang))
