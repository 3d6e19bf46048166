"""Takes the ordinary texts that `attack_turn` turns away from, and lets them go on as they would: harmless twins of its attacks."""

import random
from collections.abc import Iterator

from detection.corpus import benign_turn
from detection.corpus.attack_frames import Deck, distinct, open_deck, tidy
from detection.corpus.attack_turn import LONGEST, SHARES
from detection.corpus.attack_turn import SOURCE as CARRIERS
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "benign_carried"
_SLOTS = ("before", "matter", "ordq", "job")
_ENDINGS = (("turn", 5), ("question", 2), ("tail", 1), ("none", 2))
_PIECE = 200  # code points of what is said after a text


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless messages, origin `user`: a text, and mostly something ordinary after it."""
    deck = open_deck(CARRIERS)
    turns: dict[str, list[str]] = {lang: [] for lang in SHARES}
    for turn in benign_turn.generate(random.Random(rng.random()), max(count // 2, 400)):
        if len(turn.text) <= _PIECE and turn.kind == "turn":
            turns[turn.lang].append(turn.text)
    return distinct(lambda: _example(deck, turns, rng), count)


def _example(deck: Deck, turns: dict[str, list[str]], rng: random.Random) -> Example:
    langs = [lang for lang in SHARES if turns[lang]]
    lang = rng.choices(langs, [SHARES[name] for name in langs])[0]
    slot = rng.choice(_SLOTS)
    ending = rng.choices([name for name, _ in _ENDINGS], [weight for _, weight in _ENDINGS])[0]
    text = deck.fill(slot, lang, rng).rstrip()
    match ending:
        case "turn":
            text += deck.fill("joint", lang, rng) + rng.choice(turns[lang])
        case "question":
            text += deck.fill("joint", lang, rng) + deck.fill("ordq", lang, rng)
        case "tail":
            text += deck.fill("tail", lang, rng)
        case _:
            pass
    text = as_typed(tidy(text)[:LONGEST], lang, rng)
    return Example(text, "benign", "user", "carried", lang, SOURCE, f"{SOURCE}/{lang}/{slot}/{ending}")
