"""Where a gateway's answer goes: an HTTP answer, or the one stream of the older HTTP+SSE transport."""

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from sigmaguard.wire.sse import SseDecoder
from sigmaguard_proxy.mcp.message import encode


class Out(Protocol):
    """Takes one answer: either `whole`, or `begin`, any number of `write` (server-sent events), `end`."""

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A complete answer."""
        ...

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """An event stream begins."""
        ...

    async def write(self, data: bytes) -> None:
        """Events of the stream."""
        ...

    async def end(self) -> None:
        """The stream is complete."""
        ...


class HttpOut:
    """Answers the request itself; `response` is there once something was answered."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._stream: web.StreamResponse | None = None
        self.response: web.StreamResponse | None = None

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """One answer with a length."""
        self.response = web.Response(status=status, headers=headers, body=body)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the head now, so that the client knows the stream is open."""
        self.response = self._stream = web.StreamResponse(status=status, headers=headers)
        await self._stream.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Sends events."""
        assert self._stream is not None
        await self._stream.write(data)

    async def end(self) -> None:
        """Ends the answer."""
        assert self._stream is not None
        await self._stream.write_eof()


class CollectingOut:
    """Keeps the messages of an answer, whole or streamed: for the federated endpoint and the older transport."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.messages: list[bytes] = []
        self._decoder = SseDecoder()

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """One message, or none."""
        self.status, self.headers = status, headers
        if body:
            self.messages.append(body)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Several messages."""
        self.status, self.headers = status, headers

    async def write(self, data: bytes) -> None:
        """Takes the messages out of the events."""
        self.messages += [event.data for event in self._decoder.feed(data) if event.data]

    async def end(self) -> None:
        """Nothing is left to do."""


class ForwardingOut(CollectingOut):
    """Writes the messages of an answer to another stream as they come."""

    def __init__(self, stream: web.StreamResponse) -> None:
        super().__init__()
        self._stream = stream
        self.answers: list[bytes] = []  # the first message, for who needs to know how a session began

    async def message(self, body: object) -> None:
        """Writes a message of our own."""
        await self._stream.write(b"event: message\ndata: " + encode(body) + b"\n\n")

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer becomes one event."""
        self.status, self.headers = status, headers
        if body.strip():
            self.answers.append(body)
            lines = body.strip().replace(b"\r\n", b"\n").replace(b"\n", b"\ndata: ")
            await self._stream.write(b"event: message\ndata: " + lines + b"\n\n")

    async def write(self, data: bytes) -> None:
        """Events stay events, whole ones only: several answers share the stream."""
        for event in self._decoder.feed(data):
            if event.data:
                if not self.answers:
                    self.answers.append(event.data)
                await self._stream.write(event.raw)


__all__ = ["CollectingOut", "ForwardingOut", "HttpOut", "Out"]
