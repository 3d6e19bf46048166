"""Undoes character-level disguises before tokenising; knows nothing of base64, rot13 or leetspeak.

Every code point is folded alone, so that a place in the folded text leads back to one in the source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

# Letters that look like a Latin one (Unicode confusables, the part seen in attacks): source, then look-alike.
_LOOKALIKES = (
    "аaАAвbВBеeЕEкkКKмmМMнhНHоoОOрpРPсcСCтtТTуyУYхxХXіiІIјjЈJѕsЅSԁdԛqԝwһhӏlҮYүyґrпnгrѵv"
    "αaΑAβbΒBεeΕEηnΗHιiΙIκkΚKμuΜMνvΝNοoΟOρpΡPτtΤTυuΥYχxΧXζzΖZγyωwσo"
    "օoոnռnսuցgհhյjկlաwզqգqքfՕOՍUՏSԼLԍgǀlɡgɑaıiℓlǃ!ɩi"
    "ᎠDᎡRᎢTᎥiᎪAᎫJᎬEᎳWᎷMᎻHᏀGᎩYᏚSᏙVᏞLᏟCᏢPᏦKᏧdᏒRᏔWᏃZᏏbᏴBᏳGᎽYᏂhᏮ6"
    "ꓐBꓑPꓓDꓔTꓖGꓗKꓙJꓚCꓜZꓝFꓟMꓠNꓡLꓢSꓣRꓦVꓧHꓪWꓫXꓬYꓮAꓰEꓲIꓳOꓴU"
)
_CONFUSABLE = dict(zip(_LOOKALIKES[::2], _LOOKALIKES[1::2], strict=True))
_TO_LATIN = str.maketrans(_CONFUSABLE)
_NO_LOOKALIKES = str.maketrans(dict.fromkeys(_CONFUSABLE))
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
_WORD = re.compile(r"[^\W\d_]+")
WIDEST = 4  # a few Arabic ligatures stand for up to 18 letters: a text made of them must not grow so far
_ALPHABETS = (  # first code point of 26 letters in a row that NFKC leaves alone
    0x1F1E6,  # regional indicators
    0x1F150,  # negative circled
    0x1F170,  # negative squared
)


class Folded(msgspec.Struct, frozen=True):
    """A folded text; `origins[i]` is the source index of its i-th code point, None where nothing moved."""

    text: str
    origins: list[int] | None

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Lead a half-open span of the folded text back to the source."""
        if self.origins is None or start >= end:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


class _Alphabet(dict[int, str]):
    """Folds one code point at a time and remembers what it learned (at most all of Unicode)."""

    def __missing__(self, point: int) -> str:
        folded = self[point] = _fold_point(point)
        return folded


def _fold_point(point: int) -> str:
    if point < 0x80:
        return chr(point)
    if 0xE0020 <= point <= 0xE007E:  # tag characters carry hidden ASCII: show it
        return chr(point - 0xE0000)
    if 0xE0110 <= point <= 0xE016E:  # so do the variation selectors of bytes 32 to 126; emoji use others
        return chr(point - 0xE0100 + 16)
    for first in _ALPHABETS:
        if first <= point < first + 26:
            return chr(ord("a") + point - first)
    char = chr(point)
    if char in _SMALL_CAPITALS:
        return _SMALL_CAPITALS[char]
    kind = unicodedata.category(char)
    if kind in {"Cf", "Mn", "Me", "Co", "Cn"} or char in "\u115f\u1160\u3164\uffa0\u2800":
        return ""
    if kind in {"Zs", "Zl", "Zp"}:
        return " "
    return unicodedata.normalize("NFKC", char)[:WIDEST]


def fold(text: str) -> Folded:
    """Fold `text`: compatibility forms, invisible and tag characters, look-alike letters. Linear time."""
    if text.isascii():
        return Folded(text, None)
    alphabet = _ALPHABET
    used = set(text)
    folded = text.translate(alphabet)
    latin = folded if _CONFUSABLE.keys().isdisjoint(folded) else _WORD.sub(_latin_word, folded)
    if all(len(alphabet[ord(char)]) == 1 for char in used):
        return Folded(latin, None)
    return Folded(latin, list(_source_indices([alphabet[ord(char)] for char in text])))


def _source_indices(pieces: list[str]) -> Iterator[int]:
    for index, piece in enumerate(pieces):
        for _ in piece:
            yield index


def _latin_word(match: re.Match[str]) -> str:
    """Replace look-alikes where a word mixes scripts or could be all Latin; true Greek and Russian stay."""
    word = match.group()
    if word.isascii():
        return word
    if word.encode("ascii", "ignore") or not word.translate(_NO_LOOKALIKES):
        return word.translate(_TO_LATIN)
    return word


_ALPHABET = _Alphabet()  # a pure cache: the same answer whoever filled it
