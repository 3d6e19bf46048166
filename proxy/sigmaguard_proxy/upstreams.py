"""Which provider a request goes to, and the connections to it."""

from collections.abc import Iterable, Mapping

import aiohttp
from multidict import CIMultiDict, MultiMapping

# RFC 9110 7.6.1, plus what the client session sets itself.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
NOT_FORWARDED = frozenset(name.encode() for name in HOP_BY_HOP | {"host", "content-length", "expect"})
NOT_RETURNED = HOP_BY_HOP | {"content-length"}
_NO_LINES = frozenset(name.encode() for name in NOT_RETURNED)
_NO_LINES_EDITED = _NO_LINES | {b"content-encoding"}


class Target:
    """Where one request goes."""

    __slots__ = ("base", "name", "path")

    def __init__(self, name: str, base: str, path: str) -> None:
        self.name = name
        self.base = base
        self.path = path


class Upstreams:
    """The declared providers.

    A path `/NAME/v1/...` names its provider; otherwise Anthropic's endpoints go to `anthropic` and
    everything else to `openai`, or to the first declared where there is none of that name.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)
        first = next(iter(self._urls))
        self._openai = "openai" if "openai" in self._urls else next((n for n in self._urls if n != "anthropic"), first)
        self._anthropic = "anthropic" if "anthropic" in self._urls else self._openai

    @property
    def names(self) -> list[str]:
        """The declared providers' names."""
        return list(self._urls)

    def target(self, path: str, *, anthropic: bool = False) -> Target:
        """Where a path leads. `anthropic` says that the caller speaks Anthropic's protocol."""
        head, _, rest = path[1:].partition("/")
        if head in self._urls and rest:
            return Target(head, self._urls[head], "/" + rest)
        name = self._anthropic if anthropic or path.startswith("/v1/messages") else self._openai
        return Target(name, self._urls[name], path)


def open_session(connect_timeout_s: float, read_timeout_s: float) -> aiohttp.ClientSession:
    """A client that changes nothing: no decompression, no cookies, no redirects of its own, no added headers."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=300),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s),
        read_bufsize=2**18,
    )


def returned_lines(fields: Iterable[tuple[bytes, bytes]], *, is_edited: bool = False) -> bytes:
    """The lines of an answer's headers that a caller sees, as they came; ours are added to them."""
    dropped = _NO_LINES_EDITED if is_edited else _NO_LINES
    return b"".join(
        [
            b"%b: %b\r\n" % field
            for field in fields
            if (name := field[0].lower()) not in dropped and not name.startswith(b"x-sigmaguard-")
        ]
    )


def returned_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The answer's headers a caller sees: all but hop-by-hop ones and the length, which is set anew."""
    result: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in NOT_RETURNED:
            result.add(name, value)
    return result
