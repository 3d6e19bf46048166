"""Every way a text can be read once its disguises are undone. Knows the order of undoing, judges nothing.

Disguises come off layer by layer: characters are folded (compatibility forms, invisible and tag
characters, look-alike letters), then every encoded run (base64, base32, hex, binary, percent, quoted
printable, HTML entities, JSON and programming escapes, markup inside words) is replaced by what it says,
all at once, and the result is read again. One layer is one reading, so the work is linear in the text and
no decoy can multiply it. Each layer gives guesses besides: rot13, leetspeak and reversed text, only where a
word of `TRIGGERS` shows up in them that the text as written does not have, spaced letters put together and glued
words taken apart. What it cannot do: ciphers with a key, other rotations, anything nested deeper than `LAYERS`.
"""

import re
from collections.abc import Iterator

from sigmaguard.decoding import Run, letters, markup, runs_within
from sigmaguard.disguises import groups, numbers, tags, wraps
from sigmaguard.gate import gate
from sigmaguard.glued import glued
from sigmaguard.injection.fold import fold
from sigmaguard.outline import Outline
from sigmaguard.prefilter import prefilter
from sigmaguard.reading import Reading
from sigmaguard.splice import CONTEXT, SEAM, composed, kind_of, spliced

LAYERS = 4

# Stems that give away leetspeak, and the fewer looked for in rot13 and backwards: English and German
TRIGGERS = ("ignor", "previous", "instruct", "prompt", "system", "disregard", "forget", "overrid", "reveal",
            "anweisung", "vergiss", "vorherig", "jailbreak", "password", "secret", "bypass")  # fmt: skip
