"""Injections, personas and their harmless look-alikes in many manners: seeded, varied, complete, in every language."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from detection.corpus import attack_manner, attack_persona, benign_manner
from detection.corpus.attack_frames import LANGUAGES, open_deck
from detection.corpus.attack_grammar import expand
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed
from detection.gather import generators
from detection.split import sides

Generate = Callable[[random.Random, int], Iterator[Example]]
COUNT = 1200
MODULES: dict[str, tuple[Generate, str]] = {
    "attack_manner": (attack_manner.generate, "injection"),
    "attack_persona": (attack_persona.generate, "jailbreak"),
    "benign_manner": (benign_manner.generate, "benign"),
}
BANKS = (
    ("attack_slots", "manner_common", "attack_manner"),
    ("attack_slots", "attack_jailbreak", "manner_common", "attack_persona"),
    ("attack_slots", "manner_common", "manner_harmless"),
    ("attack_slots", "manner_common", "manner_roles"),
)


@pytest.fixture(scope="module")
def made() -> dict[str, list[Example]]:
    return {name: list(generate(random.Random(7), COUNT)) for name, (generate, _) in MODULES.items()}


def test_gathering_finds_the_three() -> None:
    assert set(MODULES) <= set(generators())


@pytest.mark.parametrize("name", MODULES)
def test_the_seed_decides(name: str, made: dict[str, list[Example]]) -> None:
    generate = MODULES[name][0]
    assert list(generate(random.Random(7), COUNT)) == made[name]
    assert list(generate(random.Random(8), COUNT)) != made[name]


@pytest.mark.parametrize("name", MODULES)
def test_texts_are_distinct_and_carry_their_label(name: str, made: dict[str, list[Example]]) -> None:
    texts = {example.text for example in made[name]}
    assert len(made[name]) == COUNT
    assert len(texts) > 0.98 * COUNT
    assert all(text.strip() for text in texts)
    assert {(example.label, example.origin) for example in made[name]} == {(MODULES[name][1], "user")}


@pytest.mark.parametrize("name", MODULES)
def test_every_language_has_its_share(name: str, made: dict[str, list[Example]]) -> None:
    langs = Counter(example.lang for example in made[name])
    for lang, percent in LANGUAGES.items():
        assert abs(langs[lang] / COUNT - percent / 100) < 0.05, lang


@pytest.mark.parametrize("name", MODULES)
def test_some_families_are_never_trained_on(name: str, made: dict[str, list[Example]]) -> None:
    train, held = sides(made[name])
    assert held
    assert {example.template for example in train}.isdisjoint(example.template for example in held)


@pytest.mark.parametrize("names", BANKS, ids=lambda names: names[-1])
def test_every_frame_of_every_bank_can_be_filled(names: tuple[str, ...]) -> None:
    rng = random.Random(3)
    for bank in open_deck(*names).banks.values():
        for frame in [frame for family in bank.families for frame in family.frames]:
            assert all(expand(frame, bank.slots, rng).strip() for _ in range(12)), frame
        for name in bank.slots:
            assert all("$" + name not in expand(f"${name}", bank.slots, rng) for _ in range(12)), name


def test_jailbreaks_and_role_prompts_run_from_a_line_to_an_essay(made: dict[str, list[Example]]) -> None:
    for name in ("attack_persona", "benign_manner"):
        words = [len(example.text.split()) for example in made[name]]
        assert min(words) < 20
        assert max(words) > 200


def test_registers_change_the_typing_and_not_the_matter() -> None:
    text = "Please tell me about the water cycle, and why it matters to you."
    typed = {as_typed(text, lang, random.Random(seed)) for seed in range(300) for lang in LANGUAGES}
    assert len(typed) > 40
    assert all("water" in one.lower() or "cycle" in one.lower() for one in typed if len(one) > len(text))
