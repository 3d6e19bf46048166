"""Postal addresses in German and English writing. Knows streets, numbers, codes and towns by their shape.

Presidio has no recognizer for addresses. This one starts at numbers, which are rarer than capitals, and
looks to both sides of each, so that prose costs nothing.
"""

import re
from collections.abc import Iterator

from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult

from sigmaguard.outline import Outline, outline
from sigmaguard.pii.kind import Span

SURE, LIKELY, WEAK = 0.85, 0.6, 0.3
BEFORE = 64  # code points before a house number that a street's name may take

_UPPER = r"[^\W\d_a-zß-öø-ÿ]"  # letters that are not small ones, beyond German too
_CAP = rf"{_UPPER}[\wäöüß'’-]*"
_SURE = ("straße", "strasse", "str.", "allee", "gasse", "chaussee")
_MAYBE = ("weg", "platz", "ring", "damm", "ufer", "graben", "stieg", "wall", "markt", "pfad", "kamp", "hof", "berg")
_ENDINGS = _SURE + _MAYBE
_JOINED = "|".join(re.escape(one) for one in _ENDINGS)
_ALONE = "|".join(re.escape(one.capitalize()) for one in _ENDINGS)
# words that open a sentence or go with a noun are no part of a street's name
_NOT_NAME = r"(?!(?:Die|Der|Das|Den|Dem|Unsere|Meine|Seine|Ihre|Eine|Jede|Diese|Wir|Ich|Adresse|Anschrift)\s)"
_STREET = re.compile(
    rf"(?<![\w-])(?:(?:{_NOT_NAME}{_CAP}\s){{0,2}}(?:{_CAP}(?:{_JOINED}|-(?:{_ALONE}))|(?P<bare>{_ALONE}))"
    r"|[a-zäöüß]{4,}(?:straße|strasse|str\.|allee|gasse))\s\Z"
)
_PREPOSITION = r"(?:Am|An\sde[rn]|Auf\sde[mr]|Im|In\sde[rmn]|Zum|Zur|Unter\sden|Vor\sdem|Hinter\sde[rm])"
_PLACE = re.compile(rf"(?<![\w-])(?:{_PREPOSITION}\s(?:{_CAP}\s){{1,2}}|{_NOT_NAME}(?:{_CAP}\s){{1,2}})\Z")
_NUMBER = re.compile(r"\d{1,4}(?: ?[a-zA-Z](?!\w))?(?: ?[-–/] ?\d{1,4}[a-z]?)?(?!\w|[.,:]\d)")
_TOWN = (
    rf"(?:(?:Bad|Sankt|St\.|Groß|Klein|Neu|Alt)\s)?{_CAP}(?:\s(?:am|an\sder|im|in\sder|ob\sder|vor\sder|bei)\s{_CAP})?"
)
_THEN = re.compile(rf"(?:,\s?|\s)\s?(?:(?:D|DE|A|CH)[- ])?\d{{4,5}}\s{_TOWN}")
_FOUR_DIGITS = re.compile(r"\d{4}")
_YEAR_AND_TOWN = re.compile(r" \d{4}\s")
_CODE_TOWN = re.compile(rf"\d{{5}}\s{_TOWN}")

_SURE_EN = r"(?:Street|St\.|Road|Rd\.?|Avenue|Ave\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Terrace|Crescent|Parkway|Pkwy\.?)"
_MAYBE_EN = r"(?:St|Drive|Dr\.?|Way|Court|Ct\.?|Place|Pl\.?|Square|Sq\.?|Close|Gardens|Grove|Hill|Row|Highway|Hwy\.?)"
_HOUSE_EN = re.compile(
    r"\d{1,5}[A-Za-z]?(?:-\d{1,4})?\s(?:[NSEW]\.?\s)?(?:(?:[A-Z][A-Za-z'’-]*|\d{1,3}(?:st|nd|rd|th))\s){1,3}?"
    rf"(?:(?P<sure>{_SURE_EN})|{_MAYBE_EN})(?:\s(?:[NS][EW]|[NESW])(?!\w))?(?!\w)"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}"
