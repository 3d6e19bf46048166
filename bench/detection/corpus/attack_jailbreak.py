"""Writes attempts of a user to talk a model out of its policy by roles, modes, fiction, games and claims."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, finished, of_user, open_deck
from detection.corpus.example import Example

SOURCE = "attack_jailbreak"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count jailbreaks, origin `user`, over all families and languages."""
    deck = open_deck("attack_slots", "attack_jailbreak")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn = deck.draw(rng)
    return of_user(drawn, finished(deck, drawn, rng, 0.25), "jailbreak", SOURCE)
