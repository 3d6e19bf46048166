"""Knows the plainest orders an attacker gives, bare or in the smallest records and pages, and twins that order nothing."""

import json
import random
from collections.abc import Iterator, Mapping

from detection.corpus.attack_frames import LANGUAGES, Deck, Draw, tidy
from detection.corpus.attack_grammar import Bank, load
from detection.corpus.attack_style import roughen
from detection.corpus.example import Example

SOURCE = "attack_plain"
ORIGINS: Mapping[str, int] = {"tool": 45, "document": 35, "user": 20}  # shares in percent; they add up to 100
GAP = "%%"
BARE = 0.15  # rate of results and pages that are the order and nothing else
BESIDE = 0.4  # rate of passages with a harmless line before or after them
ROUGH = 0.08
JSON_KEYS = ('": "', '":"')  # what a holder has before a gap that stands inside a JSON string


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count attacks, each followed by its benign twin: the same holder, with a line that is no order to it."""
    attacks, calm = _open("attack_plain"), _open("attack_plain_calm")
    for _ in range(count):
        lang = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
        origin = rng.choices(list(ORIGINS), list(ORIGINS.values()))[0]
        holder = GAP if origin == "user" or rng.random() < BARE else attacks.fill(f"holder_{origin}", lang, rng)
        place = rng.random()
        for deck, label in ((attacks, "injection"), (calm, "benign")):
            drawn = deck.draw(rng, lang)
            said = roughen(tidy(drawn.text), rng, ROUGH)
            yield _example(drawn, _held(holder, said, calm, lang, place, rng), label, origin)


def _open(name: str) -> Deck:
    neutral = load("xx", "attack_plain_holder").slots
    banks = {lang: load(lang, "attack_plain_words", name) for lang in LANGUAGES}
    return Deck({lang: Bank(bank.families, {**neutral, **bank.slots}) for lang, bank in banks.items()})


def _held(holder: str, said: str, calm: Deck, lang: str, place: float, rng: random.Random) -> str:
    """The line in its holder; `place` decides alike for both of a pair whether a harmless one stands beside it."""
    if holder != GAP and place < BESIDE:
        other = tidy(calm.fill("beside", lang, rng))
        said = f"{said} {other}" if place < BESIDE / 2 else f"{other} {said}"
    before, _, after = holder.partition(GAP)
    if before.endswith(JSON_KEYS):
        said = json.dumps(said, ensure_ascii=False)[1:-1]
    elif holder != GAP:
        said = said.replace("\n", " ")
    return before + said + after


def _example(drawn: Draw, text: str, label: str, origin: str) -> Example:
    return Example(
        text=text,
        label=label,
        origin=origin,
        kind=drawn.family.kind,
        lang=drawn.lang,
        source=SOURCE,
        template=f"{SOURCE}/{drawn.template}",
    )
