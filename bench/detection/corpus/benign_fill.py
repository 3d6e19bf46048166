"""Knows how to fill the slots of a frame; knows nothing of what the frames say."""

import random
import re
from collections.abc import Callable, Mapping, Sequence

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
        """Return the frame with every hole filled; `{slot#a}` twice gives one value twice."""
        kept: dict[str, str] = {}
        text = frame
        for _ in range(_DEPTH):
            text, count = _HOLE.subn(self._chooser(rng, kept), text)
            if not count:
                break
            if not self._has_known_hole(text):
                break
        return text

    def sentence(self, rng: random.Random, frame: str) -> str:
        """Return the frame filled, with a capital where a hole opened it."""
        text = self.fill(rng, frame)
        return text[:1].upper() + text[1:] if frame.startswith("{") else text

    def _has_known_hole(self, text: str) -> bool:
        return any("|" in hole or ":" in hole or self._knows(hole.split("#")[0]) for hole in _HOLE.findall(text))

    def _knows(self, name: str) -> bool:
        return name in self.slots or name in words()[self.lang] or name in FACTS

    def _chooser(self, rng: random.Random, kept: dict[str, str]) -> Callable[[re.Match[str]], str]:
        def choose(match: re.Match[str]) -> str:
            hole: str = match.group(1)
            if "|" in hole:
                return rng.choice(hole.split("|"))
            if hole.startswith("int:"):
                low, high = hole[4:].split("-")
                return str(rng.randint(int(low), int(high)))
            if hole in kept:
                return kept[hole]
            value = self._draw(rng, hole.split("#")[0])
            if value is None:
                return match.group(0)
            if "#" in hole:
                value = kept[hole] = self.fill(rng, value) if "{" in value else value
            return value

        return choose

    def _draw(self, rng: random.Random, name: str) -> str | None:
        for bank in (self.slots, words()[self.lang]):
            if name in bank:
                return rng.choice(bank[name])
        fact = FACTS.get(name)
        return None if fact is None else fact(rng, self.lang)
