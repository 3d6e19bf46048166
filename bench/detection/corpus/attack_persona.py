"""Writes jailbreak prompts from a paragraph to an essay, out of interchangeable sections; names topics, teaches none."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, of_user, open_deck
from detection.corpus.example import Example
from detection.corpus.manner_outline import compose, premise
from detection.corpus.manner_register import as_typed

SOURCE = "attack_persona"
SECTIONS = ("rule", "story", "form", "penalty", "muzzle", "pressure", "consent", "commands", "dialogue", "reminder")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count jailbreak prompts, origin `user`, over all premises and languages."""
    deck = open_deck("attack_slots", "attack_jailbreak", "manner_common", "attack_persona")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn, text = compose(deck, rng, SECTIONS, "closing")
    return of_user(drawn, as_typed(text, drawn.lang, rng), "jailbreak", SOURCE, premise(drawn))
