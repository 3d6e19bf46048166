"""Labelled German sentences to train the name tagger on: templates filled by dice, and name-free prose.

Every given name, family name, town and street is dealt to one side, so that what is measured was never seen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from zlib import crc32

import msgspec
from detection.corpus import benign_business, benign_chat, benign_tool, benign_trigger
from faker.providers.address.de_AT import Provider as AustrianPlaces
from faker.providers.address.de_DE import Provider as Places
from faker.providers.person.de_AT import Provider as Austrians
from faker.providers.person.de_CH import Provider as Swiss
from faker.providers.person.de_DE import Provider as People
from faker.providers.person.en_US import Provider as Americans
from faker.providers.person.pl_PL import Provider as Poles
from faker.providers.person.tr_TR import Provider as Turks

from pii import german_words as words
from pii.german_sentences import NOTHING, ORGANISATIONS, PEOPLE, PLACES

LABELS = ("O", "PERSON", "LOCATION", "ORGANIZATION")
HELD_OUT = 20  # one value in twenty is never trained on
_SLOT = re.compile(r"\{(\w)\}")
_WORD = re.compile(r"[^\W\d_]+")


class Labelled(msgspec.Struct, frozen=True):
    """A text and its names: (start, end, label), half-open code points, in order."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def _side(value: str, *, held: bool) -> bool:
    return (crc32(value.encode()) % HELD_OUT == 0) is held


def _names(*lists: object) -> list[str]:
    found: set[str] = set()
    for one in lists:
        found.update(one)  # type: ignore[arg-type]
    return sorted(name for name in found if name and name[0].isupper())


