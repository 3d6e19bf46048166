"""Whether what comes next in a text stands inside a URL. Reads a text once, in any pieces; knows no values.

Errs towards yes: a URL is taken to go on to the next blank, whatever brackets, tags or sentence marks come
first, and a URL that is a quoted value (`href="..."`, `"url": "..."`) to its closing quote, since browsers
and HTTP clients encode or drop the blanks in one. A host without a scheme begins one where a path, a query or
a fragment follows it (`evil.example/x`), since chat clients make links of that. What it cannot see: a relative
URL under a `<base>` that leads away, a bare address of digits, and what stands in front of a bare host.
"""

import re
from collections.abc import Callable

Allows = Callable[[str], bool]

_ENTITY = r"&(?:#0{0,5}(?:47|58|92)|#x0{0,5}(?:2f|3a|5c)|sol|colon|bsol);"
_SCHEME = r"(?:ttps?|tps|wss?|ftp|file):|www\."  # the first letters may be written as entities
# Browsers take a backslash for a slash; in JSON one stands for two characters, or before a slash for none
_SIGN = re.compile(rf"{_SCHEME}|/[/\\]|{_ENTITY}", re.IGNORECASE)
_SIGN_JSON = re.compile(rf"{_SCHEME}|/(?:/|\\[/\\])|{_ENTITY}|\\u00(?:2f|3a|5c)", re.IGNORECASE)
_SIGN_SIZE = 16  # code points of the longest sign
_CONTEXT = 32
# A host by its name, up to what begins its path. A file's path, a mail address and `e.g./` are none: no host
# stands behind `/` or `@`, and no top-level domain has one letter. Which ones exist is not asked: the list grows.
_DOT = r"(?:\\{0,8}[.\u3002\uff0e\uff61]|\\{1,8}u(?:002e|3002|ff0e|ff61))"
_BARE = re.compile(
    rf"(?<![\w.@/\-\u3002\uff0e\uff61])(?:[\w-]{{1,63}}{_DOT})+(?:[^\W\d_]{{2,63}}|xn--[a-z0-9-]{{1,59}}){_DOT}?"
    r"(?::\d{1,5})?\\{0,8}\Z",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?<=[\w.\\\u3002\uff0e\uff61])[/?#]")
_HOST_SIZE = 288  # code points of the longest: 253, a port, and something for what escapes it
_KEPT = _HOST_SIZE + _CONTEXT
# `postgres://anna:<PASSWORD_1>@db`: no client of an answer fetches these by itself
_ELSEWHERE = re.compile(
    r"(?<![a-z0-9&;#\\])(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|oracle|sqlite|ssh|sftp|smtps?"
    r"|imaps?|ldaps?)(?:\+[a-z0-9]{1,12})?:\Z",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[=:(,\[{]\s{0,4}\\{0,8}([\"'`])\s{0,4}\Z")
_ATTRIBUTE = re.compile(r"=\s{0,4}\\{0,8}[\"'`]\s{0,4}\Z")
_ANGLED = re.compile(r"[(:]\s{0,4}<\s{0,4}\Z")  # the one place of a URL in Markdown that may hold blanks

# ASCII blanks only: a no-break space is part of a link's target in Markdown
_BLANK = r"[ \t\n\r\f\v]"
_JSON_BLANK = r"|(?<!\\)\\[nrtf]"
_JSON_END = r"|(?<!\\)\"[\s,:\]}]"
_RUN = re.compile(_BLANK)
_RUN_JSON = re.compile(_BLANK + _JSON_BLANK + _JSON_END)
# a quote alone may be part of a URL: what follows must be able to follow a value
_QUOTE = {q: re.compile(rf"{q}(?:[\s,;:)\]}}>]|/>)") for q in "\"'`"}
_QUOTE_JSON = {q: re.compile(rf"{q}(?:[\s,;:)\]}}>\\]|/>){_JSON_END}") for q in "\"'`"}
_ANGLE = re.compile(r"(?<!\\)>[\s)]|\n")
_ANGLE_JSON = re.compile(rf"(?<!\\)>[\s)]|\n{_JSON_BLANK}{_JSON_END}")
_END_SIZE = 3

# Only the plainest writing of a host is compared with a list: all clients read it the same way
_PLAIN_HOST = re.compile(r"(?:ttps?|tps|wss?):(?:\\?/){2}([a-z0-9.-]{1,253})(?::\d{1,5})?(?:\\?/|[?#])", re.IGNORECASE)
_LONGEST = 1_024  # code points of a URL that may lead to an allowed host


class UrlTrace:
    """Follows one text. `allows` tells the hosts whose URLs may hold anything.

    For any cutting of the text into pieces, the answer at a place is the same.
    """

    __slots__ = ("_allows", "_before", "_ends", "_is_json", "_sign", "_since", "_url")

    def __init__(self, allows: Allows | None = None, *, is_json: bool = False) -> None:
        self._allows = allows
        self._is_json = is_json
        self._sign = _SIGN_JSON if is_json else _SIGN
        self._before = ""  # the last code points, of which the last `_since` may still begin something
        self._since = 0
        self._ends: re.Pattern[str] | None = None  # what ends the URL that is open
        self._url = ""

    def advance(self, text: str) -> None:
        """Reads on."""
        data = self._before + text
        at = len(self._before)
        floor = at - self._since
        while at < len(data):
            at, floor = self._close(data, at, floor) if self._ends else self._open(data, at, floor)
        self._before = data[-_KEPT:]
        self._since = min(len(data) - floor, len(self._before))

    def is_inside(self) -> bool:
        """Whether what comes next belongs to a URL that leads to no allowed host."""
        return self._ends is not None and not self._is_allowed()

    def _open(self, data: str, at: int, floor: int) -> tuple[int, int]:
        """Looks for the beginning of a URL that ends behind `at`; from where to read on."""
        sign = self._sign.search(data, max(floor, at - _SIGN_SIZE))
        bare = _bare_host(data, at, floor, sign.end() if sign else len(data))
        if bare:
            start, end = bare.start(), bare.end() + 1
            before = data[max(0, start - _CONTEXT) : start]
            # in prose and in values of JSON no client takes blanks for a part of it where no scheme is named
            named = _ATTRIBUTE.search(before) or _ANGLED.search(before)
            self._ends = self._end_of(before) if named else _RUN_JSON if self._is_json else _RUN
            # written as a plain URL, so that a list can allow it; behind a backslash a letter may be an escape's
            self._url = ("" if before.endswith("\\") else "tps://") + data[start:end]
            return end, end
        if sign is None:
            return len(data), floor
        before = data[max(0, sign.start() - _CONTEXT) : sign.start()]
        if sign[0] != "//" or not _ELSEWHERE.search(before):
            if sign[0][0] in "tT":
                before = before[:-1] if before[-1:] in "hH" else before.removesuffix("ht")
            self._ends = self._end_of(before)
            self._url = sign[0]
        return sign.end(), sign.end()

    def _end_of(self, before: str) -> re.Pattern[str]:
        quoted = _QUOTED.search(before)
        if quoted:
            return (_QUOTE_JSON if self._is_json else _QUOTE)[quoted[1]]
        if _ANGLED.search(before):
            return _ANGLE_JSON if self._is_json else _ANGLE
        return _RUN_JSON if self._is_json else _RUN

    def _close(self, data: str, at: int, floor: int) -> tuple[int, int]:
        """Looks for the end of the URL that is open; from where to read on."""
        assert self._ends is not None
        end = self._ends.search(data, max(floor, at - _END_SIZE))
        stop = end.end() if end else len(data)
        if len(self._url) <= _LONGEST:
            self._url += data[at : min(stop, at + _LONGEST)]
        if end is None:
            return stop, floor
        self._ends = None
        return stop, stop

    def _is_allowed(self) -> bool:
        if self._allows is None or len(self._url) > _LONGEST:
            return False
        host = _PLAIN_HOST.match(self._url)
        if host is None or not self._allows(host[1].lower()):
            return False
        # a second URL in the same run may lead anywhere
        url, end = self._url, host.end()
        return not self._sign.search(url, end) and not _bare_host(url, end, end, len(url))


def _bare_host(data: str, at: int, floor: int, end: int) -> re.Match[str] | None:
    """The first host without a scheme, from `floor` on, whose path begins between `at` and `end`."""
    for path in _PATH.finditer(data, at, end):
        stop = path.start()
        # nearly every slash is told apart by the word before it: searching all of what a host may be takes 20 us
        start = max(floor, stop - _HOST_SIZE, data.rfind("/", at, stop) + 1)
        word = data[start:stop].rsplit(None, 1)[-1:]
        if word and ("." in word[0] or "\\" in word[0] or not word[0].isascii()):
            found = _BARE.search(data, stop - len(word[0]), stop)
            if found:
                return found
    return None
