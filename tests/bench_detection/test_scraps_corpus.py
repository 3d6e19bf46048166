"""Scraps are harmless, of every origin and language, and keep the family of what they were cut from."""

import random
from collections import Counter

import pytest
from detection.corpus import benign_scraps
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides


@pytest.fixture(scope="module")
def scraps() -> list[Example]:
    return list(benign_scraps.generate(random.Random(7), 1200))


def test_every_manner_comes_harmless_in_every_origin_and_language(scraps: list[Example]) -> None:
    kinds = Counter(example.kind.split("+")[0] for example in scraps)

    assert {example.label for example in scraps} == {"benign"}
    assert set(kinds) == {"label", "fragment", "lone-question", "harmless", "unreadable"}
    assert min(kinds.values()) > 100
    assert {example.origin for example in scraps} == {"user", "document", "tool"}
    assert {example.lang for example in scraps} == set(LANGUAGES)
    assert len({example.text for example in scraps}) > 0.95 * len(scraps)


def test_a_scrap_stands_on_the_side_of_what_it_was_cut_from(scraps: list[Example]) -> None:
    train, held = sides(scraps)

    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)
    assert all(example.text.strip() for example in scraps)
