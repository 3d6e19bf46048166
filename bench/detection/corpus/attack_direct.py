"""Writes attempts of a user to override, hijack or read out an assistant's instructions; not jailbreaks."""

import base64
import codecs
import random
from collections.abc import Iterator

from detection.corpus.attack_frames import Deck, distinct, open_deck, tidy
from detection.corpus.attack_style import roughen
from detection.corpus.example import Example

SOURCE = "attack_direct"


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count direct injections, origin `user`, over all families and languages."""
    deck = open_deck("attack_slots", "attack_direct")
    return distinct(lambda: _example(deck, rng), count)


def _example(deck: Deck, rng: random.Random) -> Example:
    drawn = deck.draw(rng)
    text = tidy(drawn.text)
    if "@cipher@" in text:
        text = text.replace("@cipher@", _encode(deck.fill("plain", drawn.lang, rng), rng))
    else:
        text = roughen(text, rng)
    return Example(
        text=text,
        label="injection",
        origin="user",
        kind=drawn.family.kind,
        lang=drawn.lang,
        source=SOURCE,
        template=f"{SOURCE}/{drawn.template}",
    )


def _encode(text: str, rng: random.Random) -> str:
    """The text in one of the codes that models read without help."""
    match rng.randrange(6):
        case 0 | 1:
            return base64.b64encode(text.encode()).decode()
        case 2:
            return text.encode().hex()
        case 3:
            return codecs.encode(text, "rot13")
        case 4:
            return text[::-1]
        case _:
            return "-".join(text)
