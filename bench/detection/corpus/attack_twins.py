"""Writes the benign twins of planted attacks: the same carriers, clean or with a harmless passage planted."""

import random
from collections.abc import Iterator

from detection.corpus.attack_carriers import carriers
from detection.corpus.attack_frames import distinct
from detection.corpus.attack_planted import REUSE, neutral_in
from detection.corpus.attack_plants import BANKS, neutral_deck
from detection.corpus.example import Example

SOURCE = "attack_twins"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count benign documents and tool results; train them beside `attack_document` and `attack_tool`."""
    deck = neutral_deck()
    pools = {origin: list(carriers(rng, max(count // REUSE, 20), origin)) for origin in BANKS}

    def draw() -> Example:
        origin = rng.choice(list(BANKS))
        return neutral_in(rng.choice(pools[origin]), deck, origin, SOURCE, rng)

    return distinct(draw, count)
