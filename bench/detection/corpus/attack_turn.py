"""Knows how a user turns an assistant away from its task in a few lines, alone or after an ordinary text."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, of_user, open_deck, tidy
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "attack_turn"
SHARES = {"en": 45, "de": 35, "fr": 7, "it": 6, "es": 7}  # in percent
CARRIED = 0.36  # rate of turns that follow an ordinary text
GOES_ON = 0.12  # rate of those whose ordinary text goes on afterwards
TERSE = ("switch.terse", "forget.actually", "fakeend.")  # no attack without a text before them
SHORTEST = 20  # code points: anything shorter needs a text before it, too
LONGEST = 860  # code points; openings and closings may add a few


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count short direct injections, origin `user`, over all families and languages."""
    deck = open_deck(SOURCE)
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    lang = rng.choices(list(SHARES), list(SHARES.values()))[0]
    drawn = deck.draw(rng, lang)
    text = drawn.text
    terse = drawn.family.id.startswith(TERSE)
    if terse or len(text) < SHORTEST or rng.random() < CARRIED:
        carried = _carried(deck, lang, "matter" if terse else "before", text, rng)
        text = carried if terse or len(carried) <= LONGEST else text
    return of_user(drawn, as_typed(tidy(text), lang, rng), "injection", SOURCE)


def _carried(deck: Deck, lang: str, slot: str, turn: str, rng: random.Random) -> str:
    tail = deck.fill("tail", lang, rng) if rng.random() < GOES_ON else ""
    return deck.fill(slot, lang, rng).rstrip() + deck.fill("joint", lang, rng) + turn + tail
