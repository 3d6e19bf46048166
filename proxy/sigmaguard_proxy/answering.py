"""An answer on its way to the caller as bytes: one head, a body whole or in pieces. Knows HTTP/1.1, no content.

aiohttp's own response builds a dictionary of headers, joins it again and goes through five coroutines; what a
provider sent is bytes already, so a whole answer leaves here in one write.
"""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion10, HttpVersion11, web

JOINED_BYTES = 65_536  # up to here one copy is cheaper than one more write
BODILESS = frozenset({204, 304})  # RFC 9110 6.4.1; HEAD and 1xx beside


class Outgoing(web.StreamResponse):
    """One answer. `lines` are complete header lines, without the length and without what is hop by hop.

    With a `body` it leaves once the server asks for it, as aiohttp's own do; without one `begin`, `write`
    and `write_eof` send it in pieces, of `length` bytes in all or in the chunked coding. `is_dated` says that
    `lines` have a Date.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        status: int,
        reason: str,
        lines: bytes,
        *,
        body: bytes | None = None,
        length: int | None = None,
        is_dated: bool = False,
    ) -> None:  # the base keeps headers, cookies and compression, none of which is used
        self._request = request
        self._code = status
        self._reason_bytes = reason.encode("latin-1", "replace")
        self._lines = lines
        self._is_dated = is_dated
        self._whole = body
        self._total = len(body) if body is not None else length
        self._is_empty = request.method == "HEAD" or status in BODILESS or status < 200
        self._is_chunked = False
        self._stays = request.keep_alive
        self._ended = False

    @property
    def status(self) -> int:
        """The status code."""
        return self._code

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: a whole answer leaves at its end, and one in pieces has begun."""

    def begin(self) -> None:
        """Sends the head: from here on nothing else can be said to the caller."""
        self._send(self._head())

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends a piece. Raises ConnectionResetError where the caller is gone."""
        if data and not self._is_empty:
            piece = bytes(data)
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
            await self._request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the last piece and the end. Raises ConnectionResetError where the caller is gone."""
        if self._ended:
            return
        self._ended = True
        if self._whole is not None:
            body = b"" if self._is_empty else self._whole
            if len(body) > JOINED_BYTES:
                self._send(self._head())
                self._send(body)
            else:
                self._send(self._head() + body)
        elif self._is_empty or not self._is_chunked:
            self._send(b"" if self._is_empty else data)
        else:
            self._send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n")
        await self._request.writer.drain()

    def _head(self) -> bytes:
        request = self._request
        version = request.version
        lines = self._lines
        if self._total is not None:
            if self._code != 304 and self._code != 204 and self._code >= 200:
                lines += b"Content-Length: %d\r\n" % self._total
        elif not self._is_empty:
            if version >= HttpVersion11:
                self._is_chunked = True
                lines += b"Transfer-Encoding: chunked\r\n"
            else:
                self._stays = False  # the end of the connection tells the end of the answer
        if not self._is_dated:
            lines += _date(int(time.time()))
        if not self._stays:
            lines += b"Connection: close\r\n" if version != HttpVersion10 else b""
        elif version == HttpVersion10:
            lines += b"Connection: keep-alive\r\n"
        return b"HTTP/%d.%d %d %b\r\n%b\r\n" % (version[0], version[1], self._code, self._reason_bytes, lines)

    def _send(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the caller has gone")
        if data:
            transport.write(data)


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
