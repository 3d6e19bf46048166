"""Draws attack examples from the sentence banks; refuses to know where a text will be planted."""

import random
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from detection.corpus.attack_cipher import MARK, reveal
from detection.corpus.attack_grammar import Bank, Family, expand, load
from detection.corpus.attack_style import roughen
from detection.corpus.example import Example

LANGUAGES = {"en": 50, "de": 25, "fr": 9, "it": 8, "es": 8}  # shares in percent; they add up to 100
NEIGHBOURS = 3  # frames a template: whole families are too big to keep from training
TRIES = 12  # draws before a repeated text is given up

Rework = Callable[[str, random.Random], str]


class Draw(msgspec.Struct, frozen=True):
    """One expanded frame with the language and family it came from."""

    text: str
    lang: str
    family: Family
    frame: str

    @property
    def template(self) -> str:
        """The family and the part of it that the frame stands in: a few neighbouring frames share one."""
        return f"{self.family.id}.{self.family.frames.index(self.frame) // NEIGHBOURS}"


class Deck(msgspec.Struct, frozen=True):
    """The banks of every language, ready to draw from."""

    banks: dict[str, Bank]

    @property
    def languages(self) -> list[str]:
        """The languages that have at least one family."""
        return [lang for lang in LANGUAGES if self.banks[lang].families]

    def draw(self, rng: random.Random, lang: str | None = None) -> Draw:
        """Draw a family, larger ones more often, then a frame of it, and expand the frame."""
        if lang is None:
            present = self.languages
            lang = rng.choices(present, [LANGUAGES[name] for name in present])[0]
        bank = self.banks[lang]
        family = rng.choices(bank.families, [family.weight for family in bank.families])[0]
        frame = rng.choice(family.frames)
        return Draw(expand(frame, bank.slots, rng), lang, family, frame)

    def redraw(self, bank: Bank, frame: str, rng: random.Random) -> str:
        """Expand the frame of an earlier draw once more."""
        return expand(frame, bank.slots, rng)

    def fill(self, slot: str, lang: str, rng: random.Random) -> str:
        """Expand one slot of a language."""
        return expand(f"${slot}", self.banks[lang].slots, rng)


def tidy(text: str) -> str:
    """Remove the double blanks and loose commas that empty branches leave behind."""
    text = re.sub(r"(?<=\S) +([,.])(?=\s|$)", r"\1", re.sub(r"(?<=\S)  +", " ", text))
    return re.sub(r"[,;] *(\.)(?=\s|$)|(?<!\.)\.\.(?!\.)", ".", text).strip()


def finished(deck: Deck, drawn: Draw, rng: random.Random, rough: float) -> str:
    """The drawn text ready to use: tidied, then with its code filled in or roughened at the given rate."""
    text = tidy(drawn.text)
    if MARK in text:
        return reveal(text, deck.fill("plain", drawn.lang, rng), rng)
    return roughen(text, rng, rough)


def of_user(drawn: Draw, text: str, label: str, source: str, template: str = "") -> Example:
    """What a user says; `template` names its family where that is not the drawn frame's own."""
    return Example(
        text=text,
        label=label,
        origin="user",
        kind=drawn.family.kind,
        lang=drawn.lang,
        source=source,
        template=f"{source}/{template or drawn.template}",
    )


def open_deck(*names: str) -> Deck:
    """Load the named banks in every language."""
    return Deck({lang: load(lang, *names) for lang in LANGUAGES})


def one_of(decks: Sequence[Deck], lang: str, rng: random.Random) -> Deck:
    """One of the decks that speak the language, each as often as the weights of its families make it."""
    speaking = [deck for deck in decks if deck.banks[lang].families]
    return rng.choices(speaking, [sum(family.weight for family in deck.banks[lang].families) for deck in speaking])[0]


def distinct(draw: Callable[[], Example], count: int) -> Iterator[Example]:
    """Yield count examples, drawing again where a text has come before (a few times, then it may repeat)."""
    seen: set[str] = set()
    for _ in range(count):
        example = draw()
        for _ in range(TRIES):
            if example.text not in seen:
                break
            example = draw()
        seen.add(example.text)
        yield example
