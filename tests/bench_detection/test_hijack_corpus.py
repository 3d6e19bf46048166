"""Hijacks and their harmless look-alikes are seeded, varied, complete, on both sides of the split; joined texts too."""

import random
import re
from collections.abc import Callable, Iterator

import pytest
from detection.corpus import attack_hijack, benign_twist
from detection.corpus.example import Example
from detection.gather import joined
from detection.split import sides

Generate = Callable[[random.Random, int], Iterator[Example]]
COUNT = 1200
MODULES: dict[str, Generate] = {"hijack": attack_hijack.generate, "twist": benign_twist.generate}
HOLE = re.compile(r"\$[a-z_]+[0-9]?\b|\{(int:|[a-z_]+#|[^{}\n]*\|)")


@pytest.fixture(scope="module", params=MODULES)
def made(request: pytest.FixtureRequest) -> list[Example]:
    return list(MODULES[request.param](random.Random(7), COUNT))


def test_the_seed_decides() -> None:
    for generate in MODULES.values():
        assert list(generate(random.Random(3), 100)) == list(generate(random.Random(3), 100))
        assert list(generate(random.Random(3), 100)) != list(generate(random.Random(4), 100))


def test_texts_are_varied_complete_and_in_several_languages(made: list[Example]) -> None:
    assert len({example.text for example in made}) > 0.95 * COUNT
    assert {example.lang for example in made} >= {"en", "de"}
    left = [example.text for example in made if HOLE.search(example.text.replace("$HOME", ""))]
    assert not left, left[:3]


def test_some_families_are_never_trained_on(made: list[Example]) -> None:
    train, held = sides(made)

    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)


def test_labels_and_origins() -> None:
    hijacks = list(attack_hijack.generate(random.Random(1), 300))
    twists = list(benign_twist.generate(random.Random(1), 300))

    assert {(e.label, e.origin) for e in hijacks} == {("injection", "user")}
    assert {(e.label, e.origin) for e in twists} == {("benign", name) for name in ("user", "document", "tool")}


def test_joined_texts_are_harmless_and_of_one_origin_and_language() -> None:
    pool = [*attack_hijack.generate(random.Random(1), 400), *benign_twist.generate(random.Random(1), 600)]
    harmful = {example.text for example in pool if example.is_attack}
    whole = {(example.text, example.origin, example.lang) for example in pool if not example.is_attack}

    found = joined(pool, random.Random(2), 0.1)

    assert len(found) == 100
    for example in found:
        assert example.label == "benign"
        parts = [
            text
            for text, origin, lang in whole
            if (origin, lang) == (example.origin, example.lang) and text in example.text
        ]
        assert len(parts) >= 2
        assert not any(text in example.text for text in harmful if len(text) > 25)
