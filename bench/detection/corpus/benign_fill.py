"""Knows how to fill the slots of a frame; knows nothing of what the frames say."""

import random
import re
from collections.abc import Mapping, Sequence

import msgspec

from detection.corpus.benign_facts import FACTS
from detection.corpus.benign_words import words

# Innermost brace only, so that alternatives may hold slots and other alternatives.
_HOLE = re.compile(r"\{([^{}\n]*\|[^{}]*|[a-z][a-z0-9_]*(?:#\w)?|int:\d+-\d+)\}")
_DEPTH = 12


class Filler(msgspec.Struct, frozen=True):
    """Fills frames of one language from its own slots, the language's words and made-up facts."""

    lang: str
    slots: Mapping[str, Sequence[str]]

    def fill(self, rng: random.Random, frame: str) -> str:
        """Return the frame with every hole filled; `{slot#a}` twice gives one value twice.

        A plain slot used twice gives two values while it has any left, so that no sentence repeats.
        """
        draft = _Draft(self, rng)
        text = frame
        for _ in range(_DEPTH):
            text, count = _HOLE.subn(draft.choose, text)
            if not count or not any(self._can_fill(hole) for hole in _HOLE.findall(text)):
                break
        return text

    def sentence(self, rng: random.Random, frame: str) -> str:
        """Return the frame filled, with a capital where a hole opened it."""
        text = self.fill(rng, frame)
        return text[:1].upper() + text[1:] if frame.startswith("{") else text

    def values(self, name: str) -> Sequence[str]:
        """Return what a slot may hold, the bank's own values first; empty if no bank knows it."""
        return self.slots.get(name) or words()[self.lang].get(name, ())

    def _can_fill(self, hole: str) -> bool:
        name = hole.split("#")[0]
        return "|" in hole or ":" in hole or bool(self.values(name)) or name in FACTS


class _Draft:
    """One text in the making: remembers what it has said."""

    def __init__(self, filler: Filler, rng: random.Random) -> None:
        self.filler, self.rng = filler, rng
        self.kept: dict[str, str] = {}
        self.said: dict[str, set[str]] = {}

    def choose(self, match: re.Match[str]) -> str:
        hole: str = match.group(1)
        if "|" in hole:
            return self.rng.choice(hole.split("|"))
        if hole.startswith("int:"):
            low, high = hole[4:].split("-")
            return str(self.rng.randint(int(low), int(high)))
        if hole in self.kept:
            return self.kept[hole]
        value = self._draw(hole.split("#")[0])
        if value is None:
            return match.group(0)
        if "#" in hole:
            value = self.kept[hole] = self.filler.fill(self.rng, value) if "{" in value else value
        return value

    def _draw(self, name: str) -> str | None:
        values = self.filler.values(name)
        if values:
            said = self.said.setdefault(name, set())
            value = self.rng.choice([value for value in values if value not in said] or values)
            said.add(value)
            return value
        fact = FACTS.get(name)
        return None if fact is None else fact(self.rng, self.filler.lang)
