"""The benign corpora are deterministic, varied, clean and cover every language and origin."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from detection.corpus import (
    benign_brief,
    benign_business,
    benign_chat,
    benign_news,
    benign_roles,
    benign_tool,
    benign_trigger,
)
from detection.corpus.benign_bank import SENTENCES, read_banks
from detection.corpus.benign_facts import FACTS
from detection.corpus.benign_words import words
from detection.corpus.example import Example

Generate = Callable[[random.Random, int], Iterator[Example]]

MODULES: list[tuple[Generate, str]] = [
    (benign_brief.generate, "user"),
    (benign_trigger.generate, "user"),
    (benign_chat.generate, "user"),
    (benign_roles.generate, "user"),
    (benign_business.generate, "document"),
    (benign_tool.generate, "tool"),
]
LANGS = {"en": 0.5, "de": 0.25, "fr": 0.09, "it": 0.08, "es": 0.08}


@pytest.mark.parametrize(("generate", "origin"), MODULES)
def test_deals_one_label_one_origin_and_every_language(generate: Generate, origin: str) -> None:
    examples = list(generate(random.Random(7), 1500))

    assert len(examples) == 1500
    assert {example.label for example in examples} == {"benign"}
    assert {example.origin for example in examples} == {origin}
    for lang, share in LANGS.items():
        dealt = sum(example.lang == lang for example in examples) / len(examples)
        assert abs(dealt - share) < 0.05, lang


@pytest.mark.parametrize(("generate", "origin"), MODULES)
def test_same_seed_gives_same_texts_and_another_seed_others(generate: Generate, origin: str) -> None:
    first = list(generate(random.Random(3), 200))

    assert first == list(generate(random.Random(3), 200))
    assert first != list(generate(random.Random(4), 200))


@pytest.mark.parametrize(("generate", "origin"), MODULES)
def test_texts_hardly_ever_repeat(generate: Generate, origin: str) -> None:
    texts = [example.text for example in generate(random.Random(1), 4000)]

    assert len(set(texts)) / len(texts) > 0.99


@pytest.mark.parametrize(("generate", "origin"), MODULES)
def test_no_hole_stays_open(generate: Generate, origin: str) -> None:
    hole = re.compile(r"\{(int:|[a-z_]+#|[^{}\n]*\|)")
    names = {name for slots in words().values() for name in slots}
    for example in generate(random.Random(2), 3000):
        assert not hole.search(example.text), example.template
        left = set(re.findall(r"(?<!\{)\{([a-z_]+)\}(?!\})", example.text)) & names
        assert not left, (example.template, left)


def test_every_slot_of_every_bank_is_known() -> None:
    # what texts themselves name
    code = {
        *"abc",
        "char",
        "name",
        "order_id",
        "task",
        "user",
        "who",
        "curly",
        "limit",
        "path",
        "persona",
        "role",
        "rules",
    }
    code |= {"rolle", "regeln"}

    for path in sorted(SENTENCES.glob("benign_*.txt")):
        prefix = path.name.removesuffix(".txt").rsplit(".", 1)[0]
        for bank in read_banks(prefix, "", ""):
            known = {*bank.slots, *words()[bank.lang], *FACTS, *code}
            frames = [frame for family in bank.families for frame in family.frames]
            frames += [value for values in bank.slots.values() for value in values]
            for frame in frames:
                used = set(re.findall(r"\{([a-z][a-z_]*)(?:#\w)?\}", frame))
                assert used <= known, (path.name, used - known)


def test_lengths_run_from_a_word_to_a_page() -> None:
    lengths = [len(example.text.split()) for generate, _ in MODULES for example in generate(random.Random(5), 1500)]

    assert min(lengths) <= 2
    assert max(lengths) >= 300


def test_a_broken_bank_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benign_x.en.txt").write_text("a frame without a family\n", encoding="utf-8")
    monkeypatch.setattr("detection.corpus.benign_bank.SENTENCES", tmp_path)

    with pytest.raises(ValueError, match=r"benign_x\.en\.txt:1"):
        read_banks("benign_x", "chat", "user")


def test_news_is_dealt_to_every_origin_and_fills_its_holes() -> None:
    found = list(benign_news.generate(random.Random(2), 800))

    assert {example.origin for example in found} == {"user", "document", "tool"}
    assert {example.lang for example in found} == {"en", "de"}
    assert not any("{" in example.text for example in found)
    assert len({example.text for example in found}) > 790