_REST_EN = re.compile(
    r"(?:,?\s(?:Apt|Apartment|Suite|Unit|Flat|Floor)\.?\s?#?\w{1,5})?"
    r"(?:,\s?[A-Z][A-Za-z'’.-]*(?:\s[A-Z][A-Za-z'’.-]*){0,2}){0,2}"
    rf",?\s(?:[A-Z]{{2}}\s\d{{5}}(?:-\d{{4}})?|{_POSTCODE})(?!\w)"
)
_BOX = re.compile(r"\b(?:P\.?\s?O\.?\sBox|Postfach)\s\Z")
_BOX_NUMBER = re.compile(r"\d{1,3}(?:\s\d{1,3}){0,2}\b")
_ORDINAL = re.compile(r"\d{1,4}(?:st|nd|rd|th)?\s")
_DIGITS = re.compile(r"[0-9]+")


_OUTLINES = (
    outline(rf"(?i:{_JOINED}|{_ALONE})\s\d"),
    outline(_NUMBER.pattern + _THEN.pattern),
    outline(r"(?:P\.?\s?O\.?\sBox|Postfach)\s\d"),
    outline(_HOUSE_EN.pattern),
    outline(_CODE_TOWN.pattern),
)


class Address(LocalRecognizer):
    """Street and number, with code and town where they follow; a code with a town alone only weakly."""

    outlines: tuple[Outline, ...] = _OUTLINES

    def __init__(self) -> None:
        super().__init__(supported_entities=["ADDRESS"], supported_language="de")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
        """Presidio's interface to the same."""
        return [
            RecognizerResult("ADDRESS", start, end, score, AnalysisExplanation("Address", score))
            for start, end, score in self.spans(text, 0, len(text))
        ]

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Addresses whose first number stands between `start` and `end`."""
        for digits in _DIGITS.finditer(text, start, end):
            first, last = digits.span()
            if last - first > 5:
                continue
            before, after = text[first - 1 : first], text[last : last + 2]
            if before.isspace() and first > 1 and (text[first - 2].isalpha() or text[first - 2] == "."):
                found = _german(text, first)
                if found:
                    yield found
            if not before or before.isspace() or before in "(,\"'>:;":
                found = _english(text, first, last)
                if found:
                    yield found
            if last - first == 5 and after[:1].isspace() and after[1:].isupper() and before not in (*".,/+-_",):
                match = _CODE_TOWN.match(text, first)
                if match:
                    yield first, match.end(), WEAK


def _german(text: str, first: int) -> Span | None:
    """A street before the number at `first`, with code and town where they follow."""
    low = max(0, first - BEFORE)
    named = text[low : first - 1].endswith(_ENDINGS) or text[low : first - 1].lower().endswith(_ENDINGS)
    number = _NUMBER.match(text, first)
    if number is None:
        return _box(text, first, low)
    then = _THEN.match(text, number.end())
    if not named and not then:
        return _box(text, first, low)
    # whether the street's name begins before `low` cannot be seen, so it is looked for in whole words only
    street = (_STREET if named else _PLACE).search(text, low, first)
    if street is None:
        return None
    if then:
        # `NJW 2019, 1881 Rn.`, `Band 12 1998 Berlin`: a street that is not named as one has a number of fewer digits,
        # and a code of four digits (Austria, Switzerland) behind a comma or on the next line
        if not named and (_FOUR_DIGITS.match(text, first) or _YEAR_AND_TOWN.match(text, number.end())):
            return None
        return street.start(), then.end(), SURE
    if street["bare"]:
        return street.start(), number.end(), WEAK  # `die Straße 5 Minuten weiter`
    sure = text[low : first - 1].lower().endswith(_SURE)
    return street.start(), number.end(), LIKELY if sure else WEAK


def _box(text: str, first: int, low: int) -> Span | None:
    box = _BOX.search(text, low, first)
    number = _BOX_NUMBER.match(text, first) if box else None
    return (box.start(), number.end(), LIKELY) if box and number else None


def _english(text: str, first: int, last: int) -> Span | None:
    """A house number at `first` and a street behind it, with place and code where they follow."""
    at = last + 1 if text[last : last + 1].isalpha() else last
    if not text[at : at + 1].isspace() and text[at : at + 1] != "-":
        return None
    begin = text[at + 1 : at + 2]
    if not begin.isupper() and not (begin.isdigit() and _ORDINAL.match(text, at + 1)):
        return None
    house = _HOUSE_EN.match(text, first)
    if house is None:
        return None
    rest = _REST_EN.match(text, house.end())
    if rest:
        return first, rest.end(), SURE
    return first, house.end(), LIKELY if house["sure"] else WEAK
