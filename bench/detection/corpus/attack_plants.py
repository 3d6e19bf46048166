"""Writes the foreign instructions that get planted, and the harmless passages that look like them."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, finished, open_deck
from detection.corpus.example import Example

BANKS = {"document": "attack_plants", "tool": "attack_agent"}
SOURCE = "attack_plants"


def payload_deck(origin: str) -> Deck:
    """The bank of instructions for a document or for a tool result."""
    return open_deck("attack_slots", "attack_plants", BANKS[origin])


def neutral_deck() -> Deck:
    """The bank of passages that a document may well contain: facts, notes and requests to its human readers."""
    return open_deck("attack_slots", "attack_neutral")


def payloads(rng: random.Random, count: int, origin: str) -> Iterator[Example]:
    """Yield bare instructions, not yet planted: attacks only because of where they will stand."""
    deck = payload_deck(origin)

    def draw() -> Example:
        drawn = deck.draw(rng)
        return Example(
            text=finished(deck, drawn, rng, 0.12),
            label="injection",
            origin=origin,
            kind=drawn.family.kind,
            lang=drawn.lang,
            source=SOURCE,
            template=f"{BANKS[origin]}/{drawn.template}",
        )

    return distinct(draw, count)
