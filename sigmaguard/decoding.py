"""Finds the runs of a text that are written in some encoding, and what they say; judges nothing.

Every pattern is linear: bounded or possessive repeats, and a run is tried from its first character only.
"""

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

LEAST_RUN = 16  # encoded characters: shorter runs are ordinary words far more often than messages
LEAST_DIGITS = 12  # hex digits in a row, whatever stands between the pairs


class Run(msgspec.Struct, frozen=True):
    """Source span [start, end) that reads as `text`; `lows`/`highs` give each code point's own span.

    Both None where every code point of `text` comes from the whole span.
    """

    start: int
    end: int
    text: str
    kind: str
    lows: Sequence[int] | None = None
    highs: Sequence[int] | None = None


def _classes(**classes: str) -> bytes:
    """A 256-byte translation table: each character of a class becomes the class's letter, others `.`."""
    table = bytearray(b"." * 256)
    for letter, characters in classes.items():
        for character in characters:
            table[ord(character)] = ord(" " if letter == "space" else letter)
    return bytes(table)


_LOWER = "abcdefghijklmnopqrstuvwxyz"
_LETTERS = _LOWER + _LOWER.upper()
_DIGITS = "0123456789"
_ENCODED = _classes(w=_LETTERS + _DIGITS + "+/_-")
_HEX = _classes(h=_DIGITS + "abcdefxABCDEFX")
_HEX_GAPS = b" :,;\t\n"
_SPACED = _classes(w=_LETTERS + _DIGITS + "?@$!", space=" ._-*|/,~+:;=#&^'\"\\\t\n")

# Each pattern begins with a character, not a look-behind: the engine then skips to it at memory speed
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*+")
_QUOTED = re.compile(r"=[0-9A-Fa-f]{2}(?:=[0-9A-Fa-f]{2})++")
_ESCAPE = re.compile(
    r"\\(?:u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})++"
    r"|\\*+(?:u[dD][89abAB][0-9A-Fa-f]{2}\\++u[dD][c-fC-F][0-9A-Fa-f]{2}|[ux]\{0*+[0-9A-Fa-f]{0,6}\}"
    r"|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}"
    r"|(?P<css>0{2,4}[2-7][0-9A-Fa-f](?![0-9A-Fa-f])[ \t\n]?|(?![2-3][0-7]{2})[2-7][0-9A-Fa-f](?![0-9A-Fa-f])[ \t\n]?)"
    r"|[0-3][0-7]{2}|[nrtbfv\"'/])?)"
)
_PERCENT_UNIT = re.compile(r"%u[0-9A-Fa-f]{4}")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": "\f", "v": "\v"}
_ENTITY = re.compile(r"&(?:#0*+[0-9]{1,7};?|#[xX]0*+[0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_TAG = re.compile(r"<(?:!--[^<>]{0,512}--|/?(?P<name>[A-Za-z][A-Za-z0-9]{0,15})(?:[\s/][^<>]{0,512})?)>")
_EMPHASIS = (re.compile(r"\*\*{0,2}(?=[^\W_])"), re.compile(r"`(?=[^\W_])"), re.compile(r"~~(?=[^\W_])"))
_BLOCK_TAGS = frozenset({"br", "p", "div", "li", "ul", "ol", "td", "th", "tr", "table", "h1", "h2", "h3", "h4", "hr"})
_PAIRS = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z].)[0-9A-Fa-fxX](?:[0-9A-Fa-f]{2})?"
    r"(?:[ :,;\t\n]{1,2}(?:0[xX])?[0-9A-Fa-f]{2}(?![0-9A-Za-z])){4,}+"
)
_PAIR = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{2})")
_BITS = re.compile(r"[01](?<![0-9A-Za-z].)[01]{7}(?:[ ,\n]?[01]{8}){3,}+(?![0-9A-Za-z])")
_BASE64 = re.compile(
    r"[A-Za-z0-9+/_-]{60,}+(?:\r?\n[ \t]{0,8}[A-Za-z0-9+/_-]{4,}+)*+={0,2}|[A-Za-z0-9+/_-]{16,}+={0,2}"
)
_PADDING = re.compile(r"==?(?![\w=])")
_BEFORE_PADDING = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{6,15}\Z")
_TOKEN = re.compile(r"\b[A-Za-z0-9+/]{8,12}+(?![\w=+/])")
_PART = re.compile(r"[A-Za-z0-9]{16,}+={0,2}")
_HEX_RUN = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{2})++\Z")
_HEX_BYTES = re.compile(r"0[xX]([0-9A-Fa-f]{2})(?:0[xX][0-9A-Fa-f]{2}){3,}+\Z")
_BASE32_RUN = re.compile(r"[A-Z2-7]++={0,2}\Z")
# between words stands more than between letters
_LETTER_RUN = re.compile(r"[^\W_](?:[ ._\-*|/,~+:;=#&^'\"\\\t\n]{1,7}[^\W_](?![^\W_])){3,}+")
_GAP = re.compile(r"[ ._\-*|/,~+:;=#&^'\"\\\t\n]+")
_SPACED_OUT = (b" w w w w", b" w  w  w  w", b" w   w   w   w")
_CONTROL_BYTES = bytes(point for point in range(32) if point not in b"\t\n\r") + b"\x7f"
_URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")


