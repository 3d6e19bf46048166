"""Finds disguises that are only guessed at: each gives a reading of its own, none a layer to go deeper from.

What a guess says may hang on text that stands far behind, so guesses are read in requests, not in streamed answers.
Every pattern is linear: bounded or possessive repeats, and a search goes on where the last one ended.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from sigmaguard.decoding import Run, decoded, legible
from sigmaguard.taken import Taken

LEAST_PROSE = 0.8  # the part of letters and blanks in what numbers say: most tables of numbers say something
MOST_DROPPED = 4  # words before a base64 text that are as wide as its groups
_TAG = re.compile(
    r"<(?:\?[^<>]{0,512}|/?[A-Za-z][A-Za-z0-9:_-]{0,63}+"
    r"(?:[\s/](?:(?:[^<>\"']{1,512}+|\"[^\"]{0,512}+\"|'[^']{0,512}+'){0,16}+|[^<>]{0,512}))?)>"
)
_NUMBERS = re.compile(r"[0-9](?<![0-9A-Za-z.].)[0-9]{1,2}(?:[ ,;\t\n]{1,3}[0-9]{2,3}(?![0-9A-Za-z])){7,}+")
_NUMBER = re.compile(r"[0-9]+")
_BASE64 = "[A-Za-z0-9+/_-]"
_BLANKS = r"[ \t\r\n]{1,10}"
_NARROW = ((4, 5),)  # width and number of groups that are not yet a sentence of short words
_LEAST_LINE = 16
_WORD = re.compile(rf"{_BASE64}+={{0,2}}")
_LINE = re.compile(rf"(?<!{_BASE64}){_BASE64}{{{_LEAST_LINE},128}}+(?=[ \t]{{0,4}}\r?\n)")
_LINES = re.compile(rb"[0-9A-Za-z+/_-]{16}[ \t]{0,4}\r?\n")
_WRAP = re.compile(r"[-=]\r?\n[ \t]{0,16}(?=[^\W\d_])")


def tags(text: str) -> list[Run]:
    """Comments of any length, processing instructions and tags whose attributes hold brackets, as a browser
    leaves them out."""
    return list(_tags(text))


def _tags(text: str) -> Iterator[Run]:
    at, closing = 0, 0  # where the next comment ends, -1 where none does: it is not looked for twice
    while (start := text.find("<", at)) >= 0:
        at = start + 1
        if text.startswith("<!--", start):
            if 0 <= closing < start + 2:
                closing = text.find("-->", start + 2)
            if closing >= 0:
                at = closing + 3
                yield Run(start, at, "", "tags")
        elif match := _TAG.match(text, start):
            at = match.end()
            yield Run(start, at, "", "tags")


def numbers(text: str) -> list[Run]:
    """Lists of decimal numbers that are the codes of letters."""
    found: list[Run] = []
    for match in _NUMBERS.finditer(text):
        codes = [int(one) for one in _NUMBER.findall(match.group())]
        said = legible(bytes(codes)) if max(codes) < 256 else ""
        if sum(char.isalpha() or char == " " for char in said) >= LEAST_PROSE * len(codes):
            found.append(Run(match.start(), match.end(), said, "decimal"))
    return found


def wraps(text: str) -> list[Run]:
    """Words parted at the end of a line by a hyphen, or by the `=` of quoted printable."""
    return [
        Run(match.start(), match.end(), "", "wrapped")
        for match in _WRAP.finditer(text)
        if match.start() and text[match.start() - 1].isalpha()
    ]


def groups(text: str, ascii_bytes: bytes) -> list[Run]:
    """Base64, base32 and hex in lines or groups of one width, put together."""
    widths = {len(line.group()) for line in _LINE.finditer(text)} if _LINES.search(ascii_bytes) else set[int]()
    wanted = [(width, 2) for width in sorted(widths, reverse=True)[:4]]
    found: list[Run] = []
    taken = Taken()
    for width, least in (*wanted, *_NARROW):
        for match in _pattern(width, least).finditer(text):
            run = _joined(text, match.start(), match.end(), least)
            if run and taken.take(run.start, run.end):
                found.append(run)
    return sorted(found, key=lambda run: run.start)


@lru_cache(256)
def _pattern(width: int, least: int) -> re.Pattern[str]:
    one = rf"{_BASE64}{{{width}}}(?!{_BASE64})"
    rest = f"(?:{_BLANKS}{_BASE64}{{2,{width}}}+)?={{0,2}}"
    return re.compile(f"(?<!{_BASE64}){one}(?:{_BLANKS}{one}){{{least - 1},}}+{rest}")


def _joined(text: str, start: int, end: int, least: int) -> Run | None:
    words = list(_WORD.finditer(text, start, end))
    for first, dropped in product(range(MOST_DROPPED), range(2)):
        kept = words[first : len(words) - dropped]
        if len(kept) < least:
            continue
        run = decoded("".join(word.group() for word in kept), 0)
        if run:
            return Run(kept[0].start(), kept[-1].end(), run.text, "grouped")
    return None
