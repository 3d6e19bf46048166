"""Placeholders back to values, whole or streamed. Knows only the placeholders it is given.

Tolerant of what models do to placeholders: other case, escaped or missing angle brackets in HTML and
JSON. Only placeholders that this exchange issued are restored; a name that merely looks like one stays.
"""

import json
import re
from collections.abc import Mapping

# <EMAIL_1>, <email_1>, &lt;EMAIL_1&gt;, \u003cEMAIL_1\u003e, \<EMAIL_1\>
_OPEN = r"(?:<|&lt;|\\u003[cC]|\\<)"
_CLOSE = r"(?:>|&gt;|\\u003[eE]|\\>)"
_ANY = re.compile(rf"{_OPEN}([A-Za-z][A-Za-z0-9_\\]*_\d+){_CLOSE}")
_START = re.compile(r"[<&\\]")
_OPENERS = ("<", "&lt;", "\\u003c", "\\u003C", "\\<")
_CLOSERS = (">", "&gt;", "\\u003e", "\\u003E", "\\>")


def restore_text(text: str, values: Mapping[str, str], *, is_json: bool) -> str:
    """The text with every placeholder of `values` replaced by its value."""
    if "<" not in text and "&lt;" not in text and "\\u003" not in text:
        return text

    def value_of(match: re.Match[str]) -> str:
        # markdown escapes underscores (`EMAIL\_1`)
        value = values.get(f"<{match[1].replace(chr(92), '').upper()}>")
        if value is None:
            return match[0]
        return json.dumps(value, ensure_ascii=False)[1:-1] if is_json else value

    return _ANY.sub(value_of, text)


class Restorer:
    """Restores one channel of a stream; holds only what could still become a placeholder it knows."""

    __slots__ = ("_held", "_is_json", "_names", "_reach", "_values")

    def __init__(self, values: Mapping[str, str], *, is_json: bool = False) -> None:
        self._values = values
        self._is_json = is_json
        self._held = ""
        self._names = [name[1:-1] for name in values]
        # twice the longest name (every underscore may be escaped) and both brackets escaped
        self._reach = 2 * max((len(name) for name in self._names), default=0) + 16

    def feed(self, text: str) -> str:
        """What may leave now."""
        if not self._values:
            return text
        text = self._held + text
        cut = self._hold(text)
        self._held = text[cut:]
        return restore_text(text[:cut], self._values, is_json=self._is_json)

    def finish(self) -> str:
        """What was held, restored as it stands."""
        rest, self._held = self._held, ""
        return restore_text(rest, self._values, is_json=self._is_json)

    def _hold(self, text: str) -> int:
        """From where the text could still grow into a placeholder: its length where nowhere."""
        for match in _START.finditer(text, max(0, len(text) - self._reach)):
            if self._is_open(text[match.start() :]):
                return match.start()
        return len(text)

    def _is_open(self, tail: str) -> bool:
        for opener in _OPENERS:
            if opener.startswith(tail):
                return True
            if tail.startswith(opener) and self._could_grow(tail[len(opener) :]):
                return True
        return False

    def _could_grow(self, rest: str) -> bool:
        plain = rest.replace("\\_", "_").upper()
        for name in self._names:
            if name.startswith(plain) or (plain.endswith("\\") and name.startswith(plain[:-1])):
                return True
            if plain.startswith(name):
                closing = rest.replace("\\_", "_")[len(name) :]
                if any(closer.startswith(closing) and closer != closing for closer in _CLOSERS):
                    return True
        return False
