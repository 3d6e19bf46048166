"""The events of one stream towards a client, kept so that a broken connection can be resumed. Bounded."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from sigmaguard_proxy.mcp.message import Id, encode

EVENTS = 512  # kept for resuming; a client that falls further behind has lost them


class Outbox:
    """One stream: events are put in by the server's reader and taken out by whichever connection is there.

    `waiting` are the requests whose answers end the stream; a stream without any stays open.
    """

    def __init__(self, identifier: str, waiting: set[Id], limit_bytes: int) -> None:
        self.id = identifier
        self.waiting = waiting
        self.closed = False
        self._events: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._limit = limit_bytes
        self._next = 1
        self._news = asyncio.Event()

    def put(self, body: object) -> bool:
        """Adds a message; False where the stream has more unread than it may hold."""
        number = self._next
        self._next += 1
        event = b"event: message\nid: %s-%d\ndata: %s\n\n" % (self.id.encode(), number, encode(body))
        self._events.append((number, event))
        self._bytes += len(event)
        while self._events and (len(self._events) > EVENTS or self._bytes > self._limit):
            _, old = self._events.popleft()
            self._bytes -= len(old)
            if not self._events:
                return False
        self._news.set()
        return True

    def close(self) -> None:
        """No more will come."""
        self.closed = True
        self._news.set()

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._bytes

    async def read(self, after: int = 0) -> AsyncIterator[bytes]:
        """The events after a number, then new ones until the stream closes."""
        while True:
            self._news.clear()
            for number, event in list(self._events):
                if number > after:
                    after = number
                    yield event
            if self.closed and (not self._events or self._events[-1][0] <= after):
                return
            if not self._events or self._events[-1][0] <= after:
                await self._news.wait()


def split_event_id(event_id: str) -> tuple[str, int]:
    """The stream and number of an event id; an empty stream where it is none of ours."""
    stream, dash, number = event_id.rpartition("-")
    return (stream, int(number)) if dash and number.isdigit() else ("", 0)
