"""Patterns that tell in one pass over a text's bytes whether and where something can be. Knows RE2, no kind of data."""

from collections.abc import Collection, Iterator
from typing import Protocol

import re2

MEMORY = 1 << 26  # bytes that RE2 may take for one gate's automaton, most of which no gate ever needs


class Seen(Protocol):
    """Where a gate saw something."""

    def start(self) -> int:
        """The first byte of it."""
        ...


class Gate(Protocol):
    """A compiled pattern, asked where it is."""

    def search(self, text: bytes) -> Seen | None:
        """None where it is nowhere."""
        ...

    def finditer(self, text: bytes) -> Iterator[Seen]:
        """Every place, from left to right."""
        ...


def gate(patterns: Collection[str], *, ignore_case: bool = False) -> Gate:
    """Any of these patterns, over UTF-8 taken as single bytes, so that no text is unreadable to it."""
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MEMORY
    compiled: Gate = re2.compile("|".join(f"(?:{one})" for one in patterns).encode("latin-1"), options)
    return compiled


def literal(text: str) -> str:
    """A pattern for a gate that minds case: these code points, in UTF-8."""
    escaped: str = re2.escape(text.encode("utf-8", "surrogatepass").decode("latin-1"))
    return escaped
