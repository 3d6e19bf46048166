"""Writes benign requests with demands on form, roles and task definitions around ordinary questions; no attacks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from detection.corpus import benign_chat
from detection.corpus.example import Example

SOURCE = "requests"
_SLOT = re.compile(r"\{(\w+)(\^?)\}")
_QUESTION_KINDS = ("chat", "advice", "security-topic", "fiction", "prompts-about-prompts", "sensitive")


class Bank(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sentences of one language."""

    after: list[str]
    before: list[str]
    slots: dict[str, list[str]]
    tasks: list[str]
    materials: list[str]
    jobs: list[str]


def banks() -> dict[str, Bank]:
    """The sentences beside this module, by language."""
    path = Path(__file__).parent / "sentences" / "requests.yaml"
    return msgspec.yaml.decode(path.read_bytes(), type=dict[str, Bank])


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count benign requests, origin `user`; the family is the demand, not the question."""
    found = banks()
    questions: dict[str, list[str]] = {lang: [] for lang in found}
    for example in benign_chat.generate(random.Random(rng.random()), max(count, 400)):
        if example.lang in questions and example.kind in _QUESTION_KINDS and len(example.text) < 260:
            questions[example.lang].append(example.text)
    for _ in range(count):
        lang = rng.choices(("en", "de", "fr", "es", "it"), weights=(60, 22, 6, 6, 6))[0]
        bank = found[lang]
        if rng.random() < 0.25 or not questions[lang]:
            place, text = _task(bank, rng)
            kind = "task"
        else:
            place, text = _demand(bank, rng.choice(questions[lang]), rng)
            kind = "demand"
        yield Example(
            text=text,
            label="benign",
            origin="user",
            kind=kind,
            lang=lang,
            source=SOURCE,
            template=f"{SOURCE}/{lang}/{place}",
        )


def _task(bank: Bank, rng: random.Random) -> tuple[str, str]:
    place = rng.randrange(len(bank.tasks))
    text = _fill(bank.tasks[place], bank, rng)
    if rng.random() < 0.25:
        text += " " + _fill(rng.choice(bank.after), bank, rng)
    return f"task{place}", text


def _demand(bank: Bank, question: str, rng: random.Random) -> tuple[str, str]:
    chance = rng.random()
    if chance < 0.3:
        place = rng.randrange(len(bank.before))
        return f"before{place}", _fill(bank.before[place], bank, rng) + question
    place = rng.randrange(len(bank.after))
    glue = rng.choice((" ", " ", "\n", "\n\n"))
    text = question + glue + _fill(bank.after[place], bank, rng)
    if chance > 0.75:
        text += rng.choice((" ", "\n")) + _fill(rng.choice(bank.after), bank, rng)
    elif chance > 0.65:
        text = _fill(rng.choice(bank.before), bank, rng) + text
    return f"after{place}", text


def _fill(frame: str, bank: Bank, rng: random.Random) -> str:
    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "n":
            return str(rng.choice((5, 10, 20, 30, 40, 50, 60, 100, 150, 300)))
        if name == "few":
            return str(rng.randint(2, 7))
        words = {"material": bank.materials, "job": bank.jobs}.get(name) or bank.slots[name]
        word = rng.choice(words)
        return word[0].upper() + word[1:] if match.group(2) else word

    return _SLOT.sub(one, frame)
