"""Texts of makers are harmless, come from every origin, and leave no mark of the bank behind."""

import random
from collections import Counter

import pytest
from detection.corpus import benign_maker
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides

COUNT = 1500
LEAST_FAMILIES = 120


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(benign_maker.generate(random.Random(7), COUNT))


def test_all_are_harmless_in_every_language(made: list[Example]) -> None:
    assert len(made) == COUNT
    assert {example.label for example in made} == {"benign"}
    assert {example.lang for example in made} == set(LANGUAGES)


def test_origins_keep_their_shares(made: list[Example]) -> None:
    count = Counter(example.origin for example in made)

    assert all(abs(count[origin] / COUNT - share) < 0.05 for origin, share in benign_maker.ORIGINS.items())


def test_texts_are_of_the_agreed_length_and_have_no_loose_ends(made: list[Example]) -> None:
    assert all(15 <= len(example.text) <= 900 for example in made)
    assert not [example.text for example in made if "{int:" in example.text or "{first}" in example.text]


def test_the_same_seed_gives_the_same_texts(made: list[Example]) -> None:
    assert list(benign_maker.generate(random.Random(7), COUNT)) == made


def test_many_families_and_some_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert len({example.template for example in made}) > LEAST_FAMILIES
    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)
