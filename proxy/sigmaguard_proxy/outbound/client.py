"""Connections to providers, kept alive and used again, with time-outs. Follows no redirect, sets no cookie."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from urllib.parse import urlsplit

from sigmaguard_proxy.outbound.answer import Answer
from sigmaguard_proxy.outbound.connection import Connection
from sigmaguard_proxy.outbound.errors import ConnectFault, OutboundError, ReadTimeoutFault

IDLE_S = 55.0  # providers and their load balancers close idle connections after 60 s and more
IDLE_CONNECTIONS = 512  # kept of one provider
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Place = tuple[str, int, bool]  # host, port, TLS


class Outbound:
    """A pool of connections. `read_timeout_s` is how long a provider may stay silent."""

    def __init__(self, connect_timeout_s: float, read_timeout_s: float, tls: ssl.SSLContext | None = None) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._tls = tls
        self._idle: dict[Place, deque[Connection]] = {}
        self._busy: set[Connection] = set()
        self._places: dict[str, tuple[Place, bytes, str]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        base: str,
        path: str,
        headers: bytes,
        body: bytes | AsyncIterable[bytes] = b"",
        *,
        length: int | None = None,
    ) -> Answer:
        """Sends a request and returns its answer once the head is here.

        `base` is `scheme://host[:port][/prefix]`, `path` what follows it, query included. `headers` are
        complete lines with their CRLFs, without Host, Content-Length and Transfer-Encoding. `length` is
        that of a body that comes in pieces, None where nobody knows it.
        Raises ConnectFault, ReadTimeoutFault, OutboundError.
        """
        place, host, prefix = self._place(base)
        target = (prefix + path).encode("utf-8", "surrogateescape")
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method.encode(), target, host, headers)
        if isinstance(body, bytes):
            head += b"Content-Length: %d\r\n\r\n" % len(body) if body or method not in SAFE_METHODS else b"\r\n"
        elif length is not None:
            head += b"Content-Length: %d\r\n\r\n" % length
        else:
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            body = _in_chunks(body)
        connection = self._reuse(place)
        if connection is not None:
            try:
                return await self._send(connection, head, body, method)
            except ReadTimeoutFault:
                raise
            except OutboundError:
                # it may have been closed just as we wrote; only what can be asked twice is asked again
                if method not in SAFE_METHODS or connection.uses < 2:
                    raise
        return await self._send(await self._connect(place), head, body, method)

    async def _send(
        self, connection: Connection, head: bytes, body: bytes | AsyncIterable[bytes], method: str
    ) -> Answer:
        self._busy.add(connection)
        if self._watch is None:
            self._arm()
        return await connection.send(head, body, is_head=method == "HEAD")

    def _place(self, base: str) -> tuple[Place, bytes, str]:
        known = self._places.get(base)
        if known is None:
            parts = urlsplit(base)
            tls = parts.scheme == "https"
            host = parts.hostname or ""
            port = parts.port or (443 if tls else 80)
            known = (host, port, tls), parts.netloc.rpartition("@")[2].encode("idna"), parts.path.rstrip("/")
            self._places[base] = known
        return known

    def _reuse(self, place: Place) -> Connection | None:
        idle = self._idle.get(place)
        oldest = asyncio.get_running_loop().time() - IDLE_S
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.active_at > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, place: Place) -> Connection:
        host, port, tls = place
        loop = asyncio.get_running_loop()

        def free(connection: Connection, keep: bool) -> None:
            self._busy.discard(connection)
            if not keep:
                return
            idle = self._idle.setdefault(place, deque())
            if self._closed or len(idle) >= IDLE_CONNECTIONS:
                connection.abort()
            else:
                idle.append(connection)

        if tls and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, free), host, port, ssl=self._tls if tls else None
                )
        except TimeoutError as error:
            raise ReadTimeoutFault("the upstream could not be reached in time") from error
        except OSError as error:  # ssl.SSLError is one too
            raise ConnectFault("the upstream cannot be reached") from error
        return connection

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(min(1.0, self._read_timeout_s / 4.0), self._look)

    def _look(self) -> None:
        """Ends the exchanges in which the provider is silent; one timer for all of them."""
        self._watch = None
        if not self._busy:
            return
        since = asyncio.get_running_loop().time() - self._read_timeout_s
        for connection in [one for one in self._busy if one.is_silent_since(since)]:
            connection.time_out()
        if self._busy:
            self._arm()

    async def close(self) -> None:
        """Closes every connection."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            connection.abort()
        self._idle.clear()
        self._busy.clear()
        await asyncio.sleep(0)


async def _in_chunks(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """A body of unknown length in the chunked coding (RFC 9112 7.1)."""
    async for piece in body:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"
