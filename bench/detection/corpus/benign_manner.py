"""Writes harmless prompts in the manners, registers and lengths of attacks; knows no sentence and no attack."""

import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, of_user, open_deck, tidy
from detection.corpus.example import Example
from detection.corpus.manner_outline import compose, premise
from detection.corpus.manner_register import as_typed

SOURCE = "benign_manner"
ROLES = 0.3  # the share of long prompts with a role and rules
SECTIONS = ("rule", "story", "form", "score", "limits", "pressure", "consent", "commands", "dialogue", "reminder")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count harmless prompts, origin `user`, over all families and languages."""
    short = open_deck("attack_slots", "manner_common", "manner_harmless")
    long = open_deck("attack_slots", "manner_common", "manner_roles")
    return distinct(lambda: _example(short, long, rng), count)


def _example(short: Deck, long: Deck, rng: random.Random) -> Example:
    if rng.random() < ROLES:
        drawn, text = compose(long, rng, SECTIONS, "closing")
        template = premise(drawn)
    else:
        drawn = short.draw(rng)
        text = tidy(drawn.text)
        template = drawn.template
    return of_user(drawn, as_typed(text, drawn.lang, rng), "benign", SOURCE, template)
