"""Decides on which side of the split a family of texts stands; knows nothing of the texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from detection.corpus.example import Example

HELD_OUT_PERCENT = 12


def is_held_out(template: str) -> bool:
    """Whether a family is kept from training: a function of its name alone, so it never moves."""
    digest = hashlib.blake2b(template.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < HELD_OUT_PERCENT


def sides(examples: Iterable[Example]) -> tuple[list[Example], list[Example]]:
    """Part examples into those trained on and those held out."""
    train: list[Example] = []
    held: list[Example] = []
    for example in examples:
        (held if is_held_out(example.template) else train).append(example)
    return train, held
