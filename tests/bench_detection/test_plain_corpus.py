"""The plainest orders come from every origin in well-formed holders, each with a harmless twin of the same holder."""

import json
import random
from collections import Counter

import pytest
from detection.corpus import attack_plain
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.attack_grammar import load
from detection.corpus.example import Example
from detection.split import sides

COUNT = 900


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(attack_plain.generate(random.Random(5), COUNT))


def test_every_attack_has_a_twin_of_its_origin_and_language(made: list[Example]) -> None:
    assert len(made) == 2 * COUNT
    for attack, twin in zip(made[::2], made[1::2], strict=True):
        assert (attack.label, twin.label) == ("injection", "benign")
        assert (attack.origin, attack.lang) == (twin.origin, twin.lang)


def test_languages_and_origins_keep_their_shares(made: list[Example]) -> None:
    attacks = made[::2]
    count = Counter(example.origin for example in attacks)

    assert {example.lang for example in attacks} == set(LANGUAGES)
    assert all(abs(100 * count[origin] / COUNT - share) < 6 for origin, share in attack_plain.ORIGINS.items())


def test_what_looks_like_json_is_json(made: list[Example]) -> None:
    objects = [example.text for example in made if example.text.startswith(("{", '[{"'))]

    assert len(objects) > COUNT / 4
    for text in objects:
        json.loads(text)


def test_no_mark_of_the_banks_is_left_and_texts_seldom_repeat(made: list[Example]) -> None:
    assert not [example.text for example in made if attack_plain.GAP in example.text or "$" in example.text]
    assert len({example.text for example in made}) > 0.9 * len(made)


def test_no_sentence_of_an_attack_is_one_of_a_twin(made: list[Example]) -> None:
    bare = [example for example in made if example.origin == "user"]

    assert {x.text for x in bare if x.is_attack}.isdisjoint(x.text for x in bare if not x.is_attack)


def test_some_parts_of_families_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_orders_and_harmless_lines(lang: str) -> None:
    assert load(lang, "attack_plain").families
    assert load(lang, "attack_plain_calm").families
