"""How random a string looks. Knows arithmetic on characters, no format and no rule."""

import re
from collections import Counter
from itertools import pairwise
from math import log2

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_UNSPOKEN = re.compile(r"(?i)^[^aeiouyäöü]{3,}$|(?>sch|ch|ck|[bcdfghjklmnpqrstvwxz]){6}")
LEAST_PIECE = 3.3  # characters; words average 5 to 7, random base62 splits into pieces of about 1.6
MOST_NUMBERS = 2  # in a name; 24 random lower-case letters and digits hold five


def shannon(text: str) -> float:
    """Shannon entropy of `text` in bits a character; 0 for an empty text."""
    size = len(text)
    if size < 2:
        return 0.0
    return log2(size) - sum(count * log2(count) for count in Counter(text).values()) / size


def is_wordlike(text: str) -> bool:
    """Whether `text` reads as words and small numbers rather than as random characters.

    Cut at case changes, digits and separators, words leave long pieces that can be spoken (`getUserToken2`,
    `my-secret-name`), random strings leave short ones or some without vowels.
    """
    pieces = _PIECES.findall(text)
    letters = [piece for piece in pieces if not piece.isdigit()]
    if not letters:
        return False
    spoken = sum(len(piece) for piece in letters if not _UNSPOKEN.search(piece))
    total = sum(len(piece) for piece in letters)
    numbers = len(pieces) - len(letters)
    return total / len(letters) >= LEAST_PIECE and spoken >= 0.75 * total and numbers <= MOST_NUMBERS


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


def case_changes(text: str) -> int:
    """How often a letter is followed by one of the other case."""
    return sum(one.islower() != other.islower() for one, other in pairwise(text) if one.isalpha() and other.isalpha())
