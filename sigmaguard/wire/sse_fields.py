"""What of a server-sent event's lines may leave unread: data and the few fields clients act on. Knows no protocol."""

import re

# The names providers use are lower-case words (`content_block_delta`, `response.output_text.done`): no key fits.
_NAME = rb"[a-z]{1,20}(?:[._-][a-z]{1,20}){0,7}"
_PLAIN = re.compile(rb"(?:event: %b\n)?data: [^\r\n]*+\n\n" % _NAME)  # as nearly every event is
_KEPT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:data(?::.*+)?|event: ?(?:%b)? *|id: ?[0-9]{0,9}|retry: ?[0-9]{0,9}|:)?" % _NAME, re.DOTALL
)
_LINE = re.compile(rb"([^\r\n]*+)(\r\n|\r|\n|\Z)")
_IS_NAME = re.compile(_NAME.decode())


def read_lines(raw: bytes, event: str) -> tuple[bytes, str]:
    """An event's bytes and name without what nobody inspects.

    Comments, fields the specification does not know, and ids and names no provider has become the empty
    comment `:`. So a keep-alive stays one, no line moves, and line ends never join into others.
    """
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return raw, event  # one line of data: cheaper to tell than by the pattern
    if _PLAIN.fullmatch(raw):
        return raw, event
    return _LINE.sub(_line, raw), known_name(event)


def known_name(event: str) -> str:
    """An event's name where it looks like one a provider gives, else nothing."""
    return event if _IS_NAME.fullmatch(event) else ""


def _line(match: re.Match[bytes]) -> bytes:
    return match[0] if _KEPT.fullmatch(match[1]) else b":" + match[2]
