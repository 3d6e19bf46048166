"""Finds URLs in text and says in what they stand (image, link, plain). Parses as browsers do; judges nothing."""

import re
from collections.abc import Iterator
from enum import StrEnum

import ada_url

from sigmaguard.gate import gate
from sigmaguard.outline import Outline

LONGEST = 4_096  # code points of one URL that are looked at; browsers stop at some thousands too
_LOOK_BACK = 200


class Place(StrEnum):
    """Where a URL stands: `image` is fetched without a click, `link` waits for one; `bare` has no scheme."""

    BARE = "bare"

    PLAIN = "plain"
    LINK = "link"
    IMAGE = "image"


class Url:
    """A URL as written at [start, end) of a text and as a browser understands it."""

    __slots__ = ("end", "fragment", "host", "href", "parsed", "path", "place", "raw", "scheme", "search", "start")

    def __init__(self, raw: str, start: int, parsed: ada_url.URL, place: Place) -> None:
        self.raw = raw
        self.start = start
        self.end = start + len(raw)
        self.parsed = parsed
        self.place = place
        # asking the parser for one part costs as much as parsing: the rest is cut from the normalised form
        self.href = parsed.href
        self.host = parsed.hostname.rstrip(".")
        self.scheme, _, rest = self.href.partition(":")
        rest, _, self.fragment = rest.partition("#")
        rest, _, self.search = rest.partition("?")
        self.path = rest[rest.find("/", 2) :] if rest.startswith("//") else rest

    def userinfo(self) -> tuple[str, str]:
        """User and password; both empty where there are none, as nearly always."""
        if "@" not in self.href:
            return "", ""
        return self.parsed.username, self.parsed.password

    def written_host(self) -> str:
        """The host as the text spells it, without user, password and port."""
        rest = re.split(r":[/\\]*", self.raw, maxsplit=1)[-1] if ":" in self.raw[:12] else self.raw.lstrip("/\\")
        host = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return host if host.startswith("[") else host.partition(":")[0]


# Where a URL may begin; 2 us a KB in RE2, against 40 for the whole pattern tried at every letter
_BEGINS = r"(?:https?|ftp|wss?|file):|(?:java|vb)script:|data:[a-z]|www\.|[(=\"'\s]//[a-z0-9-]{1,63}\.[a-z0-9]"
_SIGN = gate([_BEGINS], ignore_case=True)
_SIGN_BARE = gate([r"[a-z0-9?]\.[a-z0-9?]"], ignore_case=True)

_STOP = r"\s<>\"`{}|^\x00-\x1f，。、！？：；「」（）【】《》“”„"
# A template waits in braces or angle brackets for the conversation: such a URL is read to its end
# A bracket that the URL did not open ends it, as in `[text](https://a.example/b_(c))`
_INSIDE = (
    rf"(?:[^{_STOP}()\[\]]|\([^{_STOP}()]{{0,200}}\)|\[[^{_STOP}\[\]]{{0,200}}\]|[(\[]"
    rf"|\{{[^{{}}\s]{{0,80}}\}}|<[a-zA-Z_-]{{1,40}}>)"
)
_SCHEMED = re.compile(
    rf"(?:https?|ftp|wss?|file):[/\\]{{0,8}}{_INSIDE}{{1,{LONGEST}}}+"
    rf"|(?:java|vb)script:{_INSIDE}{{1,{LONGEST}}}+"
    rf"|data:[a-z]{{1,20}}/[a-z0-9.+-]{{1,60}}[;,]{_INSIDE}{{0,{LONGEST}}}+"
    rf"|www\.{_INSIDE}{{3,{LONGEST}}}+"
    rf"|//[a-z0-9]{_INSIDE}{{2,{LONGEST}}}+",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"[a-z0-9\u00a1-\U0010ffff](?:[a-z0-9\u00a1-\U0010ffff-]{{0,62}})(?:\.[a-z0-9\u00a1-\U0010ffff-]{{1,63}}){{0,8}}+"
    rf"(?::\d{{1,5}})?(?:[/?#]{_INSIDE}{{0,{LONGEST}}})?+",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"!\[[^\]]{0,160}\]\(\s{0,4}<?\Z|<(?:img|iframe|script|source|embed|link|video|audio|object|input|image)\b[^<>]{0,160}"
    r"(?:src|href|srcset|data|poster|background)\s{0,3}=\s{0,3}[\"']?\Z|url\(\s{0,3}[\"']?\Z",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"\]\(\s{0,4}<?\Z|<(?:a|area|form|base|meta)\b[^<>]{0,160}(?:href|action|url)\s{0,3}=\s{0,3}[\"']?\Z"
    r"|(?:^|\n)[ ]{0,3}\[[^\]\n]{1,80}\]:\s{0,4}<?\Z|<\Z",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?'\"*_~\\"
_BREAK = re.compile(r"[\s\"]")


def outlines(*, bare: bool) -> tuple[Outline, ...]:
    """What a text with a URL holds."""
    signs = (_BEGINS, r"[a-z0-9?\x80-\xff]\.[a-z0-9?\x80-\xff]") if bare else (_BEGINS,)
    return tuple(Outline(one, ignores_case=True) for one in signs)


def urls(text: str, *, bare: bool) -> Iterator[Url]:
    """Every URL of `text`, in order; `bare` also tries host names without a scheme."""
    data = text.encode("ascii", "replace")  # one byte a code point, so that places stay the same
    end = 0
    for sign in _SIGN.finditer(data):
        start = sign.start() + (data[sign.start() + 1 : sign.start() + 3] == b"//")
        if start < end or (start and text[start - 1].isalnum() and data[start : start + 2] != b"//"):
            continue  # inside the URL before, or `xhttp:`, which is another scheme
        match = _SCHEMED.match(text, start)
        if match is None:
            continue
        if bare:
            yield from _bare(text, data, end, start)
        raw = match.group().rstrip(_TRAILING)
        parsed = _parsed(raw)
        if parsed is not None:
            yield Url(raw, start, parsed, _place(text, start))
        # what was cut off may hold the next one: `[![image](https://a)](https://b)`
        end = start + max(1, len(raw))
    if bare:
        yield from _bare(text, data, end, len(text))


def _bare(text: str, data: bytes, start: int, end: int) -> Iterator[Url]:
    if _SIGN_BARE.search(data[start:end]) is None:
        return
    for match in _BARE.finditer(text, start, end):
        raw = match.group().rstrip(_TRAILING)
        if "." not in raw or (match.start() and text[match.start() - 1] in "@./\\-_"):
            continue
        parsed = _parsed("//" + raw)
        if parsed is not None:
            yield Url(raw, match.start(), parsed, Place.BARE)


def _parsed(raw: str) -> ada_url.URL | None:
    source = f"http:{raw}" if raw.startswith("//") else f"http://{raw}" if raw[:4].lower() == "www." else raw
    try:
        return ada_url.URL(source)
    except ValueError:
        return None


def _place(text: str, start: int) -> Place:
    before = text[max(0, start - _LOOK_BACK) : start]
    if _IMAGE.search(before):
        return Place.IMAGE
    return Place.LINK if _LINK.search(before) else Place.PLAIN


def unfinished(text: str) -> int:
    """Where a URL could begin that the end of `text` does not end: the last run without a space."""
    tail = text[-LONGEST:]
    stop = _BREAK.search(tail[::-1])
    return len(text) - (stop.start() if stop else len(tail))
