"""Knows the everyday names and nouns of each language that any frame may use."""

from collections.abc import Mapping
from functools import cache

from detection.corpus.benign_bank import read_banks


@cache
def words() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return the slots that every bank of a language shares, by language."""
    return {bank.lang: bank.slots for bank in read_banks("benign_words", "", "")}
