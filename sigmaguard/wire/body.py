"""Bodies from bytes and back: parsed strictly, edited so that only the edited strings change."""

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Edit

_DUPLICATE = "an object holds the key `{}` twice; parsers differ in which one counts, so it is refused"


def parse_body(raw: bytes) -> object:
    """A JSON body as plain values.

    Raises WireError of kind `not_utf8`, `lone_surrogate`, `too_deep`, `duplicate_key` or `not_json`.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _explain(raw, str(error)) from error
    _refuse_duplicates(raw, body)
    return body


def _explain(raw: bytes, message: str) -> WireError:
    lowered = message.lower()
    if "surrogate" in lowered or "hex escape" in lowered:
        return WireError("lone_surrogate", "the body holds half of a UTF-16 surrogate pair, which is no text")
    if "recursion" in lowered or "depth" in lowered:
        return WireError("too_deep", "the body is nested too deep")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return WireError("not_utf8", "the body is not UTF-8")
    # orjson's message tells line and column, never content
    return WireError("not_json", f"the body is not JSON: {message}")


def _refuse_duplicates(raw: bytes, body: object) -> None:
    """Exact and cheap: a body without duplicates holds two quotes a string, and one for each `\\"` inside.

    orjson keeps the last of two equal keys, so a duplicate leaves more quotes than the parsed tree
    accounts for. Only `\\u0022` could hide that; such a body takes the slow way.
    """
    if b"\\u0022" not in raw:
        if raw.count(b'"') == _quotes(body):
            return
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError as error:
        raise WireError("too_deep", "the body is nested too deep") from error


def _quotes(body: object) -> int:
    total = 0
    stack: list[Any] = [body]
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is str:
            total += 2 + value.count('"')
        elif kind is dict:
            for key in value:
                total += 2 + key.count('"')
            stack.extend(value.values())
        elif kind is list:
            stack.extend(value)
    return total


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise WireError("duplicate_key", _DUPLICATE.format(key[:64]))
            seen.add(key)
    return result


def encode_edits(raw: bytes, body: object, edits: Sequence[Edit]) -> bytes:
    """The body with the edits applied; without any, `raw` itself.

    Each edited string is replaced where its literal stands in `raw`, so everything else keeps its
    bytes. Where a literal cannot be found exactly once the whole body is written anew.
    """
    if not edits:
        return raw
    changed = [(path, *_edited(body, path, of_path)) for path, of_path in _by_path(edits).items()]
    spliced = _splice(raw, [(old, new) for _, old, new in changed])
    if spliced is not None:
        return spliced
    for path, _, new in changed:
        pointer.put(body, path, new)
    return orjson.dumps(body)


def _by_path(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    result: dict[str, list[Edit]] = {}
    for edit in edits:
        result.setdefault(edit.path, []).append(edit)
    return result


def _edited(body: object, path: str, edits: Sequence[Edit]) -> tuple[str, str]:
    old = pointer.get(body, path)
    if not isinstance(old, str):
        raise WireError("not_text", f"what stands at `{path}` is no string")
    new = old
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        new = new[: edit.start] + edit.text + new[edit.end :]
    return old, new


def _splice(raw: bytes, changes: Sequence[tuple[str, str]]) -> bytes | None:
    """Replaces each old literal by the new one; None where an old one is not found exactly once."""
    places: list[tuple[int, int, bytes]] = []
    for old, new in changes:
        for literal in (orjson.dumps(old), json.dumps(old).encode()):
            first = raw.find(literal)
            if first >= 0:
                break
        else:
            return None
        end = first + len(literal)
        if raw.find(literal, first + 1) >= 0 or not _is_value(raw, first, end):
            return None
        places.append((first, end, orjson.dumps(new)))
    places.sort()
    pieces: list[bytes] = []
    at = 0
    for start, end, literal in places:
        if start < at:
            return None
        pieces += (raw[at:start], literal)
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces)


_BEFORE_VALUE = re.compile(rb"[:\[,]\s*\Z")
_AFTER_VALUE = re.compile(rb"\s*[,\]}]")


def _is_value(raw: bytes, start: int, end: int) -> bool:
    """Whether a literal is a value: not a key, and not a piece of another string (a backslash before it)."""
    return (
        _BEFORE_VALUE.search(raw[max(0, start - 64) : start]) is not None and _AFTER_VALUE.match(raw, end) is not None
    )
