"""JSON source read as what it says, with the way back. Knows escapes (RFC 8259), no structure."""

import re

from sigmaguard.detector import Passage
from sigmaguard.reading import Reading

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[\"\\/bfnrt])")
_PLAIN = {'"': '"', "\\": "\\", "/": "/", "b": " ", "f": " ", "n": "\n", "r": "\n", "t": "\t"}


def source_reading(passage: Passage) -> Reading:
    """The passage as its writer meant it: as written, or, where it is JSON source, with the escapes undone."""
    return json_reading(passage.segment.text) if passage.segment.is_json else passage.readings[0]


_MARKS = str.maketrans({'"': " ", "{": " ", "}": " ", "[": " ", "]": " "})
_PAIRS = re.compile(r"[\"']\s*:\s*[\"'\[{]")


def as_prose(text: str) -> str:
    """The text as a tagger trained on prose reads it best: without the marks of JSON, as long as it was."""
    return text.translate(_MARKS) if _PAIRS.search(text) else text


def json_reading(text: str) -> Reading:
    """The text with its escapes undone: in source, `\\nanna@example.org` is no address that begins with `n`."""
    if "\\" not in text:
        return Reading(text)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for escape in _ESCAPE.finditer(text):
        start, end = escape.span()
        pieces.append(text[at:start])
        starts += range(at, start)
        ends += range(at + 1, start + 1)
        pieces.append(_meant(escape[0]))
        starts.append(start)
        ends.append(end)
        at = end
    pieces.append(text[at:])
    starts += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return Reading("".join(pieces), "plain", starts, ends)


def _meant(escape: str) -> str:
    if escape[1] != "u":
        return _PLAIN[escape[1]]
    high = int(escape[2:6], 16)
    if len(escape) == 12:
        return chr(0x10000 + ((high - 0xD800) << 10) + int(escape[8:12], 16) - 0xDC00)
    return chr(high)
