"""Multipart forms (RFC 7578), read and edited in place: text fields out, files left alone. Knows no endpoint."""

import re
from collections.abc import Sequence

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.pointer import escape

_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.I)
_NAME = re.compile(r';\s*name="((?:[^"\\]|\\.)*)"', re.I)
_FILENAME = re.compile(r';\s*filename\*?="?((?:[^"\\;]|\\.)*)"?', re.I)
PARTS = 1_000  # a form of more fields than this is no request to a model


class Part(msgspec.Struct, frozen=True):
    """One field: bytes [start, end) of the body are its value. `text` is empty for a file."""

    path: str
    name: str
    text: str
    filename: str
    start: int
    end: int


class Form:
    """A form's parts, in order. Raises WireError where the body is not the form its content type names."""

    def __init__(self, content_type: str, raw: bytes) -> None:
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise WireError("bad_multipart", "the content type names no multipart boundary")
        self.raw = raw
        self.parts = tuple(_parts(b"--" + (found[1] or found[2]).encode(), raw))

    def encode(self, edits: Sequence[Edit]) -> bytes:
        """The form with these edits of text fields applied. Raises WireError for an edit of a file's name."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        pieces: list[bytes] = []
        at = 0
        for part in self.parts:
            found = by_path.pop(part.path, None)
            if found:
                pieces += (self.raw[at : part.start], apply_edits(part.text, found).encode())
                at = part.end
        if by_path:
            raise WireError("not_text", f"what stands at `{min(by_path)}` cannot be edited in place")
        pieces.append(self.raw[at:])
        return b"".join(pieces)


def _parts(mark: bytes, raw: bytes) -> list[Part]:
    bad = WireError("bad_multipart", "the body is not the multipart form its content type names")
    at = raw.find(mark)
    if at < 0 or raw[:at].strip():
        raise bad
    parts: list[Part] = []
    seen: dict[str, int] = {}
    while True:
        at += len(mark)
        if raw.startswith(b"--", at):
            return parts
        head_end = raw.find(b"\r\n\r\n", at)
        end = raw.find(b"\r\n" + mark, at)
        if head_end < 0 or end < head_end or len(parts) >= PARTS:
            raise bad
        parts.append(_part(raw, at, head_end, end, seen))
        at = end + 2


def _part(raw: bytes, at: int, head_end: int, end: int, seen: dict[str, int]) -> Part:
    head = raw[at:head_end].decode("utf-8", "replace")
    if "content-transfer-encoding" in head.lower() and not re.search(r"(?i)encoding:\s*(?:binary|7bit|8bit)", head):
        raise WireError("bad_multipart", "a form field has a transfer encoding, which RFC 7578 does away with")
    name_found, file_found = _NAME.search(head), _FILENAME.search(head)
    name = name_found[1] if name_found else ""
    count = seen[name] = seen.get(name, 0) + 1
    path = f"/{escape(name)}" if count == 1 else f"/{escape(name)}/{count}"
    start = head_end + 4
    text = ""
    if file_found is None:
        try:
            text = raw[start:end].decode()
        except UnicodeDecodeError as error:
            raise WireError("not_utf8", "a text field of the form is not UTF-8") from error
    return Part(path, name, text, file_found[1] if file_found else "", start, end)
