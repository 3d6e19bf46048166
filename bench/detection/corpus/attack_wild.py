"""Writes jailbreak prompts in the shapes that circulate among people; names topics, teaches none."""

import random
from collections.abc import Iterator, Sequence

from detection.corpus.attack_frames import Deck, distinct, of_user, one_of, open_deck, tidy
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "attack_wild"
BANKS = (SOURCE, "attack_wild_modes", "attack_wild_tales")
SHARES = {"en": 62, "de": 20, "fr": 6, "it": 6, "es": 6}  # in percent
PREFACED = 0.15  # how often a remark to the model stands in front


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count jailbreak prompts, origin `user`, over all families and languages."""
    decks = [open_deck(bank) for bank in BANKS]
    return distinct(lambda: _example(decks, rng), count)


def _example(decks: Sequence[Deck], rng: random.Random) -> Example:
    lang = rng.choices(list(SHARES), list(SHARES.values()))[0]
    drawn = one_of(decks, lang, rng).draw(rng, lang)
    text = tidy(drawn.text)
    if rng.random() < PREFACED:
        text = decks[0].fill("before", lang, rng) + "\n\n" + text
    return of_user(drawn, as_typed(text, lang, rng), "jailbreak", SOURCE)
