"""Finds URLs in text and says in what they stand (image, link, plain). Parses as browsers do; judges nothing."""

import re
from collections.abc import Iterator
from enum import StrEnum

import ada_url
import re2

LONGEST = 4_096  # code points of one URL that are looked at; browsers stop at some thousands too
_LOOK_BACK = 200


class Place(StrEnum):
    """Where a URL stands: `image` is fetched without a click, `link` waits for one."""

    PLAIN = "plain"
    LINK = "link"
    IMAGE = "image"


class Url:
    """A URL as written at [start, end) of a text and as a browser understands it."""

    __slots__ = ("end", "host", "href", "parsed", "place", "raw", "scheme", "start")

    def __init__(self, raw: str, start: int, parsed: ada_url.URL, place: Place) -> None:
        self.raw = raw
        self.start = start
        self.end = start + len(raw)
        self.parsed = parsed
        self.place = place
        self.href = parsed.href
        self.host = parsed.hostname.rstrip(".")
        self.scheme = parsed.protocol.rstrip(":")

    def written_host(self) -> str:
        """The host as the text spells it, without user, password and port."""
        rest = re.split(r":[/\\]*", self.raw, maxsplit=1)[-1] if ":" in self.raw[:12] else self.raw.lstrip("/\\")
        host = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return host if host.startswith("[") else host.partition(":")[0]


_OPTIONS = re2.Options()
_OPTIONS.case_sensitive = False
_OPTIONS.never_capture = True
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_SIGNS = rb"(?:https?|ftp|wss?|file):|(?:java|vb)script:|data:|www\.|[(=\"'\s]//[a-z0-9]"
_GATE = re2.compile(_SIGNS, _OPTIONS)
_GATE_BARE = re2.compile(_SIGNS + rb"|[a-z0-9\x80-\xff]\.[a-z\x80-\xff]{2}", _OPTIONS)

_STOP = r"\s<>\"`{}|^\x00-\x1f，。、！？：；「」（）【】《》“”„"
# A template waits in braces or angle brackets for the conversation: such a URL is read to its end
_INSIDE = rf"(?:[^{_STOP}]|\{{[^{{}}\s]{{0,80}}\}}|<[a-zA-Z_-]{{1,40}}>)"
_SCHEMED = re.compile(
    rf"(?:https?|ftp|wss?|file):[/\\]{{0,8}}{_INSIDE}{{1,{LONGEST}}}+"
    rf"|(?:java|vb)script:{_INSIDE}{{1,{LONGEST}}}+"
    rf"|data:[a-z]{{1,20}}/[a-z0-9.+-]{{1,60}}[;,]{_INSIDE}{{0,{LONGEST}}}+"
    rf"|www\.{_INSIDE}{{3,{LONGEST}}}+"
    rf"|(?<=[(=\"'\s])//[a-z0-9]{_INSIDE}{{2,{LONGEST}}}+",
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
_PAIRS = {")": "(", "]": "[", "}": "{", ">": "<"}
_BREAK = re.compile(r"[\s\"]")


def may_hold_url(text: str, *, bare: bool) -> bool:
    """Whether `text` could hold a URL at all; `bare` also counts host names without a scheme."""
    data = text.encode("utf-8", "surrogatepass")
    return (_GATE_BARE if bare else _GATE).search(data) is not None


def urls(text: str, *, bare: bool) -> Iterator[Url]:
    """Every URL of `text`, in order; `bare` also tries host names without a scheme."""
    end = 0
    for match in _SCHEMED.finditer(text):
        start = match.start()
        if bare:
            yield from _bare(text, end, start)
        end = match.end()
        if start and text[start - 1].isalnum() and match.group()[:1].isalpha():
            continue  # `xhttp:` is another scheme
        raw = _trimmed(match.group())
        parsed = _parsed(raw)
        if parsed is not None:
            yield Url(raw, start, parsed, _place(text, start))
    if bare:
        yield from _bare(text, end, len(text))


def _bare(text: str, start: int, end: int) -> Iterator[Url]:
    for match in _BARE.finditer(text, start, end):
        raw = _trimmed(match.group())
        if "." not in raw or (match.start() and text[match.start() - 1] in "@./\\-_"):
            continue
        parsed = _parsed("//" + raw)
        if parsed is not None:
            yield Url(raw, match.start(), parsed, Place.PLAIN)


def _parsed(raw: str) -> ada_url.URL | None:
    source = f"http:{raw}" if raw.startswith("//") else f"http://{raw}" if raw[:4].lower() == "www." else raw
    try:
        return ada_url.URL(source)
    except ValueError:
        return None


def _trimmed(raw: str) -> str:
    """A URL without the punctuation of the sentence around it; brackets stay where they are balanced."""
    while raw:
        last = raw[-1]
        opening = _PAIRS.get(last)
        if last in _TRAILING or (opening and raw.count(last) > raw.count(opening)):
            raw = raw[:-1]
        else:
            break
    if ")" in raw and raw.count(")") > raw.count("("):
        raw = raw[: _unbalanced(raw)]
    return raw


def _unbalanced(raw: str) -> int:
    depth = 0
    for at, char in enumerate(raw):
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return at
    return len(raw)


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
