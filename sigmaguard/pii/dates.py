"""Dates of birth: dates in German and English writing. Knows dates, not whether one is a birth."""

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import DateRecognizer

_MONTH = (
    r"(?:Jan(?:uar|uary|\.)?|Jänner|Feb(?:ruar|ruary|\.)?|März|Mär\.|Mar(?:ch|\.)?|Apr(?:il|\.)?|Mai|May|Jun(?:i|e|\.)?"
    r"|Jul(?:i|y|\.)?|Aug(?:ust|\.)?|Sep(?:tember|t\.|\.)?|O[kc]t(?:ober|\.)?|Nov(?:ember|\.)?|De[zc](?:ember|\.)?)"
)
_DAY, _NUMBER, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d{2}"
_LEFT, _RIGHT = r"(?<![\w.,/-])", r"(?![\w/-]|[.,]\d)"


class BirthDate(DateRecognizer):
    """Dates as people write a birthday; whether one is a birthday the words before it say."""

    PATTERNS = [
        Pattern("day first", rf"{_LEFT}{_DAY}([./-])\s?{_NUMBER}\1\s?(?:{_YEAR}|\d{{2}}){_RIGHT}", 0.3),
        Pattern("month first", rf"{_LEFT}{_NUMBER}([/-]){_DAY}\1(?:{_YEAR}|\d{{2}}){_RIGHT}", 0.3),
        Pattern("year first", rf"{_LEFT}{_YEAR}([./-]){_NUMBER}\1{_DAY}(?![\w/-]|[.,:]\d)", 0.3),
        Pattern("midnight", rf"{_LEFT}{_YEAR}-{_NUMBER}-{_DAY}(?=T00:00)", 0.3),  # as JSON writes a day
        Pattern("gaps", rf"{_LEFT}{_DAY} {_NUMBER} {_YEAR}{_RIGHT}", 0.3),
        Pattern("closed up", rf"{_LEFT}{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_RIGHT}", 0.3),
        Pattern("day-month", rf"{_LEFT}{_DAY}-{_MONTH}-{_YEAR}{_RIGHT}", 0.3),
        Pattern("day month", rf"{_LEFT}{_DAY}(?:\.|st|nd|rd|th)?\s(?:of\s)?{_MONTH},?\s{_YEAR}{_RIGHT}", 0.3),
        Pattern("month day", rf"\b{_MONTH}\s{_DAY}(?:st|nd|rd|th)?,?\s{_YEAR}{_RIGHT}", 0.3),
    ]

    def __init__(self) -> None:
        super().__init__(supported_entity="DATE_OF_BIRTH")


class DateThenBorn(DateRecognizer):
    """A date whose birthday stands behind it, or a star before: `am 12.03.1980 geboren`, `(*12.03.1980)`."""

    PATTERNS = [
        Pattern(f"{one.name}, then born", rf"(?:{one.regex})(?=,?\s(?:in\s\w+\s)?gebor(?:en|ene[nrms]?)\b)", 0.9)
        for one in BirthDate.PATTERNS
    ] + [Pattern(f"{one.name}, after a star", rf"(?<=\(\*\s?)(?:{one.regex})", 0.9) for one in BirthDate.PATTERNS]

    def __init__(self) -> None:
        super().__init__(supported_entity="DATE_OF_BIRTH")
