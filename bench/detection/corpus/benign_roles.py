"""Knows long benign prompts: roles, games, stories, templates with many rules, none against a model's own; no attack."""

import random
from collections.abc import Iterator

import msgspec

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example

_JOINED = 0.3  # the share of texts that go on with one or two others: whole prompts are long


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign prompts as long as jailbreaks are: length and role must not tell them apart."""
    cards = bank_cards(read_banks("benign_roles", "role-prompt", "user"), roughen)
    dealt = list(deal(rng, count, cards, "benign_roles"))
    by_lang: dict[str, list[str]] = {}
    for example in dealt:
        by_lang.setdefault(example.lang, []).append(example.text)
    for example in dealt:
        if rng.random() < _JOINED:
            more = rng.sample(by_lang[example.lang], min(rng.choice((1, 1, 2, 4)), len(by_lang[example.lang])))
            text = rng.choice(("\n\n", "\n", " ")).join([example.text, *more])
            example = msgspec.structs.replace(example, text=text)
        yield example
