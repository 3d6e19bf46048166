"""Composes carriers with planted passages; the attack modules and their benign twins differ in the passage only."""

import random
from collections.abc import Iterator

import msgspec

from detection.corpus.attack_carriers import Carrier, carriers
from detection.corpus.attack_frames import Deck, distinct, finished
from detection.corpus.attack_planting import plant
from detection.corpus.attack_plants import BANKS, payload_deck
from detection.corpus.example import Example

FOREIGN = 0.12  # share of passages in another language than their carrier
REUSE = 3  # each carrier carries about so many passages, so that a carrier alone tells nothing


def planted_examples(rng: random.Random, count: int, origin: str, source: str) -> Iterator[Example]:
    """Yield count documents or tool results with one instruction planted in each."""
    deck = payload_deck(origin)
    pool = list(carriers(rng, max(count // REUSE, 20), origin))
    return distinct(lambda: attack_in(rng.choice(pool), deck, origin, source, rng), count)


def attack_in(carrier: Carrier, deck: Deck, origin: str, source: str, rng: random.Random) -> Example:
    """One carrier with one instruction from the deck, in the carrier's language (mostly)."""
    lang = carrier.lang if carrier.lang in deck.languages and rng.random() > FOREIGN else None
    drawn = deck.draw(rng, lang)
    planted = plant(carrier.text, finished(deck, drawn, rng, 0.12), rng)
    return Example(
        text=planted.text,
        label="injection",
        origin=origin,
        kind=drawn.family.kind,
        lang=carrier.lang,
        source=source,
        template=f"{BANKS[origin]}/{drawn.template}",
        start=planted.start,
        end=planted.end,
    )


def neutral_in(carrier: Carrier, deck: Deck, origin: str, source: str, rng: random.Random) -> Example:
    """One carrier as it is, or with one harmless passage at a place where an attack might stand."""
    example = Example(
        text=carrier.text, label="benign", origin=origin, kind="carrier", lang=carrier.lang,
        source=source, template=f"carrier/{carrier.template}",
    )  # fmt: skip
    if rng.random() < 0.35 or carrier.lang not in deck.languages:
        return example
    drawn = deck.draw(rng, carrier.lang)
    planted = plant(carrier.text, finished(deck, drawn, rng, 0.12), rng)
    return msgspec.structs.replace(example, text=planted.text, kind="neutral", template=f"neutral/{drawn.template}")
