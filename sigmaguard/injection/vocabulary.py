"""Turns text into WordPiece ids and offsets; special tokens never arise from text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

CLS, SEP = 101, 102
_FIRST_ORIGIN = 1  # [unused0], [unused1], ... of the BERT vocabulary: untrained, and unreachable from text
ORIGINS = ("user", "document", "tool")
_ALIASES = {
    "system": "user",
    "assistant": "user",
    "tool_call": "user",
    "tool_result": "tool",
    "tool_definition": "tool",
}


class Tokens(msgspec.Struct, frozen=True):
    """Token ids and their half-open code-point offsets in the text they came from."""

    ids: list[int]
    offsets: Sequence[tuple[int, int]]


class Vocabulary:
    """A WordPiece vocabulary without special tokens: `[SEP]` in a text is five ordinary characters."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a `tokenizer.json`. Raises an error of the `tokenizers` package if it is malformed."""
        from tokenizers import Tokenizer  # noqa: PLC0415

        return cls(Tokenizer.from_file(str(path)))

    def tokens(self, text: str) -> Tokens:
        """Tokenise `text` whole; nothing is cut here."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Tokens(encoding.ids, encoding.offsets)


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
