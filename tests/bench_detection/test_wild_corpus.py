"""Circulating jailbreaks are varied, and labelled as what they are."""

import random

import pytest
from detection.corpus import attack_wild
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides

COUNT = 800


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(attack_wild.generate(random.Random(7), COUNT))


def test_all_are_jailbreaks_of_a_user_in_every_language(made: list[Example]) -> None:
    assert len(made) == COUNT
    assert {(example.label, example.origin) for example in made} == {("jailbreak", "user")}
    assert {example.lang for example in made} == set(LANGUAGES)


def test_texts_hardly_ever_repeat_and_have_no_loose_ends(made: list[Example]) -> None:
    assert len({example.text for example in made}) > 0.99 * COUNT
    assert all(40 < len(example.text) < 2500 for example in made)
    assert not [example.text for example in made if "$deed" in example.text.lower() or "$topic" in example.text.lower()]


def test_some_families_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)
