"""Writes direct injections of a user in many manners and registers; knows no sentence and no jailbreak."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, of_user, open_deck, tidy
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "attack_manner"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count direct injections, origin `user`, over all families and languages."""
    deck = open_deck("attack_slots", "manner_common", "attack_manner")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn = deck.draw(rng)
    return of_user(drawn, as_typed(tidy(drawn.text), drawn.lang, rng), "injection", SOURCE)
