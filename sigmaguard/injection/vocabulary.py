"""Turns text into WordPiece ids and offsets; special tokens never arise from text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

CLS, SEP, UNKNOWN_WORD = 101, 102, 100
_FIRST_ORIGIN = 1  # [unused0], [unused1], ... of the BERT vocabulary: untrained, and unreachable from text
LONGEST_WORD = 100  # code points; WordPiece takes a longer word for unknown
REMEMBERED = 16_384  # split words
REMEMBERED_CHARS = 24
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PIECES = re.compile(r"[a-z0-9]+|[^a-z0-9\s]")
ORIGINS = ("user", "document", "tool")
_ALIASES = {
    "system": "user",
    "assistant": "user",
    "tool_call": "user",
    "tool_result": "tool",
    "tool_definition": "tool",
}


class Tokens:
    """Token ids of a text, and on demand where they stand in it."""

    __slots__ = ("_text", "_tokenizer", "ids")

    def __init__(self, ids: list[int], text: str, tokenizer: Any) -> None:
        self.ids = ids
        self._text = text
        self._tokenizer = tokenizer

    @property
    def offsets(self) -> Sequence[tuple[int, int]]:
        """Half-open code-point offsets, one pair a token; costs as much as tokenising with `tokenizers`."""
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(self._text, add_special_tokens=False).offsets
        return offsets[: len(self.ids)]


class Vocabulary:
    """A WordPiece vocabulary without special tokens: `[SEP]` in a text is five ordinary characters.

    `tokenizers` keeps book of where every token came from, which costs ten times what finding the ids does, and
    most texts never need it. So ids are found here by the same rules; a property test holds the two together.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        known: dict[str, int] = tokenizer.get_vocab(with_added_tokens=False)
        self._words = {piece: number for piece, number in known.items() if not piece.startswith("##")}
        self._tails = {piece[2:]: number for piece, number in known.items() if piece.startswith("##")}
        self._longest = max(map(len, known), default=0)
        self._unknown = known.get("[UNK]", 0)
        self._plain = _Normal(tokenizer)
        # words that may be secrets or numbers of persons are not kept: only those of few letters are
        self._remembered = lru_cache(REMEMBERED)(self._split)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a `tokenizer.json`. Raises an error of the `tokenizers` package if it is malformed."""
        from tokenizers import Tokenizer  # noqa: PLC0415

        return cls(Tokenizer.from_file(str(path)))

    def tokens(self, text: str) -> Tokens:
        """Tokenise `text` whole; nothing is cut here."""
        if text.isascii() and _CONTROLS.search(text) is None:
            words = _PIECES.findall(text.lower())
        else:
            words = text.translate(self._plain).split()
        get, ids = self._words.get, []
        for word in words:
            number = get(word)
            if number is not None:
                ids.append(number)
            elif len(word) <= REMEMBERED_CHARS and word.isalpha():
                ids += self._remembered(word)
            else:
                ids += self._split(word)
        return Tokens(ids, text, self._tokenizer)

    def _split(self, word: str) -> list[int]:
        """The longest pieces from the left (WordPiece); a word that does not come out even is unknown as a whole."""
        size = len(word)
        if size > LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        known, start = self._words, 0
        while start < size:
            for end in range(min(size, start + self._longest), start, -1):
                number = known.get(word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            known, start = self._tails, end
        return found


class _Normal(dict[int, str]):
    """Each code point as the tokenizer normalises it, gaps around what it cuts out; asked once each (all of Unicode
    at most)."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self._normalise = tokenizer.normalizer.normalize_str
        self._cut = tokenizer.pre_tokenizer.pre_tokenize_str

    def __missing__(self, point: int) -> str:
        if 0xD800 <= point <= 0xDFFF:
            raise ValueError("a lone surrogate is no text")
        normal = self._normalise(chr(point))
        parts = "".join(char if len(self._cut(f"a{char}a")) == 1 else f" {char} " for char in normal)
        self[point] = parts
        return parts


def origin_name(origin: str) -> str:
    """The model's word for an origin of the engine. Raises ValueError for an unknown one."""
    name = _ALIASES.get(origin, origin)
    if name not in ORIGINS:
        known = ", ".join([*ORIGINS, *_ALIASES])
        raise ValueError(f"unknown origin `{origin}`; known: {known}")
    return name


def frame(body: Sequence[int], origin: str) -> list[int]:
    """A window's ids as the model reads them: CLS, the origin's token, body, SEP."""
    return [CLS, _FIRST_ORIGIN + ORIGINS.index(origin), *body, SEP]
