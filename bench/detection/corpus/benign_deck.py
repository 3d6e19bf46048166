"""Knows how to deal frames so that languages keep their share and no two texts are alike; writes no text."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from detection.corpus.benign_bank import Bank
from detection.corpus.benign_fill import Filler
from detection.corpus.example import Example

SHARES: Mapping[str, float] = {"en": 0.5, "de": 0.25, "fr": 0.09, "it": 0.08, "es": 0.08}
# After so many repeats in a row a language is dry; a repeat is then better than no text.
_PATIENCE = 40

Draw = Callable[[random.Random], str]


class Card(msgspec.Struct, frozen=True):
    """One way to make a text: a frame of a bank or a builder written in Python."""

    template: str
    kind: str
    lang: str
    origin: str
    draw: Draw
    copies: int = 1


def bank_cards(banks: Iterable[Bank], finish: Callable[[random.Random, str, str], str] | None = None) -> list[Card]:
    """Turn every frame into a card; `finish(rng, text, lang)` is applied to what it draws."""
    return [
        Card(
            family.template,
            family.kind,
            family.lang,
            family.origin,
            _drawer(Filler(bank.lang, bank.slots), frame, finish),
            family.copies * (1 + min(3, frame.count("{") // 2)),  # what can vary more is dealt more often
        )
        for bank in banks
        for family in bank.families
        for frame in family.frames
    ]


def _drawer(filler: Filler, frame: str, finish: Callable[[random.Random, str, str], str] | None) -> Draw:
    def draw(rng: random.Random) -> str:
        text = filler.sentence(rng, frame)
        return text if finish is None else finish(rng, text, filler.lang)

    return draw


def deal(rng: random.Random, count: int, cards: Sequence[Card], source: str) -> Iterator[Example]:
    """Yield `count` benign examples; every card of a language is dealt once before any is dealt again."""
    decks = {lang: _shuffled(rng, [card for card in cards if card.lang == lang]) for lang in SHARES}
    langs = [lang for lang in SHARES if any(card.lang == lang for card in cards)]
    weights = [SHARES[lang] for lang in langs]
    seen: set[str] = set()
    for _ in range(count):
        deck = decks[rng.choices(langs, weights)[0]]
        for _attempt in range(_PATIENCE):
            card = next(deck)
            text = card.draw(rng).strip()
            if text not in seen:
                break
        seen.add(text)
        yield Example(
            text=text,
            label="benign",
            origin=card.origin,
            kind=card.kind,
            lang=card.lang,
            source=source,
            template=card.template,
        )


def deal_shares(
    rng: random.Random, count: int, cards: Sequence[Card], source: str, shares: Mapping[str, float]
) -> Iterator[Example]:
    """Yield `count` benign examples, in languages of these shares instead of those of all."""
    hands = {lang: deal(rng, count, [card for card in cards if card.lang == lang], source) for lang in shares}
    for lang in rng.choices(list(shares), list(shares.values()), k=count):
        yield next(hands[lang])


def _shuffled(rng: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    pile = [card for card in cards for _ in range(card.copies)]
    while pile:
        rng.shuffle(pile)
        yield from pile
