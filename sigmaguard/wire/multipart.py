"""Multipart forms (RFC 7578), read and edited in place: text fields out, files left alone. Knows no endpoint.

Read as strictly as clients write them: what a lenient server might read otherwise than we do is refused.
"""

import re
from collections.abc import Sequence

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.form_head import bad, boundary_of, check_charset, read_head
from sigmaguard.wire.plain_text import utf8_text
from sigmaguard.wire.pointer import escape

_AFTER_DELIMITER = re.compile(rb"[ \t]*\r\n")
PARTS = 1_000  # a form of more fields than this is no request to a model
HEAD_BYTES = 4_096  # of one part's header lines; a file's name is at most 255 characters, percent-encoded 3,060


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
        self.raw = raw
        self.parts = tuple(_parts(b"--" + boundary_of(content_type), raw))

    def file_text(self, part: Part) -> str:
        """What a file says where it is UTF-8, else nothing. Raises WireError for JSON that is not UTF-8."""
        return utf8_text(self.raw[part.start : part.end])

    def encode(self, edits: Sequence[Edit]) -> bytes:
        """The form with these edits of fields and files applied. Raises WireError for an edit of a file's name."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        pieces: list[bytes] = []
        at = 0
        for part in self.parts:
            found = by_path.pop(part.path, None)
            if found:
                text = self.file_text(part) if part.filename else part.text
                pieces += (self.raw[at : part.start], apply_edits(text, found).encode())
                at = part.end
        if by_path:
            raise WireError("not_text", f"what stands at `{min(by_path)}` cannot be edited in place")
        pieces.append(self.raw[at:])
        return b"".join(pieces)


def _parts(mark: bytes, raw: bytes) -> list[Part]:
    at = len(raw) - len(raw.lstrip(b"\r\n"))  # some clients send a line break first
    if not raw.startswith(mark, at) or raw[:at].replace(b"\r\n", b""):
        raise bad("the body does not begin with the boundary that its content type names")
    if b"\r" + mark in raw:
        raise bad("a boundary follows a lone CR; lines of a form end in CRLF")
    parts: list[Part] = []
    seen: dict[str, int] = {}
    while True:
        at += len(mark)
        if raw.startswith(b"--", at):
            if raw[at + 2 :].strip(b" \t\r\n"):
                raise bad("something follows the form's closing boundary")
            return parts
        if len(parts) >= PARTS:
            raise bad(f"the form has more than {PARTS} parts")
        part, at = _part(raw, at, mark, seen)
        parts.append(part)


def _part(raw: bytes, at: int, mark: bytes, seen: dict[str, int]) -> tuple[Part, int]:
    """The part whose delimiter's boundary ends at `at`, and where the next delimiter begins."""
    line = _AFTER_DELIMITER.match(raw, at)
    if line is None:
        raise bad("a line begins with the boundary but goes on; choose a boundary that no value holds")
    # from the delimiter's own line break on, so that a boundary among the header lines is seen
    mark_at = raw.find(b"\n" + mark, line.end() - 1) + 1
    if mark_at == 0:
        raise bad("the form has no closing boundary")
    end = mark_at - 2
    head_end = raw.find(b"\r\n\r\n", line.end(), mark_at)
    if head_end < 0 or end < head_end + 4 or raw[end : end + 1] != b"\r":
        raise bad("a part is not header lines, an empty line, a value and a CRLF before the next boundary")
    if head_end - line.end() > HEAD_BYTES:
        raise bad(f"a part's header lines are longer than {HEAD_BYTES} bytes")
    head = read_head(raw[line.end() : head_end])
    count = seen[head.name] = seen.get(head.name, 0) + 1
    path = f"/{escape(head.name)}" if count == 1 else f"/{escape(head.name)}/{count}"
    start = head_end + 4
    text = "" if head.filename else _text(raw[start:end], head.charset)
    return Part(path, head.name, text, head.filename, start, end), mark_at


def _text(value: bytes, charset: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise WireError("not_utf8", "a text field of the form is not UTF-8") from error
    check_charset(charset, text)
    return text
