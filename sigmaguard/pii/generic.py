"""Presidio's recognizers for values of no country, mended where the hot path needs it."""

import ipaddress
import re
from collections.abc import Iterator

import tldextract
from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
)
from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

from sigmaguard.outline import Outline
from sigmaguard.pii.kind import Span
from sigmaguard.pii.patterns import PatternSpans

# Letters of scripts that put no gap between words, as code points of a class: Thai and Lao, kana, Han, Hangul (whose
# particles follow a value at once). They touch a value without being a part of it.
UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
LOCAL_PART = 64  # octets, RFC 5321 section 4.5.3.1.1
DOMAIN = 255
# Endings of names that are used inside firms and in documents but are no public suffix (RFC 6762 app. G, RFC 6761)
PRIVATE_ENDINGS = frozenset({"local", "internal", "intern", "lan", "corp", "home", "localdomain", "test", "example"})
_BEFORE = re.compile(r"\w(?:[\w.+'-]*[\w+-])?\Z")
_AFTER = re.compile(r"(?:\w+(?:-+\w+)*\.)+\w+(?:-+\w+)*")
_UNSPACED = re.compile(rf"[{UNSPACED}]")
_UNSPACED_BEFORE = re.compile(rf".*[{UNSPACED}](?=\w)", re.DOTALL)


class Email(EmailRecognizer):
    """E-mail addresses, looked for only around an `@`.

    Presidio's pattern starts at every letter, which is quadratic in a long run of them, takes `email=`
    into the address, and its check fetches the list of public suffixes from the network on first use.
    """

    outlines = (Outline(r"[0-9A-Za-z_+\x80-\xff-]@[0-9A-Za-z_\x80-\xff]"),)

    def __init__(self) -> None:
        super().__init__()
        # the list that comes with the package, never fetched and never written to disk
        self._suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
        self._suffixes("warm.example.org")

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Addresses whose `@` lies between `start` and `end`."""
        at = text.find("@", start, end)
        while at >= 0:
            found = self._around(text, at)
            if found:
                yield found
            at = text.find("@", at + 1, end)

    def _around(self, text: str, at: int) -> Span | None:
        domain = _AFTER.match(text, at + 1, at + 1 + DOMAIN)
        if domain is None:
            return None
        low = max(0, at - LOCAL_PART)
        local = _BEFORE.search(text[low:at])
        name = self._domain(domain[0])
        if local is None or not name:
            return None
        start, end = low + local.start(), domain.start() + len(name)
        if text[low:at] == "git" and text[end : end + 1] == ":":
            return None  # git@host:path is an address of a repository
        if text.startswith("://", max(0, start - 3)):
            return None  # who signs in to a server (RFC 3986, section 3.2.1): a key of a tracker, not a mailbox
        if not local[0].isascii() and (touching := _UNSPACED_BEFORE.match(local[0])):
            start += touching.end()
        return start, end, 1.0

    def _domain(self, written: str) -> str:
        """The domain without a sentence that goes on after it, as in `anna@example.org\u3067\u3059`; empty for none."""
        if not written.isascii() and (touching := _UNSPACED.search(written)):
            alone = written[: touching.start()]
            if alone[-1:].isalnum() and self.is_domain(alone):
                return alone
        return written if self.is_domain(written) else ""

    def is_domain(self, name: str) -> bool:
        """Whether mail could go there: a public suffix, or an ending used inside firms."""
        ending = name.rpartition(".")[2].lower()
        return ending in PRIVATE_ENDINGS or self._suffixes(name).fqdn != ""

    def validate_result(self, pattern_text: str) -> bool:
        """Presidio's check, offline."""
        return self.is_domain(pattern_text.rpartition("@")[2])


_SPELLED = r"[\[(](?:at|AT|ät|Ät)[\])]"


