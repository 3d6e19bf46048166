"""Writes texts that hijack a task's output, swap the role or ask for the prompt; the manners known from prompt-hacking games."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, finished, of_user, open_deck
from detection.corpus.example import Example

SOURCE = "attack_hijack"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count hijacks, origin `user`, English and German."""
    deck = open_deck("attack_slots", "attack_hijack")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn = deck.draw(rng)
    return of_user(drawn, finished(deck, drawn, rng, 0.25), "injection", SOURCE)
