"""Harmless persona prompts: found by training, seeded, all benign, in every language, and hardly ever twice."""

import random

import pytest
from detection.corpus import benign_persona
from detection.corpus.example import Example
from detection.corpus.persona_layout import laid_out
from detection.split import sides

COUNT = 800


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(benign_persona.generate(random.Random(7), COUNT))


def test_all_are_harmless_words_of_a_user_in_every_language(made: list[Example]) -> None:
    assert len(made) == COUNT
    assert {(example.label, example.origin) for example in made} == {("benign", "user")}
    assert {example.lang for example in made} == set(benign_persona.SHARES)


def test_texts_hardly_repeat_and_have_no_open_slots(made: list[Example]) -> None:
    assert len({example.text for example in made}) > 0.97 * COUNT
    assert all("  \n" not in example.text and "{|" not in example.text for example in made)


def test_nearly_all_are_long_but_no_books(made: list[Example]) -> None:
    assert sum(150 <= len(example.text) <= 2500 for example in made) > 0.95 * COUNT


def test_some_families_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)


def test_a_list_keeps_half_of_its_items_and_loses_its_marks() -> None:
    for seed in range(40):
        text = laid_out(random.Random(seed), "Rules:\n* One rule.\n* Two rule.\n* Three rule.\n* Four rule.\nGo.")
        assert sum(word in text.lower() for word in ("one rule", "two rule", "three rule", "four rule")) >= 2
        assert text.startswith("Rules:")
        assert text.endswith("Go.")
