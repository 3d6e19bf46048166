"""A provider's answer as it arrives: head at once, body in the pieces that come. Knows no content."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from multidict import CIMultiDict

from sigmaguard_proxy.outbound.errors import OutboundError

HIGH_BYTES = 1_048_576  # unread body at which the provider is told to wait


class Answer:
    """One answer. `chunks` may be read once; `close` gives up the rest and the connection with it.

    `content_length` is None where the length is not known before the end. `fields` are the headers as
    they came, name and value, `named` the first value of each by its name in lower case.
    """

    __slots__ = (
        "_complete",
        "_error",
        "_pause",
        "_paused",
        "_pieces",
        "_release",
        "_size",
        "_waiter",
        "content_length",
        "fields",
        "named",
        "reason",
        "status",
    )

    def __init__(self, pause: Callable[[bool], None], release: Callable[[bool], None]) -> None:
        self.status = 0
        self.reason = ""
        self.fields: list[tuple[bytes, bytes]] = []
        self.named: dict[bytes, bytes] = {}
        self.content_length: int | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._complete = False
        self._error: OutboundError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pause = pause
        self._paused = False
        self._release = release

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers as text."""
        return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.fields)

    def header(self, name: bytes) -> str:
        """The first value of a header by its name in lower case, empty where it is absent."""
        return self.named.get(name, b"").decode("latin-1")

    @property
    def content_type(self) -> str:
        """The media type alone, lower case; `application/octet-stream` where none is named (RFC 9110 8.3)."""
        kind = self.named.get(b"content-type", b"application/octet-stream").decode("latin-1")
        return kind.partition(";")[0].strip().lower()

    @property
    def is_complete(self) -> bool:
        """Whether everything has arrived."""
        return self._complete

    @property
    def is_exhausted(self) -> bool:
        """Whether everything has arrived and was taken."""
        return self._complete and not self._pieces

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Pieces of the body have arrived."""
        before = len(self._pieces)
        self._pieces.extend(pieces)
        self._size += sum(map(len, self._pieces[before:]))
        if self._size > HIGH_BYTES and not self._paused:
            self._paused = True
            self._pause(True)
        self._wake()

    def end(self, error: OutboundError | None = None) -> None:
        """The body is complete, or broke off."""
        if self._complete or self._error is not None:
            return
        if error is None:
            self._complete = True
        else:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def take(self) -> bytes:
        """What has arrived and was not taken yet."""
        pieces = self._pieces
        self._pieces = []
        self._size = 0
        if self._paused:
            self._paused = False
            self._pause(False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises OutboundError where it breaks off."""
        while True:
            if self._pieces:
                yield self.take()
            elif self._complete:
                return
            elif self._error is not None:
                raise self._error
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def close(self) -> None:
        """Gives the connection back where everything has arrived; closes it where not."""
        self._release(self._complete)
        self.end(OutboundError("the answer was given up"))

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