def runs(text: str, ascii_bytes: bytes) -> list[Run]:
    """Every encoded run of `text`, in order, none overlapping."""
    return runs_within(text, ascii_bytes)[0]


def markup(text: str) -> list[tuple[int, int]]:
    """Where simple tags and short comments stand, which `runs` leaves out already."""
    return [match.span() for match in _TAG.finditer(text)]


def runs_within(text: str, ascii_bytes: bytes) -> tuple[list[Run], list[Run]]:
    """Every encoded run of `text`, in order, none overlapping; and those that stand inside its markup.

    `ascii_bytes` is the text with each code point beyond ASCII replaced by `?`: cheap checks read it,
    so that a text without disguise costs a few microseconds a kilobyte.
    """
    found: list[Run] = []
    for mark, find in _MARKED:
        if mark in ascii_bytes:
            found.extend(find(text))
    classes = ascii_bytes.translate(_ENCODED)
    if b"w" * LEAST_RUN in classes:
        found.extend(_encoded(text, classes))
    if any(run.kind == "base64" for run in found):
        found.extend(_tokens(text))
    if b"h" * LEAST_DIGITS in ascii_bytes.translate(_HEX, _HEX_GAPS):
        found.extend(_pairs(text))
        found.extend(_bits(text))
    if len(found) < 2:
        return found, []
    found.sort(key=lambda run: (run.start, -run.end))
    apart = _apart(found)
    if len(apart) == len(found) or b"<" not in ascii_bytes:
        return apart, []
    taken = set(map(id, apart))
    return apart, _inside(
        [run for run in apart if run.kind == "markup"], [one for one in found if id(one) not in taken]
    )


def _apart(found: Sequence[Run]) -> list[Run]:
    apart: list[Run] = []
    end = 0
    for run in found:
        if run.start >= end:
            apart.append(run)
            end = run.end
    return apart


