"""Patterns that tell in one pass over a text's bytes that something cannot be in it. Knows RE2, no kind of data."""

from collections.abc import Sequence
from typing import Protocol

import re2


class Gate(Protocol):
    """A compiled pattern, asked only whether it is somewhere."""

    def search(self, text: bytes) -> object | None:
        """None where it is nowhere."""
        ...


def gate(patterns: Sequence[str], *, ignore_case: bool = False) -> Gate:
    """Any of these patterns, over UTF-8 taken as single bytes, so that no text is unreadable to it."""
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1
    compiled: Gate = re2.compile("|".join(f"(?:{one})" for one in patterns).encode("latin-1"), options)
    return compiled