class SpelledEmail(EmailRecognizer):
    """Addresses whose `@` is spelled against harvesters, as in `anna(at)example.org` or `anna[at]example[dot]org`.

    Only written in one word: apart, a stream could not know that one begins.
    """

    GATE = r"[\[(](?:at|AT|[\x80-\xff]{2}t)[\])]"
    PATTERNS = [
        Pattern(
            "spelled",
            rf"\b\w[\w.+-]{{0,63}}{_SPELLED}\w[\w-]{{0,62}}"
            r"(?:(?:\.|[\[(](?:dot|punkt|DOT|PUNKT)[\])])\w[\w-]{0,62}){1,4}\b",
            0.9,
        )
    ]

    def validate_result(self, pattern_text: str) -> bool | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Only that it ends in letters, as names of hosts do."""
        return None if re.search(r"[^\W\d_]{2,}\Z", pattern_text) else False


# Issuer ranges and lengths as published by the schemes (ISO/IEC 7812; only whether any has the number matters)
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"  # Maestro
    r"|62\d{14,17}"  # UnionPay
)


# between the groups of a card: what forms put there
_CARD_GAP = r"[ .\u00a0\u2007\u2010-\u2013\u202f-]"
# what tables put there, and one end of a line with marks of a quotation
_WIDE_GAP = r"(?:\t| {2,3}| ?/ ?| [\u2013-] )"
_LINE_GAP = r" ?\\?\r?\n(?:> ?){0,2} {0,4}"
_FOUR_DIGITS = "[0-9]{4}"
# Columns, lines and single digits: one row in ten of a table of amounts has a good checksum
_LOOSE = re.compile(r"[\t\r\n/]| {2}| [\u2013-] |[0-9] [0-9] [0-9] ")
_CARD_LETTER = rf"[^\W_{UNSPACED}]"


class Card(CreditCardRecognizer):
    """Payment cards whose checksum holds; certain only where an issuer has that range and length.

    One number of sixteen digits in ten has a good checksum by chance. Digits of other scripts are read in the folded
    reading. Four columns of a table are a card only where no fifth stands beside them.
    """

    GATE = r"[0-9](?:[ \t./>\r\n\\\xc2\xa0\xe2\x80\x87\x90-\x93\xaf-]*[0-9]){11}"
    PATTERNS = [
        Pattern(
            "Card numbers",
            rf"[0-9](?<!{_CARD_LETTER}[0-9])(?<![.,+-][0-9])(?<![0-9]_[0-9])(?:[0-9]{{3}}(?:"
            rf"{_CARD_GAP}{_FOUR_DIGITS}{_CARD_GAP}{_FOUR_DIGITS}{_CARD_GAP}[0-9]{{1,7}}"
            r"|[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{8,15}"
            rf"|(?<![0-9][\t/]{_FOUR_DIGITS})(?<![0-9]  {_FOUR_DIGITS})(?:{_WIDE_GAP}{_FOUR_DIGITS}){{3}}"
            rf"(?!{_WIDE_GAP}[0-9])"
            rf"|(?:{_LINE_GAP}{_FOUR_DIGITS}{_CARD_GAP}{_FOUR_DIGITS}{_CARD_GAP}"
            rf"|{_CARD_GAP}{_FOUR_DIGITS}(?:{_LINE_GAP}{_FOUR_DIGITS}{_CARD_GAP}|{_CARD_GAP}{_FOUR_DIGITS}{_LINE_GAP})"
            rf"){_FOUR_DIGITS}"
            rf")|(?<![0-9] [0-9])(?: [0-9]){{12,18}}(?! [0-9]))(?!{_CARD_LETTER}|[_-]|[.,][0-9])",
            0.3,
        )
    ]

    def validate_result(self, pattern_text: str) -> bool | None:  # type: ignore[override]
        """True for a checksum and a known issuer, None for the checksum alone and for what tables look like, too."""
        digits = re.sub(r"\D", "", pattern_text)
        if not super().validate_result(digits):
            return False
        return True if _BRANDS.fullmatch(digits) and not _LOOSE.search(pattern_text) else None


ACCOUNT = 96  # code points of an IBAN of 34 with gaps, one or two of them ends of lines
ACCOUNT_GAP = r"(?: ?\r?\n(?:> ?){0,2} {0,4}| {1,2}|[.-])"
_ACCOUNT_GAP = re.compile(ACCOUNT_GAP)


class Iban(IbanRecognizer):
    """International bank account numbers, in either case, ending where the country's length says.

    Presidio tries three lengths; an account followed by a word of four letters is lost to it. Between the groups may
    stand what mail, tables and terminals put there: two spaces, a point, the end of a line with marks of a quotation.
    """

    # `IBAN` may touch the account, as in copied forms
    outlines = (Outline(r"(?:[^0-9A-Za-z]|^|IBAN)[A-Za-z]{2}[0-9]{2}(?:[ .>\r\n-]{0,9}[0-9A-Za-z]){11}"),)
    _START = re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=IBAN))[A-Za-z]{{2}}[0-9]{{2}}(?={ACCOUNT_GAP}?[A-Za-z0-9])")
    _LETTERS_CHECKED = re.compile(r"[A-Z0-9]{15,34}")

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Accounts whose country, length, format and check digits are right."""
        for match in self._START.finditer(text, start, end):
            length = _IBAN_LENGTHS.get(match[0][:2].upper())
            if length is None:
                continue
            stop = _skip(text, match.start(), length, min(end, match.start() + ACCOUNT))
            if stop is None:
                continue
            compact = re.sub(r"[\s>.-]", "", text[match.start() : stop]).upper()
            if self._LETTERS_CHECKED.fullmatch(compact) and self.validate_result(compact):
                yield match.start(), stop, 1.0


