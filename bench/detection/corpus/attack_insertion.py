"""Writes plainly worded instructions into office pages, and beside each the same page with a harmless passage there."""

import random
from collections.abc import Iterator

import msgspec

from detection.corpus.attack_carriers import carriers
from detection.corpus.attack_frames import Deck, finished, open_deck
from detection.corpus.attack_planting import plant
from detection.corpus.benign_office import generate as office_pages
from detection.corpus.example import Example

SOURCE = "attack_insertion"
ORIGINS = ("document", "tool")
OFFICE = 0.7  # share of pages by `benign_office`; the others carry the older generators' attacks as well
FOREIGN = 0.1  # share of passages in another language than their page
ROUGH = 0.08
LONGEST = 2600  # code points of a page: 128 tokens are read at a time, so more length adds nothing


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count attacks, each followed by its benign twin: same page, same place, a passage of similar shape."""
    attacks, twins = open_deck("attack_slots", "attack_insertion"), open_deck("attack_slots", "insertion_twins")
    carrying = _pages(rng, count)
    seen: set[str] = set()
    for _ in range(count):
        page = rng.choice(carrying)
        attack, twin = _pair(page, attacks, twins, rng)
        while attack.text in seen:
            attack, twin = _pair(rng.choice(carrying), attacks, twins, rng)
        seen.add(attack.text)
        yield attack
        yield twin


def _pages(rng: random.Random, count: int) -> list[Example]:
    found = [page for page in office_pages(rng, max(int(count * OFFICE), 40)) if len(page.text) <= LONGEST]
    for origin in ORIGINS:
        older = carriers(rng, max(int(count * (1 - OFFICE) / 2), 10), origin)
        found += [
            Example(
                text=c.text, label="benign", origin=origin, kind="page", lang=c.lang, source=SOURCE, template="page"
            )
            for c in older
            if len(c.text) <= LONGEST
        ]
    return found


def _pair(page: Example, attacks: Deck, twins: Deck, rng: random.Random) -> tuple[Example, Example]:
    lang = page.lang if page.lang in attacks.languages and rng.random() > FOREIGN else None
    place = rng.random()
    return _planted(page, attacks, lang, place, rng), _planted(page, twins, lang, place, rng)


def _planted(page: Example, deck: Deck, lang: str | None, place: float, rng: random.Random) -> Example:
    drawn = deck.draw(rng, lang)
    # The same seed gives the same place and the same dress, whatever is planted.
    planted = plant(page.text, finished(deck, drawn, rng, ROUGH), random.Random(place))
    hostile = drawn.family.kind != "twin"
    return msgspec.structs.replace(
        page,
        text=planted.text,
        label="injection" if hostile else "benign",
        kind=drawn.family.kind,
        source=SOURCE,
        template=f"{SOURCE}/{drawn.template}",
        start=planted.start if hostile else 0,
        end=planted.end if hostile else 0,
    )