def _inside(tags: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """Of other runs those that a comment or an attribute holds, which the tag's removal would hide."""
    inside: list[Run] = []
    at = 0
    for run in others:
        while at < len(tags) and tags[at].end < run.end:
            at += 1
        if at < len(tags) and tags[at].start < run.start:
            inside.append(run)
    return _apart(inside)


def _percent(text: str) -> Iterator[Run]:
    for match in _PERCENT.finditer(text):
        data = bytes.fromhex(match.group().replace("%", ""))
        yield _spread(data.decode("utf-8", "replace"), data, match.start(), match.end(), "percent", 3)


def _quoted(text: str) -> Iterator[Run]:
    for match in _QUOTED.finditer(text):
        data = bytes.fromhex(match.group().replace("=", ""))
        yield _spread(data.decode("utf-8", "replace"), data, match.start(), match.end(), "quoted_printable", 3)


def _escapes(text: str) -> Iterator[Run]:
    for match in _ESCAPE.finditer(text):
        start, end = match.span()
        written = match.group()
        if written.count("\\u") * 6 == len(written) > 6:  # a text escaped whole, at the price of one run
            data = bytes.fromhex(written.replace("\\u", ""))
            said = data.decode("utf-16-be", "replace")
            if len(said) * 2 == len(data):
                yield Run(start, end, said, "escaped", range(start, end, 6), range(start + 6, end + 6, 6))
            else:
                yield Run(start, end, said, "escaped")
            continue
        one = chr(int(match["css"], 16)) if match["css"] else _unescape(written.lstrip("\\"))
        if one is not None:
            yield Run(start, end, one, "escaped")


def _percent_units(text: str) -> Iterator[Run]:
    for match in _PERCENT_UNIT.finditer(text):
        yield Run(match.start(), match.end(), chr(int(match.group()[2:], 16)), "percent")


def _unescape(body: str) -> str | None:
    if not body:
        return None
    letter = body[0]
    if letter in "uUx" and len(body) > 1:
        if "\\" in body:  # a surrogate pair
            return chr(0x10000 + ((int(body[1:5], 16) & 0x3FF) << 10) + (int(body[-4:], 16) & 0x3FF))
        point = int("0" + body[1:].strip("{}"), 16)
        return chr(point) if point < 0x110000 else None
    if letter in "0123":
        return chr(int(body, 8))
    return _CONTROLS.get(letter, letter)


def _entities(text: str) -> Iterator[Run]:
    for match in _ENTITY.finditer(text):
        said = html.unescape(match.group())
        if said != match.group():
            yield Run(match.start(), match.end(), said, "html")


def _markup(text: str) -> Iterator[Run]:
    for match in _TAG.finditer(text):
        said = " " if (match["name"] or "").lower() in _BLOCK_TAGS else ""
        yield Run(match.start(), match.end(), said, "markup")


def _emphasis(pattern: re.Pattern[str]) -> Callable[[str], Iterator[Run]]:
    """Finds marks of emphasis inside words."""

    def find(text: str) -> Iterator[Run]:
        for match in pattern.finditer(text):
            start = match.start()
            if start and text[start - 1].isalnum():
                yield Run(start, match.end(), "", "markup")

    return find


def _pairs(text: str) -> Iterator[Run]:
    for match in _PAIRS.finditer(text):
        said = legible(bytes.fromhex("".join(_PAIR.findall(match.group()))))
        if said:
            yield Run(match.start(), match.end(), said, "hex")


def _bits(text: str) -> Iterator[Run]:
    for match in _BITS.finditer(text):
        digits = re.sub(r"[ ,\n]", "", match.group())
        data = bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) - 7, 8))
        said = legible(data)
        if said:
            yield Run(match.start(), match.end(), said, "binary")


def _encoded(text: str, classes: bytes) -> Iterator[Run]:
    end = 0
    while (start := classes.find(b"w" * LEAST_RUN, end)) >= 0:
        match = _BASE64.match(text, start)
        if match is None:
            return
        end = match.end()
        whole = decoded(match.group(), match.start())
        if whole:
            yield whole
            continue
        for part in _PART.finditer(text, match.start(), match.end()):
            run = decoded(part.group(), part.start()) if part.span() != match.span() else None
            if run:
                yield run


def _padded(text: str) -> Iterator[Run]:
    for padding in _PADDING.finditer(text):
        end = padding.start()
        before = _BEFORE_PADDING.search(text[max(0, end - LEAST_RUN) : end])
        if before:
            run = decoded(before.group() + padding.group(), end - len(before.group()))
            if run:
                yield run


def _tokens(text: str) -> Iterator[Run]:
    """Short words that spell ASCII in base64: looked for only where a surer run was found."""
    for match in _TOKEN.finditer(text):
        if len(match.group()) % 4 == 0:
            run = decoded(match.group(), match.start())
            if run and run.text.isascii():
                yield run


