"""Postal addresses in German and English writing. Knows streets, numbers, codes and towns by their shape."""

from collections.abc import Iterator

import regex
from presidio_analyzer import Pattern, PatternRecognizer

from sigmaguard.pii.kind import Span
from sigmaguard.pii.patterns import PatternSpans

_CAP = r"[A-ZÄÖÜ][\wäöüß'’-]*"
_NUMBER = r"\d{1,4}(?: ?[a-zA-Z](?!\w))?(?:\s?[-–/]\s?\d{1,4}[a-z]?)?(?!\w|[.,:]\d)"
_TOWN = (
    rf"(?:(?:Bad|Sankt|St\.|Groß|Klein|Neu|Alt)\s)?{_CAP}(?:\s(?:am|an\sder|im|in\sder|ob\sder|vor\sder|bei)\s{_CAP})?"
)
_CODE_TOWN = rf"(?:(?:D|DE|A|CH)[- ])?(?<!\d)\d{{4,5}}\s{_TOWN}"
_THEN = rf"(?:,\s*|\s+){_CODE_TOWN}"
_SURE = r"(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|[Aa]llee|[Gg]asse|[Cc]haussee)"
_MAYBE = (
    r"(?:[Ww]eg|[Pp]latz|[Rr]ing|[Dd]amm|[Uu]fer|[Gg]raben|[Ss]tieg|[Ww]all|[Mm]arkt|[Pp]fad|[Kk]amp|[Hh]of|[Bb]erg)"
)
# words that open a sentence or go with a noun are no part of a street's name
_NOT_NAME = r"(?!(?:Die|Der|Das|Den|Dem|In|Im|Unsere|Meine|Seine|Ihre|Eine|Jede|Diese|Wir|Ich|Adresse|Anschrift)\s)"
_BEFORE = rf"(?:{_NOT_NAME}{_CAP}\s){{0,2}}"
_LEFT = r"(?<![\w-])"
_PREPOSITION = r"(?:Am|An\sder|An\sden|Auf\sde[mr]|Im|In\sde[rmn]|Zum|Zur|Unter\sden|Vor\sdem|Hinter\sde[rm])"

_SURE_EN = r"(?:Street|St\.|Road|Rd\.?|Avenue|Ave\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Terrace|Crescent|Parkway|Pkwy\.?)"
_MAYBE_EN = r"(?:St|Drive|Dr\.?|Way|Court|Ct\.?|Place|Pl\.?|Square|Sq\.?|Close|Gardens|Grove|Hill|Row|Highway|Hwy\.?)"
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}"
_ZIP = rf"(?:[A-Z]{{2}}\s\d{{5}}(?:-\d{{4}})?|{_POSTCODE})(?!\w)"
_UNIT = r"(?:,?\s(?:Apt|Apartment|Suite|Unit|Flat|Floor)\.?\s?#?\w{1,5})?"
_PLACES = r"(?:,\s*[A-Z][A-Za-z'’.-]*(?:\s[A-Z][A-Za-z'’.-]*){0,2}){0,2}"
_HOUSE_EN = r"\d{1,5}[A-Za-z]?(?:-\d{1,4})?\s(?:[NSEW]\.?\s)?(?:(?:[A-Z][A-Za-z'’-]*|\d{1,3}(?:st|nd|rd|th))\s){1,3}"

# none of the patterns matches without one of these
_HINT = regex.compile(
    rf"(?:{_SURE}|{_MAYBE})\s\d|\d{{4,5}}\s[A-ZÄÖÜ]|\s(?:{_SURE_EN}|{_MAYBE_EN})(?!\w)|Box\s\d|Postfach\s\d"
)

SURE, LIKELY, WEAK = 0.85, 0.6, 0.3


class Address(PatternRecognizer):
    """Street and number, with code and town where they follow; code and town alone only weakly."""

    PATTERNS = [
        Pattern("de full", rf"{_LEFT}{_BEFORE}[\wäöüß-]*(?:{_SURE}|{_MAYBE})\s{_NUMBER}{_THEN}", SURE),
        Pattern("de preposition", rf"{_LEFT}{_PREPOSITION}\s(?:{_CAP}\s){{1,2}}{_NUMBER}{_THEN}", SURE),
        Pattern("de any", rf"{_LEFT}(?:{_CAP}\s){{1,2}}{_NUMBER},\s*{_CODE_TOWN}", SURE),
        Pattern("de street", rf"{_LEFT}{_BEFORE}[\wäöüß-]*{_SURE}\s{_NUMBER}", LIKELY),
        Pattern("de maybe", rf"{_LEFT}{_BEFORE}[\wäöüß-]*{_MAYBE}\s{_NUMBER}", WEAK),
        Pattern("en full", rf"\b{_HOUSE_EN}(?:{_SURE_EN}|{_MAYBE_EN}){_UNIT}{_PLACES},?\s{_ZIP}", SURE),
        Pattern("en street", rf"\b{_HOUSE_EN}{_SURE_EN}(?!\w)", LIKELY),
        Pattern("en maybe", rf"\b{_HOUSE_EN}{_MAYBE_EN}(?!\w)", WEAK),
        Pattern("box", r"\b(?:P\.?\s?O\.?\sBox|Postfach)\s\d{1,3}(?:\s?\d{1,3}){0,2}\b", LIKELY),
        Pattern("code and town", rf"(?<![\w.,/+-])(?:D-)?\d{{5}}\s{_TOWN}", WEAK),
    ]

    def __init__(self) -> None:
        super().__init__(supported_entity="ADDRESS", supported_language="de", patterns=self.PATTERNS)
        self._patterns = PatternSpans(self)

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Addresses in a part of a text that names a street or a code with a town."""
        if _HINT.search(text, start, end):
            yield from self._patterns.spans(text, start, end)
