"""Disguises text at the level of characters and words; the folds of the engine undo some of these, the model reads the rest."""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable

_LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
_CYRILLIC = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_MATH_BOLD = {
    **{ord("a") + i: 0x1D41A + i for i in range(26)},
    **{ord("A") + i: 0x1D400 + i for i in range(26)},
}
_TAGS = {code: 0xE0000 + code for code in range(0x20, 0x7F)}


def leetspeak(text: str, _: random.Random) -> str:
    """Digits for letters."""
    return text.lower().translate(_LEET)


def homoglyphs(text: str, rng: random.Random) -> str:
    """Cyrillic look-alikes for about half of the letters that have one."""
    return "".join(char.translate(_CYRILLIC) if rng.random() < 0.5 else char for char in text)


def zero_width(text: str, rng: random.Random) -> str:
    """Invisible characters between letters."""
    return "".join(char + (rng.choice("\u200b\u200c\u200d\u2060\u00ad") if rng.random() < 0.4 else "") for char in text)


def fullwidth(text: str, _: random.Random) -> str:
    """East Asian wide forms."""
    return text.translate(_WIDE)


def math_bold(text: str, _: random.Random) -> str:
    """Mathematical bold letters."""
    return text.translate(_MATH_BOLD)


def tag_characters(text: str, _: random.Random) -> str:
    """Unicode tag characters, which nothing draws."""
    return text.translate(_TAGS)


def spaced(text: str, _: random.Random) -> str:
    """A space after every letter, two between words."""
    return "  ".join(" ".join(word) for word in text.split())


def dashed(text: str, rng: random.Random) -> str:
    """A separator inside every word."""
    mark = rng.choice("-._*")
    return " ".join(mark.join(word) for word in text.split())


def typos(text: str, rng: random.Random) -> str:
    """Swapped neighbours and dropped letters, in about every third word."""
    return " ".join(_mistype(word, rng) if len(word) > 3 and rng.random() < 0.35 else word for word in text.split(" "))


def _mistype(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word) - 1)
    if rng.random() < 0.5:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def upper(text: str, _: random.Random) -> str:
    """All capitals."""
    return text.upper()


def base64_text(text: str, _: random.Random) -> str:
    """Base64 of UTF-8."""
    return base64.b64encode(text.encode()).decode()


def hex_text(text: str, _: random.Random) -> str:
    """Hexadecimal digits of UTF-8."""
    return text.encode().hex()


def rot13(text: str, _: random.Random) -> str:
    """Every letter thirteen places on."""
    return codecs.encode(text, "rot13")


def backwards(text: str, _: random.Random) -> str:
    """Written from the end."""
    return text[::-1]


FOLDED: dict[str, Callable[[str, random.Random], str]] = {  # undone before tokenising
    "homoglyphs": homoglyphs, "zero_width": zero_width, "fullwidth": fullwidth, "math_bold": math_bold,
    "tag_characters": tag_characters, "upper": upper,
}  # fmt: skip
READ: dict[str, Callable[[str, random.Random], str]] = {  # the model learns to read these
    "leetspeak": leetspeak, "spaced": spaced, "dashed": dashed, "typos": typos,
}  # fmt: skip
DECODED: dict[str, Callable[[str, random.Random], str]] = {  # the engine's decoded readings undo these, not the model
    "base64": base64_text, "hex": hex_text, "rot13": rot13, "backwards": backwards,
}  # fmt: skip
