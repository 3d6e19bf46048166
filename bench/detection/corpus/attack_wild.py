"""Writes jailbreak prompts in the shapes that circulate among people; names topics, teaches none."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, of_user, open_deck, tidy
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "attack_wild"
SHARES = {"en": 62, "de": 20, "fr": 6, "it": 6, "es": 6}  # in percent
PREFACED = 0.15  # how often a remark to the model stands in front


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count jailbreak prompts, origin `user`, over all families and languages."""
    deck = open_deck("attack_wild")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    lang = rng.choices(list(SHARES), list(SHARES.values()))[0]
    drawn = deck.draw(rng, lang)
    text = tidy(drawn.text)
    if rng.random() < PREFACED:
        text = deck.fill("before", lang, rng) + "\n\n" + text
    return of_user(drawn, as_typed(text, lang, rng), "jailbreak", SOURCE)
