"""Knows the everyday names and nouns of each language that any frame may use."""

from collections.abc import Mapping
from functools import cache

from detection.corpus.benign_bank import read_banks


@cache
def words() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return the slots that every bank of a language shares, by language."""
    shared: dict[str, dict[str, tuple[str, ...]]] = {}
    for bank in read_banks("benign_words", "", ""):
        shared.setdefault(bank.lang, {}).update(bank.slots)
    return shared