def _skip(text: str, start: int, count: int, end: int) -> int | None:
    """Where `count` letters and digits end, one gap between any two of them passed over."""
    at = start
    while at < end:
        one = text[at]
        if one.isascii() and one.isalnum():
            count -= 1
            at += 1
            if count == 0:
                after = text[at : at + 1]
                return None if after.isalnum() and after.isascii() else at
            continue
        gap = _ACCOUNT_GAP.match(text, at, end)
        if gap is None or not text[gap.end() : gap.end() + 1].isalnum():
            return None
        at = gap.end()
    return None


def _lengths() -> dict[str, int]:
    """How long an account is, by country, out of Presidio's table of formats."""
    found: dict[str, int] = {}
    for country, pattern in regex_per_country.items():
        plain = pattern.replace("[ ]?", "")
        counts = re.findall(r"\[[^\]]*\]\)?(?:\{(\d+)\})?", plain)
        found[country] = 2 + sum(int(count or 1) for count in counts)
    return found


_IBAN_LENGTHS = _lengths()


_GIVEN = ipaddress.ip_network("2000::/3")
_FOUR = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_COLONS = re.compile(r"[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,7}(?:%\w+)?(?:/\d{1,3})?")


class Ip(IpRecognizer):
    """Public IP addresses. Private, loopback, documentation and network addresses are nobody's.

    Presidio runs five long patterns over everything; here only over what has four numbers or a double
    colon, or seven colons.
    """

    outlines = (
        Outline(r"(?:[0-9\x80-\xff]+\.){3}[0-9\x80-\xff]"),
        Outline("::"),
        Outline("(?::[0-9A-Fa-f.]*){7}"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._patterns = PatternSpans(self)
        self._dotted = PatternSpans(self, only=("IPv4",))

    def spans(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Addresses between `start` and `end`."""
        for match in _FOUR.finditer(text, start, end):
            yield from self._dotted.spans(text, match.start(), min(end, match.end() + 4))
        if "::" in text or text.count(":") >= 7:
            for match in _COLONS.finditer(text, start, end):
                written = match[0]
                if "::" in written or written.count(":") == 7:
                    yield from self._patterns.spans(text, match.start(), min(end, match.end() + 1))

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether an address could not belong to a person."""
        try:
            address = ipaddress.ip_interface(pattern_text)
        except ValueError:
            return True
        # of IPv6 only these are given to anyone (RFC 4291, section 2.4); a slice such as `[0::2]` is none
        return not address.ip.is_global or (address.version == 6 and address.ip not in _GIVEN)


class Mac(MacAddressRecognizer):
    """Hardware addresses, but for broadcast and nought, and for pieces of something longer.

    Presidio cuts serial numbers and fingerprints of certificates into addresses.
    """

    PATTERNS = [
        Pattern(
            "pairs",
            r"(?<!\w)(?<!\b[0-9A-Fa-f]{2}[:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\w|[:-][0-9A-Za-z])",
            0.6,
        ),
        Pattern("dots", r"(?<![\w.-])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?!\w|[.-][0-9A-Za-z])", 0.6),
    ]