_FEW = ("ignor", "instruct", "prompt", "system", "weisung")
# Guesses that hang on text anywhere, so that a stream could not read them alike
UNSTREAMED = ("rot13", "leet", "reversed", "tags", "decimal", "grouped", "wrapped")
GUESSES = frozenset({"spaced", "glued", *UNSTREAMED})
_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)
_LEET = str.maketrans("0134578@$!|", "oieastbasil")
_LEET_BYTES = bytes.maketrans(b"0134578@$!|", b"oieastbasil")
_STEMS = tuple(stem.encode() for stem in TRIGGERS)
_ROT13_STEMS = tuple(stem.translate(_ROT13).encode() for stem in (*_FEW, " the ", "all", "vergiss"))
_REVERSED_STEMS = tuple(stem[::-1].encode() for stem in _FEW)
_INSIDE = b"wdw"  # a digit or sign between letters
_WORDS = (
    bytes(
        ord("w") if chr(point).isalpha() else ord("d") if point in b"0134578@$!|" else ord(".") for point in range(128)
    )
    + b"." * 128
)
# One pass that nearly every harmless text leaves without a match: 2 us a KB in RE2, linear by construction.
# Each alternative is a necessary condition of a finder in `decoding` or of a cipher below. A code point beyond ASCII
# is a `?` to RE2, to Hyperscan some bytes over 7F.
_BETWEEN, _ALONE = r"[ ._*|/,~+:;=#&^'\"\\\t\n-]{1,3}", r"(?:[0-9a-z?@$!]|[\x80-\xff]{1,4})"
_NUMBERS = r"(?:[0-9]{2,3}[ ,;\t\n]{1,3}){7}[0-9]{2}"
_GROUPS = (r"(?:[0-9a-z+/_-]{4}[ \n]){5}[0-9a-z+/_-]{2}",)
_LINE_END = r"[a-z\x80-\xff?][-=]\r?\n[ \t]{0,16}[a-z\x80-\xff?]"
_DISGUISES = (
    r"%[0-9a-fu][0-9a-f]",
    r"\\",
    r"&(?:#|[a-z][a-z0-9]{1,31};)",
    r"<[!?/a-z]",
    r"[0-9a-z?\x80-\xff][*`~]{1,3}[0-9a-z?\x80-\xff]",
    r"=[0-9a-f]{2}=[0-9a-f]",
    r"[0-9a-z+/_-]{6}==?(?:[^0-9a-z_=]|$)",
    r"[0-9a-z+/_-]{16}",
    r"(?:[0-9a-fx][ :,;\t\n]*){12}",
    rf"(?:^|{_BETWEEN}){_ALONE}(?:{_BETWEEN}{_ALONE}){{3}}(?:[^0-9a-z]|$)",
    r"[a-z][0134578@$!|][a-z]",
    r"[\x00-\x08\x0e-\x1f\x7f]",
    _NUMBERS,
    *_GROUPS,
    _LINE_END,
    *(one.decode() for one in (*_ROT13_STEMS, *_REVERSED_STEMS)),
)
_GATE = gate(_DISGUISES, ignore_case=True)
_COUNTED = gate((_NUMBERS,))
_IN_GROUPS = gate((*_GROUPS, r"[0-9a-z+/_-]{16}[ \t]{0,4}\r?\n"), ignore_case=True)
_AT_LINE_END = gate((_LINE_END,), ignore_case=True)
# A code point that folding may change to some end: not Latin letters nor the punctuation of good typography,
# but a no-break space within what would be one number, address or phrase
_SUSPECT = re.compile(
    "[^\x00-\xac\xae-\u017e\u2010-\u201e\u2022\u2026\u20ac\u2122]|(?<=[0-9A-Za-z)])\xa0(?=[0-9A-Za-z(])"
)
# The same in UTF-8
_BYTES = (
    r"\xc2[\x80-\x9f\xad]|\xc5\xbf|[\xc6-\xe1\xe3-\xff]|\xe2[^\x80\x82\x84]"
    r"|\xe2\x80[^\x90-\x9e\xa2\xa6]|\xe2\x82[^\xac]|\xe2\x84[^\xa2]|[0-9A-Za-z)]\xc2\xa0[0-9A-Za-z(]"
)
# What a terminal takes for itself; colours and erasing are taken out whole. What parts two windows stays
_CONTROLS = re.compile(
    f"({re.escape(SEAM)})"
    r"|\x1b\[[0-9;:]{0,32}+[mKJH]|\x1b\][^\x07\x1b\s]{0,256}+(?:\x07|\x1b\\)|[\x00-\x08\x0e-\x1f\x7f-\x9f]+"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_CONTROL_BYTES = bytes((*range(0x09), *range(0x0E, 0x20), 0x7F))
_PREFILTER = prefilter((*(Outline(one, ignores_case=True) for one in _DISGUISES), Outline(_BYTES)))


def readings(text: str) -> tuple[Reading, ...]:
    """Every reading of `text`; the first is the text as written, alone where nothing is disguised."""
    plain = Reading(text)
    seen = _PREFILTER.seen(text)
    if seen == [] or (seen is None and text.isascii() and not _GATE.search(text.encode("ascii"))):
        return (plain,)
    return tuple(_every(plain))


def _every(layer: Reading) -> list[Reading]:
    found = [layer]
    for _ in range(LAYERS):
        for undo in (_uncontrolled, _folded):
            undone = undo(layer)
            if undone:
                found.append(undone)
                layer = undone
        ascii_bytes = layer.text.encode("ascii", "replace")
        if not _GATE.search(ascii_bytes):
            break
        found.extend(_guesses(layer, ascii_bytes))
        encoded, within = runs_within(layer.text, ascii_bytes)
        if within:
            found.append(spliced(layer, within))
        if not encoded:
            break
        layer = spliced(layer, encoded)
        found.append(layer)
    return found


def _uncontrolled(layer: Reading) -> Reading | None:
    """The layer without control characters; None where it has none but what parts two windows."""
    text = layer.text
    if text.isascii():  # told at memory speed
        ascii_bytes = text.encode()
        if len(ascii_bytes.translate(None, _CONTROL_BYTES)) == len(ascii_bytes):
            return None
    elif not _CONTROL.search(text):
        return None
    pieces: list[tuple[int, int]] = []
    at = 0
    for match in _CONTROLS.finditer(text):
        if match[1] is None:
            pieces.append((at, match.start()))
            at = match.end()
    if not pieces:
        return None
    pieces.append((at, len(text)))

    def sides() -> tuple[list[int], list[int]]:
        starts = [point for begin, end in pieces for point in range(begin, end)]
        return starts, [point + 1 for point in starts]

    return composed(layer, "".join(text[begin:end] for begin, end in pieces), "controls", sides)


def _folded(layer: Reading) -> Reading | None:
    """The layer with its characters folded; None where that changes nothing."""
    text = layer.text
    if text.isascii() or not _SUSPECT.search(text):
        return None
    folded = fold(text)
    if folded.text == text:
        return None
    if folded.origins is None:
        return Reading(folded.text, kind_of(layer, "folded"), layer.starts, layer.ends)
    starts = folded.origins
    return composed(layer, folded.text, "folded", lambda: (starts, [at + 1 for at in starts]))


def _guesses(layer: Reading, ascii_bytes: bytes) -> list[Reading]:
    """Guesses: the layer as rot13, leetspeak and backwards where a trigger word says so, and letters put together."""
    lowered = ascii_bytes.lower()
    found: list[Reading] = []
    for stem in _ROT13_STEMS:
        if stem in lowered:
            found.append(Reading(layer.text.translate(_ROT13), kind_of(layer, "rot13"), layer.starts, layer.ends))
            break
    if _INSIDE in lowered.translate(_WORDS) and _spells_trigger(lowered):
        found.append(Reading(layer.text.translate(_LEET), kind_of(layer, "leet"), layer.starts, layer.ends))
    for stem in _REVERSED_STEMS:
        if stem in lowered:
            found.append(_backwards(layer))
            break
    found.extend(
        spliced(layer, runs_found) for runs_found in _regrouped(layer.text, ascii_bytes, lowered) if runs_found
    )
    return found


def _regrouped(text: str, ascii_bytes: bytes, lowered: bytes) -> Iterator[list[Run]]:
    """Letters, words, lines and numbers put together or taken apart."""
    yield letters(text, ascii_bytes)
    yield glued(text, lowered)
    if b"<" in lowered:
        found = tags(text)
        if [(run.start, run.end) for run in found] != markup(text):
            yield found
    if _COUNTED.search(ascii_bytes):
        yield numbers(text)
    if _IN_GROUPS.search(ascii_bytes):
        yield groups(text, ascii_bytes)
    if _AT_LINE_END.search(ascii_bytes):
        yield wraps(text)


def _backwards(layer: Reading) -> Reading:
    count = len(layer.text)
    return composed(layer, layer.text[::-1], "reversed", lambda: (range(count - 1, -1, -1), range(count, 0, -1)))


def _spells_trigger(lowered: bytes) -> bool:
    leet = lowered.translate(_LEET_BYTES)
    return any(stem in leet and leet.count(stem) > lowered.count(stem) for stem in _STEMS)


def is_guess(reading: Reading) -> bool:
    """Whether a reading is right only if the writer meant it so: a cipher, letters put together, words taken apart.

    Sentences are looked for in guesses; values such as addresses and numbers are not, since a guess makes them up.
    """
    return not GUESSES.isdisjoint(reading.kind.split("+"))


__all__ = ["CONTEXT", "GUESSES", "LAYERS", "TRIGGERS", "Reading", "is_guess", "readings"]
