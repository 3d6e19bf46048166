"""Writes texts that hijack a task's output, swap the role or ask for the prompt; the manners known from prompt-hacking games."""

import random
from collections.abc import Iterator, Sequence

from detection.corpus.attack_frames import LANGUAGES, Deck, distinct, finished, of_user, one_of, open_deck
from detection.corpus.example import Example

SOURCE = "attack_hijack"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count hijacks, origin `user`, in every language."""
    decks = [open_deck("attack_slots", SOURCE), open_deck("attack_hijack_play")]
    return distinct(lambda: _example(decks, rng), count)


def _example(decks: Sequence[Deck], rng: random.Random) -> Example:
    lang = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    deck = one_of(decks, lang, rng)
    drawn = deck.draw(rng, lang)
    return of_user(drawn, finished(deck, drawn, rng, 0.25), "injection", SOURCE)
