"""Puts what a user asks about a text before or after it; the tasks themselves are sentences of the bank."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import msgspec


@cache
def user_tasks() -> dict[str, list[str]]:
    """What a user asks about a text, by language: before it, or after it where the line starts with a blank line."""
    path = Path(__file__).parent / "sentences" / "tasks_on_texts.yaml"
    return msgspec.yaml.decode(path.read_bytes(), type=dict[str, list[str]])


def asked(text: str, lang: str, rng: random.Random, bare: float) -> tuple[str, int]:
    """The text with a task, and how many code points stand before it; a share of `bare` stays as it is."""
    if rng.random() < bare:
        return text, 0
    tasks = user_tasks()
    task = rng.choice(tasks.get(lang, tasks["en"]))
    return (text + task, 0) if task.startswith("\n") else (task + text, len(task))
