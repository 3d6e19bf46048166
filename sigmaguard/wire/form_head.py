"""The header values of multipart forms (RFC 2046, RFC 7578), read strictly. Knows neither bodies nor endpoints.

Servers read sloppy heads each in their own way, and a head that we and the server behind us read differently
hides text from us. So what has more than one reading is refused, with a sentence that says what to send.
"""

import re
from urllib.parse import unquote

import msgspec

from sigmaguard.errors import WireError

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER_NAME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf';[ \t]*({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*')
_ESCAPED = re.compile(r'\\(["\\])')  # other backslashes stand for themselves: browsers send `C:\file` as it is
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# A server that splits at `;` without minding quotes would find a parameter in such a quoted value.
_HIDDEN_PARAMETER = re.compile(r";\s*(?:name|filename|charset)[0-9*]*\s*=", re.I)
_EXTENDED = re.compile(r"([A-Za-z0-9-]+)'[A-Za-z0-9-]*'(.*)", re.S)  # RFC 8187
_UTF_8 = frozenset({"utf-8", "utf8"})
_ASCII_BASED = frozenset({"us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"})  # ASCII reads alike in these


class Head(msgspec.Struct, frozen=True):
    """What one part's header lines say. `filename` is empty for a text field; `charset` where none is named."""

    name: str
    filename: str
    charset: str


def boundary_of(content_type: str) -> bytes:
    """The one boundary that a request's content type names. Raises WireError."""
    kind, found = parameters(content_type, "content type")
    if kind.lower() != "multipart/form-data":
        raise bad("the content type is multipart but not `multipart/form-data`")
    if found.keys() - {"boundary", "charset"}:
        raise bad("the content type has a parameter other than `boundary`; send `multipart/form-data; boundary=...`")
    if found.get("charset", "utf-8").lower() not in _UTF_8:
        raise bad("the content type names a charset; form fields are read as UTF-8, so leave it out")
    if "boundary" not in found:
        raise bad("the content type names no multipart boundary")
    if not _BOUNDARY.fullmatch(found["boundary"]):
        raise bad("the boundary must be 1 to 70 of the characters that RFC 2046 allows")
    return found["boundary"].encode()


def read_head(raw: bytes) -> Head:
    """A part's header lines, without the empty line that ends them. Raises WireError."""
    try:
        headers = _headers(raw.decode())
    except UnicodeDecodeError as error:
        raise bad("a part's header lines are not UTF-8") from error
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
        raise bad("a form field has a transfer encoding, which RFC 7578 does away with")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise bad("a part has a content encoding; send its bytes as they are")
    if "content-disposition" not in headers:
        raise bad("a part has no Content-Disposition line")
    kind, found = parameters(headers["content-disposition"], "Content-Disposition of a part")
    if kind.lower() != "form-data":
        raise bad("a part's Content-Disposition is not of type `form-data`")
    if "name" not in found:
        raise bad("a part's Content-Disposition has no `name`")
    if found.keys() - {"name", "filename", "filename*"}:
        raise bad("a part's Content-Disposition has parameters other than `name` and `filename`")
    filename = _filename(found)
    return Head(found["name"], filename, "" if filename else _charset(headers.get("content-type", "")))


def check_charset(charset: str, text: str) -> None:
    """Raises WireError where a text field's charset makes other text of it than UTF-8 does."""
    if charset and charset not in _UTF_8 and not (charset in _ASCII_BASED and text.isascii()):
        raise bad("a text field names a charset that is not UTF-8; send its text as UTF-8")


def parameters(value: str, where: str) -> tuple[str, dict[str, str]]:
    """A header value's first word and its parameters, names in lower case. Raises WireError."""
    kind, semicolon, _ = value.partition(";")
    found: dict[str, str] = {}
    at = len(kind) if semicolon else len(value)
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if match is None:
            raise bad(f'the {where} is not of the form `type; name="value"`')
        name, at = match[1].lower(), match.end()
        if name in found:
            raise bad(f"the {where} has one parameter twice; servers differ in which one counts")
        quoted = match[2] or ""
        if _HIDDEN_PARAMETER.search(quoted):
            raise bad(f"the {where} holds a parameter within a quoted value; servers differ in how they read it")
        found[name] = match[3] or _ESCAPED.sub(r"\1", quoted)
    return kind.strip(" \t"), found


def bad(message: str) -> WireError:
    """The fault of a form that servers may read otherwise than we do."""
    return WireError("bad_multipart", message)


def _headers(head: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        name, colon, value = line.partition(":")
        # a folded line begins with a blank and so has no such name
        if not colon or not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            raise bad("a part has a header line that is not `Name: value` on one line")
        if name.lower() in headers:
            raise bad("a part has one header twice; servers differ in which one counts")
        headers[name.lower()] = value.strip(" \t")
    return headers


def _filename(found: dict[str, str]) -> str:
    """All that servers may read as a file's name. One of blanks only is none: Go and PHP take the part for text."""
    filename = found.get("filename", "")
    extended = found.get("filename*")
    if extended is None:
        return filename if filename.strip() else ""
    match = _EXTENDED.fullmatch(extended)
    if match is None or match[1].lower() not in _UTF_8 or not filename.strip():
        # servers that follow RFC 7578 do not know `filename*` and would take the part for text
        raise bad("a part has a `filename*` but no `filename`, or one that is not UTF-8; send `filename` in UTF-8")
    decoded = unquote(match[2])
    return filename if decoded == filename else f"{filename}\n{decoded}"


def _charset(content_type: str) -> str:
    return parameters(content_type, "Content-Type of a text field")[1].get("charset", "").lower()
