"""Later turns of a chat are harmless, short, varied, and come from the user in every language."""

import random
import re
from collections import Counter

import pytest
from detection.corpus import benign_followup
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides

COUNT = 1500
LEAST_FAMILIES = 140
LONGEST = 700


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(benign_followup.generate(random.Random(7), COUNT))


def test_all_are_harmless_turns_of_a_user_in_every_language(made: list[Example]) -> None:
    assert len(made) == COUNT
    assert {(example.label, example.origin) for example in made} == {("benign", "user")}
    assert {example.lang for example in made} == set(LANGUAGES)


def test_languages_keep_their_shares(made: list[Example]) -> None:
    count = Counter(example.lang for example in made)

    assert all(abs(count[lang] / COUNT - share) < 0.05 for lang, share in benign_followup.SHARES.items())


def test_texts_hardly_ever_repeat_and_have_no_loose_ends(made: list[Example]) -> None:
    assert len({example.text for example in made}) > 0.95 * COUNT
    assert all(0 < len(example.text) < LONGEST for example in made)
    assert not [example.text for example in made if re.search(r"\{[a-z0-9_#]+\}|\w\|\w", example.text)]


def test_many_families_and_some_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert len({example.template for example in made}) > LEAST_FAMILIES
    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)