def decoded(source: str, start: int) -> Run | None:
    """What an unbroken run says: as hex, base32 or base64, whichever gives legible text."""
    end = start + len(source)
    if _HEX_BYTES.match(source):
        said = legible(bytes.fromhex(re.sub("0[xX]", "", source)))
        if said:
            return Run(start, end, said, "hex")
    if _HEX_RUN.match(source):
        digits = source[2:] if source[1] in "xX" else source
        data = bytes.fromhex(digits)
        said = legible(data)
        if said:
            return _spread(said, data, end - len(digits), end, "hex", 2)
    if _BASE32_RUN.match(source):
        said = legible(_base32(source.rstrip("=")))
        if said:
            return Run(start, end, said, "base32")
    data = _base64(source)
    said = legible(data)
    if not said:
        return None
    if not said.isascii() or len(said) != len(data) or "\n" in source:
        return Run(start, end, said, "base64")
    # each byte comes from a group of four characters, of which it shares bits with its neighbours
    lows = [start + at // 3 * 4 for at in range(len(said))]
    highs = [min(low + 4, end) for low in lows]
    return Run(start, end, said, "base64", lows, highs)


def _base64(source: str) -> bytes:
    digits = source.rstrip("=").translate(_URL_SAFE)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4))
    except (binascii.Error, ValueError):
        return b""


def _base32(digits: str) -> bytes:
    try:
        return base64.b32decode(digits + "=" * (-len(digits) % 8))
    except (binascii.Error, ValueError):
        return b""


def legible(data: bytes) -> str:
    """The text these bytes spell in UTF-8 or UTF-16; empty where they spell none."""
    if not data:
        return ""
    if len(data) >= 8:
        for first, codec in ((1, "utf-16-le"), (0, "utf-16-be")):
            if data[first::2].count(0) * 20 >= len(data) // 2 * 19:
                data = data.decode(codec, "ignore").encode("utf-8", "ignore")
                break
    controls = len(data) - len(data.translate(None, _CONTROL_BYTES))
    if controls * 50 > len(data):
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # a message cut in the middle of a character still counts
        return data[: error.start].decode() if error.start >= max(8, len(data) - 3) else ""


def _spread(said: str, data: bytes, start: int, end: int, kind: str, width: int) -> Run:
    """A run whose i-th byte is written by the i-th `width` characters of the source."""
    if len(said) != len(data):
        return Run(start, end, said, kind)
    return Run(start, end, said, kind, range(start, end, width), range(start + width, end + width, width))


def letters(text: str, ascii_bytes: bytes) -> list[Run]:
    """Letters that stand alone, four or more in a row, put together to words.

    Not among `runs`: an address such as 1.1.1.1 is written like that too.
    """
    classes = b" " + ascii_bytes.translate(_SPACED)
    if not any(needle in classes for needle in _SPACED_OUT):
        return []
    return list(_letters(text, classes))


def _letters(text: str, classes: bytes) -> Iterator[Run]:
    for match in _letter_runs(text, classes):
        said: list[str] = []
        lows: list[int] = []
        highs: list[int] = []
        usual = ""
        at = match.start()
        for gap in _GAP.finditer(text, match.start(), match.end()):
            said.append(text[at])
            lows.append(at)
            highs.append(at + 1)
            usual = usual or gap.group()
            if gap.group() != usual:  # another separator parts words
                said.append(" ")
                lows.append(gap.start())
                highs.append(gap.end())
            at = gap.end()
        said.append(text[at])
        lows.append(at)
        highs.append(at + 1)
        yield Run(match.start(), match.end(), "".join(said), "spaced", lows, highs)


def _letter_runs(text: str, classes: bytes) -> Iterator[re.Match[str]]:
    """`classes` begins with one space more than `text`."""
    places = {needle: classes.find(needle) for needle in _SPACED_OUT}
    at = 0
    while True:
        for needle, place in places.items():  # a needle that is nowhere is never looked for again
            if 0 <= place < at:
                places[needle] = classes.find(needle, at)
        ahead = [place for place in places.values() if place >= 0]
        if not ahead:
            return
        match = _LETTER_RUN.match(text, min(ahead))
        if match:
            yield match
        at = max(match.end() if match else 0, min(ahead) + 1)


# One character gives these away; looking for one costs nothing next to looking for two
_MARKED: tuple[tuple[bytes, Callable[[str], Iterator[Run]]], ...] = (
    (b"%", _percent),
    (b"%u", _percent_units),
    (b"\\", _escapes),
    (b"&", _entities),
    (b"<", _markup),
    (b"*", _emphasis(_EMPHASIS[0])),
    (b"`", _emphasis(_EMPHASIS[1])),
    (b"~", _emphasis(_EMPHASIS[2])),
    (b"=", _quoted),
    (b"=", _padded),
)
