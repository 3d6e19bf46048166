"""Roughens clean sentences the way people type; refuses to know whether a text is an attack.

Benign generators should use it at the same rate, or the roughness itself tells the classes apart.
"""

import random
from collections.abc import Callable

NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo",
    "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad",
    "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip


def roughen(text: str, rng: random.Random, rate: float = 0.25) -> str:
    """Return the text as it is, or with one habit of hasty typing, at the given rate."""
    if rng.random() >= rate:
        return text
    habits: tuple[Callable[[str, random.Random], str], ...] = (
        lower, lower, typos, typos, bare, shout, stretch, spaced_lines,
    )  # fmt: skip
    return rng.choice(habits)(text, rng)


def lower(text: str, rng: random.Random) -> str:
    """All lower case, sometimes without the full stop at the end."""
    lowered = text.lower()
    return lowered.rstrip(".") if rng.random() < 0.5 else lowered


def shout(text: str, rng: random.Random) -> str:
    """All capitals, or one sentence in capitals when the text is long."""
    if len(text) < 120:
        return text.upper()
    parts = text.split(". ")
    at = rng.randrange(len(parts))
    parts[at] = parts[at].upper()
    return ". ".join(parts)


def typos(text: str, rng: random.Random) -> str:
    """Swapped, doubled, missing and neighbouring letters, about one for every 40 characters."""
    letters = list(text)
    for _ in range(max(1, len(letters) // 40)):
        at = rng.randrange(len(letters))
        char = letters[at]
        if not char.isalpha():
            continue
        match rng.randrange(4):
            case 0 if at + 1 < len(letters) and letters[at + 1].isalpha():
                letters[at], letters[at + 1] = letters[at + 1], char
            case 1:
                letters[at] = char * 2
            case 2:
                letters[at] = ""
            case _:
                letters[at] = rng.choice(NEIGHBOURS.get(char, char))
    return "".join(letters)


def bare(text: str, rng: random.Random) -> str:
    """No commas, apostrophes or full stops inside the sentence."""
    dropped = ",'" if rng.random() < 0.5 else ",';:!"
    return "".join(char for char in text if char not in dropped)


def stretch(text: str, rng: random.Random) -> str:
    """Marks repeated at the end."""
    return text.rstrip(".!") + rng.choice(("!!", "!!!", "...", " pls", " !!!", "??", " :)", " thx"))


def spaced_lines(text: str, rng: random.Random) -> str:
    """Sentences on lines of their own."""
    return text.replace(". ", rng.choice((".\n", ".\n\n")))
