"""Writes a sentence in the simple codes that models read without help; knows nothing of its meaning."""

import base64
import codecs
import random

MARK = "@cipher@"  # stands in a frame where an encoded instruction belongs


def reveal(text: str, instruction: str, rng: random.Random) -> str:
    """Put the instruction, encoded, where the mark stands."""
    return text.replace(MARK, encode(instruction, rng))


def encode(text: str, rng: random.Random) -> str:
    """The text in base64, hex or rot13, backwards or letter by letter."""
    match rng.randrange(6):
        case 0 | 1:
            return base64.b64encode(text.encode()).decode()
        case 2:
            return text.encode().hex()
        case 3:
            return codecs.encode(text, "rot13")
        case 4:
            return text[::-1]
        case _:
            return "-".join(text)
