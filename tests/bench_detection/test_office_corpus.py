"""Office pages and the insertions into them are seeded, varied, complete; a twin differs in the passage only."""

import json
import random
import re

import pytest
from detection.corpus import attack_insertion, benign_office
from detection.corpus.attack_frames import LANGUAGES, open_deck
from detection.corpus.attack_grammar import expand
from detection.corpus.example import Example
from detection.corpus.office_shape import reshape
from detection.gather import generators
from detection.split import sides

COUNT = 600
HOLE = re.compile(r"\$[a-z_]{3,}[0-9]?\b|\{(int:|[a-z_]+#|[^{}\n\"'|]*\|)|\u2603")


@pytest.fixture(scope="module")
def pages() -> list[Example]:
    return list(benign_office.generate(random.Random(7), 2 * COUNT))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Example, Example]]:
    made = list(attack_insertion.generate(random.Random(7), COUNT))
    return list(zip(made[::2], made[1::2], strict=True))


def test_training_finds_both() -> None:
    assert {"attack_insertion", "benign_office"} <= set(generators())


def test_the_seed_decides() -> None:
    for generate in (attack_insertion.generate, benign_office.generate):
        assert list(generate(random.Random(3), 60)) == list(generate(random.Random(3), 60))
        assert list(generate(random.Random(3), 60)) != list(generate(random.Random(4), 60))


def test_pages_are_harmless_varied_complete_in_five_languages(pages: list[Example]) -> None:
    assert {page.label for page in pages} == {"benign"}
    assert {page.origin for page in pages} == {"document", "tool"}
    assert {page.lang for page in pages} == set(LANGUAGES)
    assert len({page.text for page in pages}) > 0.97 * len(pages)
    assert not [page.text for page in pages if HOLE.search(page.text)]
    lengths = [len(page.text.split()) for page in pages]
    assert min(lengths) <= 3
    assert max(lengths) >= 150


def test_every_attack_has_its_twin_on_the_same_page_and_place(pairs: list[tuple[Example, Example]]) -> None:
    assert len(pairs) == COUNT
    for attack, twin in pairs:
        assert (attack.label, twin.label) == ("injection", "benign")
        assert (attack.origin, attack.lang) == (twin.origin, twin.lang)
        assert 0 <= attack.start < attack.end <= len(attack.text)
        assert (twin.start, twin.end) == (0, 0)
        # The page before the passage is the same, whatever was planted.
        assert twin.text[: attack.start] == attack.text[: attack.start]
        assert twin.text != attack.text


def test_attacks_are_varied_complete_and_in_five_languages(pairs: list[tuple[Example, Example]]) -> None:
    attacks = [attack for attack, _ in pairs]

    assert len({attack.text for attack in attacks}) == COUNT
    assert {attack.lang for attack in attacks} == set(LANGUAGES)
    assert {attack.origin for attack in attacks} == {"document", "tool"}
    assert not [text.text for pair in pairs for text in pair if HOLE.search(text.text)]


def test_some_families_are_never_trained_on(pages: list[Example], pairs: list[tuple[Example, Example]]) -> None:
    for examples in (pages, [example for pair in pairs for example in pair]):
        train, held = sides(examples)
        assert held
        assert {example.template for example in train}.isdisjoint(example.template for example in held)


@pytest.mark.parametrize("bank", ["attack_insertion", "insertion_twins"])
def test_every_frame_of_every_language_expands(bank: str) -> None:
    deck = open_deck("attack_slots", bank)
    rng = random.Random(1)

    assert set(deck.languages) == set(LANGUAGES)
    for lang in deck.languages:
        slots = deck.banks[lang].slots
        for frame in [frame for family in deck.banks[lang].families for frame in family.frames]:
            assert all(expand(frame, slots, rng).strip() for _ in range(20)), (lang, frame)
        for entry in [entry for name, entries in slots.items() if name[0] in "xt" for entry in entries]:
            assert expand(entry, slots, rng).strip(), (lang, entry)


def test_json_stays_json_and_text_keeps_its_words() -> None:
    for seed in range(80):
        rng = random.Random(seed)
        text, origin = reshape(rng, '{"order_id": 7, "next_steps": ["Please confirm."]}', "tool", "en")
        assert origin == "tool"
        assert "Please confirm." in text
        assert re.search(r"order_?[iI]d", text)
        plain, origin = reshape(rng, "Please sign the form.\nThen send it back.", "document", "de")
        assert "sign the form." in plain
        assert origin in {"document", "tool"}
        if plain[0] in "[{" and "'" not in plain:
            json.loads(plain)
