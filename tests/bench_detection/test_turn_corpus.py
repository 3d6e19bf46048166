"""Turns of users, of either label, are varied and of every language; some follow an ordinary text."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from detection.corpus import attack_turn, benign_carried, benign_turn
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.example import Example
from detection.split import sides

COUNT = 800
MODULES = [(attack_turn, "injection"), (benign_carried, "benign"), (benign_turn, "benign")]
Generate = Callable[[random.Random, int], Iterator[Example]]


@pytest.mark.parametrize(("generate", "label"), [(module.generate, label) for module, label in MODULES])
def test_turns_have_one_label_hardly_repeat_and_cover_languages(generate: Generate, label: str) -> None:
    turns = list(generate(random.Random(7), COUNT))
    langs = Counter(turn.lang for turn in turns)
    train, held = sides(turns)

    assert {(turn.label, turn.origin, turn.start, turn.end) for turn in turns} == {(label, "user", 0, 0)}
    assert len({turn.text for turn in turns}) > 0.97 * COUNT
    assert set(langs) == set(LANGUAGES)
    assert langs["en"] > langs["de"] > 0.25 * COUNT
    assert max(len(turn.text) for turn in turns) <= 960
    assert held
    assert {turn.template for turn in train}.isdisjoint(turn.template for turn in held)


def test_a_third_of_the_harmless_turns_ask_about_a_pasted_text() -> None:
    kinds = Counter(turn.kind for turn in benign_turn.generate(random.Random(7), COUNT))

    assert 0.25 < kinds["turn-paste"] / COUNT < 0.45


def test_harmless_twins_carry_texts_that_attacks_turn_away_from() -> None:
    def openings(generate: Generate) -> set[str]:
        return {turn.text[:24] for turn in generate(random.Random(5), 4 * COUNT) if len(turn.text) > 300}

    assert len(openings(attack_turn.generate) & openings(benign_carried.generate)) > 30
