"""How random a string looks. Knows arithmetic on characters, no format and no rule."""

import re
from collections import Counter
from math import log2

_WORDS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]+")
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_VOWELS = re.compile(r"[aeiouyAEIOUY]")
LEAST_PIECE = 3.3  # characters; words average 5 to 7, random base62 splits into pieces of about 1.6


def shannon(text: str) -> float:
    """Shannon entropy of `text` in bits a character; 0 for an empty text."""
    size = len(text)
    if size < 2:
        return 0.0
    return log2(size) - sum(count * log2(count) for count in Counter(text).values()) / size


def is_wordlike(text: str) -> bool:
    """Whether `text` reads as words and small numbers rather than as random characters.

    Cut at case changes, digits and separators, words leave long pieces that hold vowels (`getUserToken2`,
    `my-secret-name`), random strings leave short ones.
    """
    pieces = _PIECES.findall(text)
    letters = [piece for piece in pieces if not piece.isdigit()]
    if not letters:
        return False
    spoken = sum(len(piece) for piece in letters if len(piece) < 3 or _VOWELS.search(piece))
    total = sum(len(piece) for piece in letters)
    digits = sum(len(piece) for piece in pieces if piece.isdigit())
    return total / len(letters) >= LEAST_PIECE and spoken >= 0.8 * total and digits <= 0.25 * (total + digits)


def classes(text: str) -> int:
    """How many of lower case, upper case, digits and anything else occur in `text`."""
    return sum(
        (
            any(char.islower() for char in text),
            any(char.isupper() for char in text),
            any(char.isdigit() for char in text),
            any(not char.isalnum() for char in text),
        )
    )
