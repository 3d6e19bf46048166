"""Phone numbers: Presidio's recognizer over candidates only. Knows numbering plans through `phonenumbers`.

Presidio scans the whole text once a region, eight times in all; that is most of what its pattern entities
cost. Here one regular expression finds what could be a number, its shape says which regions can be meant,
and only that is parsed.
"""

import re
from collections.abc import Iterator, Sequence

import phonenumbers
import regex
from presidio_analyzer import AnalysisExplanation, RecognizerResult
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from sigmaguard.outline import Outline
from sigmaguard.pii.generic import UNSPACED
from sigmaguard.pii.kind import Span

_CANDIDATE = regex.compile(
    rf"(?<![^\W{UNSPACED}])(?<![.,@#$€£%+-])(?<!(?<![A-Za-z.]):)(?:\+|\()?"
    rf"\d(?:[  ./()–-]{{0,3}}\d){{5,16}}(?![^\W{UNSPACED}]|@|[.,:/-]\d| ?[%€$£])"
)
_DATE = re.compile(
    r"\d{1,2}([./-])\d{1,2}\1\d{2,4}(?:\D.*)?|\d{4}([./-])\d{1,2}\2\d{1,2}(?:\D.*)?|\d+\.\d+\.\d+\.\d+|(?:19|20)\d\d\s?[-–]\s?(?:19|20)\d\d"
)
_MONTH = r"(?:0?[1-9]|1[0-2])[/.](?:19|20)\d\d"
_PERIOD = re.compile(rf"{_MONTH}\s?[-–]\s?{_MONTH}")  # 03/2023 - 09/2024, as in every curriculum vitae
_AMERICAN = re.compile(r"(?:1[ .-]?)?(?:(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ -])\d{3}[ -]|[2-9]\d{2}\.\d{3}\.)\d{4}")
# area code, then groups of two digits and more; or one run of digits
_TRUNK = re.compile(
    r"\(?0[1-9]\d{0,4}(?:\)?[ \u00a0./–-]{1,3}\d{2,8}){1,4}|0[1-9]\d{7,11}"
    # groups of two from the right, as DIN 5008 had it: 02 21 / 4 45 56 67
    r"|\(?0\d(?: ?\d\d){1,2}\)? ?[/-] ?\d{1,2}(?: \d\d){1,4}"
)
_MOBILE = re.compile(r"01[5-7]\d|07\d\d|06[5-9]\d")
# what is numbered in trade and workshops, in either language: such a number has the shape of a phone's by chance
_OTHER_NUMBER = re.compile(
    r"(?i)(?<![a-zäöü])(?:auftrags|bestell|artikel|art\.?|rechnungs|lieferschein|chargen|serien|sendungs|teile|material"
    r"|vorgangs|beleg|ticket|order|item|article|part|serial|invoice|batch|tracking|shipment|case)"
    r"[ -]?(?:nr|nummer|no|number)s?\b[.:=# ]{0,3}\Z"
)
_NAMED_BEFORE = 24  # code points that such a name and its marks take
_NO_DIGIT = re.compile(r"\D+")
_GAP = re.compile(r"\d[  /()–-]+\d")

REGIONS = ("DE", "GB", "US", "AT", "CH", "FR")
# no number is written with groups of one digit, but for an extension (`-0`)
_LONE_DIGITS = re.compile(r"(?:[ \u00a0.]\d)+\Z")
_LAST_GROUP = re.compile(r"[ \u00a0./()–-]+\d+\Z")

GROUPS_TOO_MANY = 3  # a number followed by other digits is tried without its last groups, too
INTERNATIONAL, NATIONAL, BARE = 0.85, 0.6, 0.3


class Phone(PhoneRecognizer):
    """Phone numbers of any country in international form, of `regions` (ISO 3166) in national form.

    `loose` also takes digits that no region would write that way, which is worth its time only where
    a word says that a phone number follows.
    """

    # eight digits, with what may part them
    outlines = (Outline(r"[0-9\x80-\xff](?:[ ./()\x80-\xff-]*[0-9\x80-\xff]){7}"),)

    def __init__(self, regions: Sequence[str] = REGIONS, *, loose: bool = False) -> None:
        super().__init__(supported_regions=tuple(regions))
        self._loose = loose
        # country codes of the regions whose national numbers begin with 0
        self._trunk_codes = tuple(
            phonenumbers.country_code_for_region(one)
            for one in regions
            if getattr(phonenumbers.PhoneMetadata.metadata_for_region(one), "national_prefix", None) == "0"
        )

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Candidates that some numbering plan knows; how sure depends on how they are written."""
        reached = -1
        for match in _CANDIDATE.finditer(text, start, end, overlapped=True):
            if match.end() <= reached:
                continue
            written = _LONE_DIGITS.sub("", match[0])
            if _PERIOD.match(written):
                continue
            for _ in range(GROUPS_TOO_MANY):
                score = self._score(written)
                if score and score < INTERNATIONAL and _is_other(text, match.start()):
                    break
                if score:
                    reached = match.start() + len(written)
                    yield match.start(), reached, score
                    break
                shorter = _LAST_GROUP.sub("", written)
                if shorter == written:
                    break
                written = shorter

    def _score(self, written: str) -> float:
        digits = sum(map(str.isdigit, written))
        if not 8 <= digits <= 15 or _DATE.fullmatch(written) or written.count("(") != written.count(")"):
            return 0.0
        if written[0] == "+" or written.startswith(("00", "(+")):
            return INTERNATIONAL if _is_valid(re.sub(r"^\(?(?:\+|00)", "+", written), None) else 0.0
        if _AMERICAN.fullmatch(written):
            return NATIONAL if _is_valid(written, "US") else 0.0
        if _TRUNK.fullmatch(written):
            # built rather than parsed: parsing once a region is most of the time
            number = int(_NO_DIGIT.sub("", written))
            if not any(_is_number(code, number) for code in self._trunk_codes):
                return 0.0
            grouped = _GAP.search(written) is not None and not re.fullmatch(r"[\d.-]+", written)
            return NATIONAL if grouped else 0.5 if _MOBILE.match(written) else BARE
        if not self._loose:
            return 0.0
        return BARE if any(_is_valid(written, region) for region in self.supported_regions) else 0.0

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
        """Presidio's interface to the same."""
        return [
            RecognizerResult(
                self.supported_entities[0],
                start,
                end,
                score,
                AnalysisExplanation(recognizer=type(self).__name__, original_score=score),
            )
            for start, end, score in self.spans(text, 0, len(text))
        ]


def _is_other(text: str, start: int) -> bool:
    return _OTHER_NUMBER.search(text, max(0, start - _NAMED_BEFORE), start) is not None


def _is_valid(written: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written, region))
    except phonenumbers.NumberParseException:
        return False


def _is_number(code: int, number: int) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.PhoneNumber(country_code=code, national_number=number))
