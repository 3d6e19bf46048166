"""Attacks in data and tools' results are varied, marked to the letter, and have harmless twins of the same make."""

import random

import pytest
from detection.corpus import attack_agent_result, attack_unmarked
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides

COUNT = 800


@pytest.fixture(scope="module", params=[attack_unmarked.generate, attack_agent_result.generate])
def pairs(request: pytest.FixtureRequest) -> list[tuple[Example, Example]]:
    made = list(request.param(random.Random(7), COUNT))
    return list(zip(made[::2], made[1::2], strict=True))


def test_an_attack_is_marked_where_its_task_stands_and_a_twin_nowhere(pairs: list[tuple[Example, Example]]) -> None:
    assert len(pairs) == COUNT
    for attack, twin in pairs:
        assert (attack.label, twin.label) == ("injection", "benign")
        assert (attack.origin, attack.lang) == (twin.origin, twin.lang)
        assert 0 <= attack.start < attack.end <= len(attack.text)
        marked = attack.text[attack.start : attack.end]
        assert marked == marked.strip()
        assert marked
        assert (twin.start, twin.end) == (0, 0)
        assert marked not in twin.text


def test_both_labels_share_lengths_and_cover_languages_and_origins(pairs: list[tuple[Example, Example]]) -> None:
    attacks, twins = [attack for attack, _ in pairs], [twin for _, twin in pairs]

    assert len({attack.text for attack in attacks}) == COUNT
    assert len({twin.text for twin in twins}) > 0.95 * COUNT
    assert {attack.lang for attack in attacks} == set(LANGUAGES)
    assert {attack.origin for attack in attacks} == {"document", "tool"}
    middle = [sorted(len(example.text) for example in examples)[COUNT // 2] for examples in (attacks, twins)]
    assert max(middle) < 1.25 * min(middle)


def test_some_families_are_never_trained_on(pairs: list[tuple[Example, Example]]) -> None:
    train, held = sides(example for pair in pairs for example in pair)

    assert {example.is_attack for example in held} == {True, False}
    assert {example.template for example in train}.isdisjoint(example.template for example in held)
