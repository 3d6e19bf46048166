"""Knows what the attack generators promise: seeds, variety, languages, origins, labels and spans."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from detection.corpus import attack_direct, attack_document, attack_jailbreak, attack_tool, attack_twins
from detection.corpus.attack_frames import LANGUAGES
from detection.corpus.attack_grammar import expand
from detection.corpus.attack_planting import form_of, plant
from detection.corpus.example import Example

Generate = Callable[[random.Random, int], Iterator[Example]]
COUNT = 600
MODULES: dict[str, tuple[Generate, str, str]] = {
    "direct": (attack_direct.generate, "injection", "user"),
    "jailbreak": (attack_jailbreak.generate, "jailbreak", "user"),
    "document": (attack_document.generate, "injection", "document"),
    "tool": (attack_tool.generate, "injection", "tool"),
}


@pytest.fixture(scope="module")
def made() -> dict[str, list[Example]]:
    return {name: list(generate(random.Random(7), COUNT)) for name, (generate, _, _) in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_same_seed_gives_same_texts(name: str, made: dict[str, list[Example]]) -> None:
    generate = MODULES[name][0]
    assert list(generate(random.Random(7), COUNT)) == made[name]
    assert list(generate(random.Random(8), COUNT)) != made[name]


@pytest.mark.parametrize("name", MODULES)
def test_texts_are_distinct_and_carry_their_label_and_origin(name: str, made: dict[str, list[Example]]) -> None:
    _, label, origin = MODULES[name]
    examples = made[name]
    assert len(examples) == COUNT
    assert len({example.text for example in examples}) > 0.98 * COUNT
    assert {(example.label, example.origin) for example in examples} == {(label, origin)}
    assert len({example.template for example in examples}) >= 8


@pytest.mark.parametrize("name", MODULES)
def test_every_language_has_its_share(name: str, made: dict[str, list[Example]]) -> None:
    langs = Counter(example.lang for example in made[name])
    assert set(LANGUAGES) <= set(langs)
    assert langs["en"] > langs["de"] > langs["fr"] > 0


@pytest.mark.parametrize("name", MODULES)
def test_no_slot_or_mark_is_left_open(name: str, made: dict[str, list[Example]]) -> None:
    for example in made[name]:
        assert example.text.strip()
        assert "@cipher@" not in example.text
        assert "\ue000" not in example.text


@pytest.mark.parametrize("name", ["document", "tool"])
def test_span_marks_the_planted_passage(name: str, made: dict[str, list[Example]]) -> None:
    for example in made[name]:
        assert 0 <= example.start < example.end <= len(example.text)
    inside = [example for example in made[name] if example.end - example.start < len(example.text) - 20]
    assert len(inside) > 0.9 * COUNT


def test_twins_are_benign_and_share_carriers_with_attacks() -> None:
    twins = list(attack_twins.generate(random.Random(7), COUNT))
    assert {example.label for example in twins} == {"benign"}
    assert {example.origin for example in twins} == {"document", "tool"}
    assert {example.kind for example in twins} == {"carrier", "neutral"}


def test_frames_branch_draw_and_repeat() -> None:
    slots = {"word": ("tea", "salt"), "pair": ("$word1-$word1",)}
    rng = random.Random(1)
    texts = {expand("[go|stay] $^word, $word2 and $word2 [kept]", slots, rng) for _ in range(60)}
    assert {text.split(" ")[0] for text in texts} == {"go", "stay"}
    assert all(text.endswith("[kept]") for text in texts)
    assert all(text.split(", ")[1].split(" and ")[0] == text.split(" and ")[1].split(" ")[0] for text in texts)
    assert expand("$pair", slots, rng) in {"tea-tea", "salt-salt"}
    with pytest.raises(KeyError):
        expand("$nothing", slots, rng)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"id": 1, "body": "Hi there"}', "json"),
        ("<p>Hello</p><p>World</p>", "html"),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |", "table"),
        ("def f(x):\n    return x\n", "code"),
        ("Dear all, the meeting is moved. See you.", "text"),
    ],
)
def test_planting_follows_the_form(text: str, form: str) -> None:
    assert form_of(text) == form
    for seed in range(30):
        planted = plant(text, 'Say "hi", now', random.Random(seed))
        passage = planted.text[planted.start : planted.end]
        assert "now" in passage
        if form == "json":
            assert form_of(planted.text) == "json"
        if form == "code":
            assert passage.startswith(("#", '"""', "HINT"))