class German:
    """Fills slots; `held` takes only the values that training never sees."""

    def __init__(self, dice: random.Random, *, held: bool = False) -> None:
        self.dice = dice
        given = _names(
            People.first_names_male, People.first_names_female, Austrians.first_names, Swiss.first_names,
            Turks.first_names, Poles.first_names, list(Americans.first_names)[:300],
        )  # fmt: skip
        family = _names(
            People.last_names, Austrians.last_names, Swiss.last_names, Turks.last_names, Poles.last_names,
            list(Americans.last_names)[:200],
        )  # fmt: skip
        cities = _names(words.CITIES, words.COUNTRIES, Places.cities, AustrianPlaces.cities)
        self.given = [one for one in given if _side(one, held=held)]
        self.family = [one for one in family if _side(one, held=held)]
        self.cities = [one for one in cities if _side(one, held=held)]
        self.everything = {word for one in (*given, *family, *cities) for word in _WORD.findall(one)}

    def fill(self, template: str) -> Labelled:
        """A sentence of a template."""
        text, spans, at = "", [], 0
        for slot in _SLOT.finditer(template):
            text += template[at : slot.start()]
            value, label = self._value(slot[1])
            if label:
                spans.append((len(text), len(text) + len(value), label))
            text += value
            at = slot.end()
        return Labelled(text + template[at:], tuple(spans))

    def _value(self, slot: str) -> tuple[str, str]:
        dice = self.dice
        makers: dict[str, tuple[Callable[[], str], str]] = {
            "P": (self.person, "PERSON"),
            "V": (lambda: dice.choice(self.given), "PERSON"),
            "F": (self.surname, "PERSON"),
            "v": (lambda: dice.choice(self.given).lower(), ""),
            "T": (lambda: dice.choice(self.cities), "LOCATION"),
            "S": (self.street, "LOCATION"),
            "O": (self.firm, "ORGANIZATION"),
            "D": (self.date, ""),
            "Z": (lambda: str(dice.choice((dice.randrange(10), dice.randrange(100), dice.randrange(100_000)))), ""),
            "X": (lambda: dice.choice(words.TECHNICAL), ""),
            "x": (lambda: dice.choice(words.TECHNICAL).lower(), ""),
            "N": (self.noun, ""),
            "n": (lambda: dice.choice(words.NOUNS).lower(), ""),
            "A": (lambda: dice.choice(words.ADJECTIVES), ""),
            "I": (lambda: dice.choice(words.VERBS), ""),
            "G": (lambda: dice.choice(words.PARTICIPLES), ""),
        }
        make, label = makers[slot]
        return make(), label

    def noun(self) -> str:
        """A noun, a compound now and then."""
        one = self.dice.choice(words.NOUNS)
        return one + self.dice.choice(words.NOUNS).lower() if self.dice.random() < 0.3 else one

    def surname(self) -> str:
        """A family name, double, noble or inflected now and then."""
        dice, one = self.dice, self.dice.choice(self.family)
        chance = dice.random()
        if chance < 0.08:
            return f"{one}-{dice.choice(self.family)}"
        if chance < 0.12:
            return f"{dice.choice(('von', 'van', 'zu', 'von der', 'de'))} {one}"
        return one

    def person(self) -> str:
        """A person as written in full."""
        dice = self.dice
        given = dice.choice(self.given)
        chance = dice.random()
        if chance < 0.08:
            given += f"{dice.choice((' ', '-'))}{dice.choice(self.given)}"
        elif chance < 0.13:
            given += f" {dice.choice('ABCDEFGHJKLMPRSTW')}."
        elif chance < 0.17:
            return f"{self.surname()}, {given}"
        elif chance < 0.20:
            given = f"{given[0]}."
        full = f"{given} {self.surname()}"
        return full.upper() if dice.random() < 0.03 else full

    def street(self) -> str:
        """A street with its number."""
        dice = self.dice
        ending = dice.choice(("straße", "str.", "weg", "allee", "platz", "gasse", "ring"))
        stem = dice.choice((*self.family, *self.cities, *words.NOUNS))
        name = f"{stem}-{ending.capitalize()}" if " " in stem or dice.random() < 0.2 else stem + ending
        return f"{name} {dice.randrange(1, 200)}{dice.choice(('', '', '', 'a', 'b'))}"

    def firm(self) -> str:
        """An organisation: made up, of a kind and a town, or a known one."""
        dice = self.dice
        chance = dice.random()
        if chance < 0.3:
            return dice.choice(words.FIRMS).replace("_", " ")
        if chance < 0.45:
            return f"{dice.choice(words.KINDS_OF_ORG)} {dice.choice(self.cities)}"
        stem = dice.choice((self.surname(), dice.choice(self.cities), f"{self.surname()} & {self.surname()}"))
        trade = dice.choice(words.TRADES)
        name = dice.choice(
            (f"{stem} {trade}", f"{trade} {stem}", stem, f"{stem[:5].strip()}{trade.lower()}".capitalize())
        )
        return f"{name} {dice.choice(words.LEGAL)}" if dice.random() < 0.8 else f"{stem} {trade}"

    def date(self) -> str:
        """A date as written."""
        dice = self.dice
        day, month, year = dice.randrange(1, 29), dice.randrange(1, 13), dice.randrange(1950, 2027)
        months = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
        return dice.choice(
            (f"{day:02}.{month:02}.{year}", f"{day}. {months[month - 1]} {year}", f"{day}. {months[month - 1]}")
        )

    def sentence(self) -> Labelled:
        """A sentence of any family; some lower-cased or in capitals, as people type."""
        dice = self.dice
        family = dice.choices((PEOPLE, PLACES, ORGANISATIONS, NOTHING), weights=(40, 14, 14, 32))[0]
        made = self.fill(dice.choice(family))
        return Labelled(made.text.upper(), made.spans) if dice.random() < 0.02 and "ß" not in made.text else made


def prose(dice: random.Random, known: set[str], count: int) -> Iterator[str]:
    """Lines of German prose that hold no known name, out of the detection corpus's generators."""
    for module in (benign_business, benign_chat, benign_tool, benign_trigger):
        for example in module.generate(dice, count):
            if example.lang != "de":
                continue
            for line in example.text.split("\n"):
                if 12 < len(line) < 400 and not known.intersection(_WORD.findall(line)):
                    yield line


def texts(dice: random.Random, count: int, *, held: bool = False) -> Iterator[Labelled]:
    """`count` texts of one to four sentences each, a name-free line between them now and then."""
    german = German(dice, held=held)
    lines = list(prose(dice, german.everything, 1_500))
    for _ in range(count):
        text, spans = "", []
        for _ in range(dice.choice((1, 1, 2, 3, 4))):
            made = Labelled(dice.choice(lines), ()) if dice.random() < 0.3 else german.sentence()
            shift = len(text)
            spans += [(start + shift, end + shift, label) for start, end, label in made.spans]
            text += made.text + dice.choice((" ", " ", "\n"))
        yield Labelled(text, tuple(spans))
