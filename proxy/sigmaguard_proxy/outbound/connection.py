"""One connection to a provider: writes a request, parses the answer. Knows nothing of pools and time-outs."""

import asyncio
from collections.abc import AsyncIterable, Callable

import httptools

from sigmaguard_proxy.outbound.answer import Answer
from sigmaguard_proxy.outbound.errors import OutboundError, ReadTimeoutFault

HEAD_BYTES = 262_144  # of an answer's status line and headers


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; `active_at` is when bytes last moved (loop time, seconds)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_free: Callable[["Connection", bool], None]) -> None:
        self._loop = loop
        self._on_free = on_free
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._can_write = True
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = ""
        self._head_bytes = 0
        self._body: list[bytes] = []
        self.on_body = self._body.append  # the parser's call for a piece of the body: one for each HTTP chunk
        self._is_head_request = False
        self._until_close = False
        self._keep = True
        self.active_at = 0.0
        self.is_open = False
        self.uses = 0

    # the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to carry a request."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transport is no subclass of asyncio's
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parses what came; a provider that sends without being asked loses the connection."""
        self.active_at = self._loop.time()
        parser = self._parser
        if parser is None:
            self.abort()
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._hand_on()
            self._fail(OutboundError(f"the upstream's answer is not HTTP: {type(error).__name__}"))
            return
        if self._head is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._fail(OutboundError("the upstream's headers are too large"))
        if self._body:
            self._hand_on()

    def _hand_on(self) -> None:
        """Gives the pieces of the body that came with one read to whoever asked."""
        if self._answer is not None and self._body:
            self._answer.feed(self._body)
        self._body.clear()

    def eof_received(self) -> bool:
        """The provider will send no more; the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that is told by the connection's end is complete; any other broke off."""
        self.is_open = False
        if self._until_close and exc is None and self._answer is not None:
            self._answer.end()
            self._finish(keep=False)
            return
        self._fail(OutboundError("the upstream closed the connection in the middle of the exchange"))

    def pause_writing(self) -> None:
        """The provider reads more slowly than we write."""
        self._can_write = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self._can_write = True
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # the parser's calls

    def on_status(self, status: bytes) -> None:
        """The reason phrase."""
        self._reason += status.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is here: whoever asked may go on."""
        parser, answer, head = self._parser, self._answer, self._head
        assert parser is not None and answer is not None
        status = parser.get_status_code()
        if 100 <= status < 200:
            return  # an interim answer; the real one follows
        answer.status, answer.reason, answer.fields = status, self._reason, self._fields
        named = answer.named
        for name, value in self._fields:
            named.setdefault(name.lower(), value)
        length = named.get(b"content-length")
        chunked = b"transfer-encoding" in named and b"chunked" in named[b"transfer-encoding"].lower()
        if length is not None and length.isdigit() and not chunked:
            answer.content_length = int(length)
        empty = self._is_head_request or status in (204, 304)
        self._keep = parser.should_keep_alive() and not self._is_head_request
        self._until_close = not empty and answer.content_length is None and not chunked
        self._head = None
        if head is not None and not head.done():
            head.set_result(answer)
        if empty:
            answer.content_length = answer.content_length if self._is_head_request else 0
            answer.end()

    def on_message_complete(self) -> None:
        """The answer is complete, unless it was an interim one."""
        if self._head is not None:
            self._fields, self._reason = [], ""
            return
        if self._answer is not None:
            self._hand_on()
            self._answer.end()
            self._finish(keep=self._keep)

    # the client's calls

    async def send(self, head: bytes, body: bytes | AsyncIterable[bytes], *, is_head: bool) -> Answer:
        """Sends a request; returns once the answer's head is here. Raises OutboundError."""
        self.uses += 1
        self.active_at = self._loop.time()
        self._parser = httptools.HttpResponseParser(self)
        self._fields, self._reason, self._head_bytes = [], "", 0
        self._is_head_request, self._until_close, self._keep = is_head, False, True
        self._answer = Answer(self._pause, self._give_back)
        waiting = self._head = self._loop.create_future()
        try:
            if isinstance(body, bytes):
                self._transport.write(head + body if body else head)
            else:
                self._transport.write(head)
                await self._stream(body)
            answer: Answer = await waiting
            return answer
        except BaseException:
            self.abort()
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # seen: the caller hears of another failure
            raise

    async def _stream(self, body: AsyncIterable[bytes]) -> None:
        async for piece in body:
            if not self.is_open:
                return
            self.active_at = self._loop.time()
            self._transport.write(piece)
            if not self._can_write:
                self._writable = self._loop.create_future()
                await self._writable

    def _pause(self, paused: bool) -> None:
        if self.is_open:
            if paused:
                self._transport.pause_reading()
            else:
                self.active_at = self._loop.time()  # it was held back, not silent; its bytes are read only next
                self._transport.resume_reading()

    def is_silent_since(self, moment: float) -> bool:
        """Whether an answer is awaited and nothing has come since then. A paused reader is not silence."""
        return self._answer is not None and self.active_at < moment and self._can_read()

    def _can_read(self) -> bool:
        return bool(self._transport.is_reading())

    def time_out(self) -> None:
        """Gives up on an answer that does not come."""
        self._fail(ReadTimeoutFault("the upstream fell silent"))

    def abort(self) -> None:
        """Closes at once."""
        self._fail(OutboundError("the exchange was given up"))

    def _give_back(self, complete: bool) -> None:
        if not complete:
            self.abort()

    def _finish(self, *, keep: bool) -> None:
        self._answer = None
        self._parser = None
        if not keep and self.is_open:
            self._transport.close()
            self.is_open = False
        self._on_free(self, keep and self.is_open)

    def _fail(self, error: OutboundError) -> None:
        head, answer = self._head, self._answer
        self._head = self._answer = self._parser = None
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if answer is not None:
            answer.end(error)
        if head is not None and not head.done():
            head.set_exception(error)
        self._on_free(self, False)
