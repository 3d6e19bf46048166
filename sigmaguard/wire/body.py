"""Bodies from bytes and back: parsed strictly, edited so that only the edited strings change."""

import json
from collections.abc import Sequence

import orjson

from sigmaguard.errors import WireError
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.fields import may_hide, shown_pointer
from sigmaguard.wire.locate import locate
from sigmaguard.wire.opaque import is_long, number_text

_DUPLICATE = "an object holds {} twice; parsers differ in which one counts, so it is refused: name each key once"


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
    try:
        raw.decode()
    except UnicodeDecodeError:
        return WireError("not_utf8", "the body is not UTF-8")
    lowered = message.lower()
    if "surrogate" in lowered or "hex escape" in lowered:
        return WireError("lone_surrogate", "the body holds half of a UTF-16 surrogate pair, which is no text")
    if "recursion" in lowered or "depth" in lowered:
        return WireError("too_deep", "the body is nested too deep")
    # orjson's message tells line and column, never content
    return WireError("not_json", f"the body is not JSON: {message}")


def _refuse_duplicates(raw: bytes, body: object) -> None:
    """Exact and cheap: written anew, a body without duplicates is as it was, or holds at least as many quotes.

    Most clients write as orjson does (compact, UTF-8), and what it writes has no key twice. For the others:
    orjson keeps the last of two equal keys, so a duplicate leaves more quotes than what was parsed
    accounts for. Only `\\u0022` could hide that; such a body takes the slow way.
    """
    anew = _anew(body)
    if anew == raw or (anew and not _hides_quotes(raw) and raw.count(b'"') == anew.count(b'"')):
        return
    try:
        # numbers are not looked at here, and Python refuses to read one of 5,000 digits
        json.loads(raw, object_pairs_hook=_unique, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise WireError("too_deep", "the body is nested too deep") from error


def _hides_quotes(raw: bytes) -> bool:
    return b"\\" in raw and b"\\u0022" in raw


def _anew(body: object) -> bytes:
    """A body as orjson writes it; empty where it does not write what it has read (nested over 254)."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return b""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise WireError("duplicate_key", _DUPLICATE.format("a key" if may_hide(key) else f"the key `{key}`"))
            seen.add(key)
    return result


def encode_edits(raw: bytes, edits: Sequence[Edit]) -> bytes:
    """The body with the edits applied where their strings stand; every other byte is kept.

    A number or key may be edited too; the number becomes a string. Raises WireError where an edit's
    path leads to no text.
    """
    if not edits:
        return raw
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    spans = locate(raw, by_path)
    pieces: list[bytes] = []
    at = 0
    for path in sorted(spans, key=spans.__getitem__):
        start, end = spans[path]
        pieces += (raw[at:start], orjson.dumps(apply_edits(_text(raw[start:end]), by_path[path])))
        at = end
    if len(spans) != len(by_path):
        raise WireError("not_text", f"no text stands at `{shown_pointer(min(by_path.keys() - spans.keys()))}`")
    pieces.append(raw[at:])
    return b"".join(pieces)


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """A text with non-overlapping edits applied."""
    if len(edits) == 1:
        only = edits[0]
        return text[: only.start] + only.text + text[only.end :]
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda one: one.start):
        pieces += (text[at : edit.start], edit.text)
        at = edit.end
    pieces.append(text[at:])
    return "".join(pieces)


def _text(literal: bytes) -> str:
    """A string as it reads, a long number as it was inspected, any other scalar as written."""
    value = orjson.loads(literal)
    if isinstance(value, str):
        return value
    return number_text(value) if isinstance(value, int | float) and is_long(value) else literal.decode()
