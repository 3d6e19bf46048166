"""Writes attempts of a user to override, hijack or read out an assistant's instructions; not jailbreaks."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, finished, of_user, open_deck
from detection.corpus.example import Example

SOURCE = "attack_direct"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count direct injections, origin `user`, over all families and languages."""
    deck = open_deck("attack_slots", "attack_direct")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn = deck.draw(rng)
    return of_user(drawn, finished(deck, drawn, rng, 0.25), "injection", SOURCE)
