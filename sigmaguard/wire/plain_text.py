"""Bodies that are text and no document of a protocol: which bytes are text, and edits of it. Finds nothing in it."""

import re
from collections.abc import Sequence
from json import detect_encoding
from urllib.parse import quote_plus, unquote_plus

from sigmaguard.errors import WireError
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Edit

_BEGINNINGS = (b"{", b"[", b'"')
_BLANKS = re.compile(rb"[ \t\r\n\f\v]*+")
_PRINTED = bytes((*range(0x20, 0x7F), *b"\t\r\n"))
_LOOKED = 65_536
_BOM = b"\xef\xbb\xbf"
_NOT_UTF8 = "the body begins as JSON does but is not UTF-8; some servers read it all the same, so send it as UTF-8"


def utf8_text(raw: bytes) -> str:
    """The text where bytes are UTF-8, else nothing: a picture, sound, an archive.

    Raises WireError (`not_utf8`) for what lenient servers would read as JSON all the same: bytes that begin as
    JSON does, and UTF-16 and UTF-32 (Python's and Go's readers take them).
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if begins_as_json(raw) and not text:
        raise WireError("not_utf8", _NOT_UTF8)
    if _is_wide_json(raw):
        raise WireError("not_utf8", _NOT_UTF8)
    return text


def is_mostly_text(raw: bytes) -> bool:
    """Whether bytes that are not UTF-8 are nearly all letters: a prompt with a stray byte, no picture, no archive."""
    looked = raw[:_LOOKED]
    return len(looked.translate(None, _PRINTED)) * 8 < len(looked)


def _is_wide_json(raw: bytes) -> bool:
    wide = detect_encoding(raw[:4])
    if wide.startswith("utf-8"):
        return False
    return raw.decode(wide, "replace").lstrip("\ufeff \t\r\n")[:1] in ("", "{", "[", '"')


def begins_as_json(raw: bytes) -> bool:
    """Whether the first byte that is no blank begins an object, an array or a string."""
    begin = _BLANKS.match(raw, len(_BOM) if raw.startswith(_BOM) else 0)
    return begin is not None and raw[begin.end() : begin.end() + 1] in _BEGINNINGS


def is_binary_start(start: bytes, content_type: str) -> bool:
    """Whether a body that begins so is no text, no form and no JSON, whatever follows and whatever reads it."""
    kind = content_type.lower()
    if kind.startswith(("text/", "multipart/")) or "json" in kind or "form" in kind:
        return False
    if begins_as_json(start) or _is_wide_json(start) or is_mostly_text(start):
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.end < len(start)  # a character that the look cut in two says nothing
    return False


class PlainText:
    """A body that is one text, in UTF-8 or, where it only calls itself text, in a charset of one byte a letter."""

    def __init__(self, raw: bytes, charset: str = "utf-8") -> None:
        self.text = raw.decode(charset)
        self._charset = charset

    def encode(self, edits: Sequence[Edit]) -> bytes:
        """The text with the edits applied."""
        return apply_edits(self.text, edits).encode(self._charset, "replace")


class UrlForm:
    """Names and values of `application/x-www-form-urlencoded`; what is not edited keeps its bytes."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._charset, text = "utf-8", raw.decode()
        except UnicodeDecodeError:  # browsers escape what is not ASCII; who does not may mean any charset
            self._charset, text = "latin-1", raw.decode("latin-1")
        self._pairs = [pair.partition("=") for pair in text.split("&")]
        self.fields = [(unquote_plus(name), unquote_plus(value)) for name, _, value in self._pairs]

    def encode(self, edits: Sequence[Edit]) -> bytes:
        """The form with the edits applied: `/2` is the third value, `/2~key` its name."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        pairs = []
        for at, (name, equals, value) in enumerate(self._pairs):
            of_name, of_value = by_path.get(f"/{at}~key"), by_path.get(f"/{at}")
            said = self.fields[at]
            name = quote_plus(apply_edits(said[0], of_name)) if of_name else name
            value = quote_plus(apply_edits(said[1], of_value)) if of_value else value
            pairs.append(name + equals + value)
        return "&".join(pairs).encode(self._charset)
