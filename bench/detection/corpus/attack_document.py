"""Writes document texts with an instruction to the reading model planted in them; origin `document`."""

import random
from collections.abc import Iterator

from detection.corpus.attack_planted import planted_examples
from detection.corpus.example import Example

SOURCE = "attack_document"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count planted injections over all payload families, carriers and languages."""
    return planted_examples(rng, count, "document", SOURCE)
