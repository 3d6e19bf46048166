"""The line between the supervisor and its workers: a Unix socket carrying claims, notices and events.

Knows frames (four bytes of length, then MessagePack), not what an event means. Whatever a worker held when
its connection ends is given back: a killed worker blocks nobody.
"""

import asyncio
import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from sigmaguard_proxy.control.counters import Claim, Grant, MemoryCounters, Settlement
from sigmaguard_proxy.tasks import Tasks

ANSWER_TIMEOUT_S = 2.0
RECONNECT_S = 0.05
WAITING = 50_000  # settlements and events kept while the line is down; the oldest go first
EVENT_BACKLOG_BYTES = 4 * 1024 * 1024  # live events are dropped beyond this: a slow console must not cost memory
SOCKET_PATH_BYTES = 100  # of 108 the system has


class _Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    number: int
    claim: Claim


class _Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    number: int
    grant: Grant


class _Settle(msgspec.Struct, frozen=True, array_like=True, tag="settle"):
    settlement: Settlement


class _Notice(msgspec.Struct, frozen=True, array_like=True, tag="notice"):
    generation: int


class _Event(msgspec.Struct, frozen=True, array_like=True, tag="event"):
    data: bytes


class _Command(msgspec.Struct, frozen=True, array_like=True, tag="command"):
    data: bytes


class _Accept(msgspec.Struct, frozen=True, array_like=True, tag="accept"):
    """A worker's port is open."""


_Message = _Ask | _Answer | _Settle | _Notice | _Event | _Command | _Accept
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode


def socket_path(folder: Path) -> Path:
    """Where the socket lies; a long folder name is reached through a descriptor, for a path has 108 bytes."""
    path = folder.resolve() / "link.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    return Path(f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY)}/link.sock")


class _Frames(asyncio.Protocol):
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # a cast: uvloop's transports have the methods without the base class
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) < end:
                break
            self.received(_decode(bytes(buffer[at + 4 : end])))
            at = end
        if at:
            del buffer[:at]

    def send(self, message: _Message) -> bool:
        """Queues a message; False where there is no line."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        body = _encode(message)
        transport.write(len(body).to_bytes(4, "big") + body)
        return True

    def received(self, message: _Message) -> None:
        """A whole message came."""
        raise NotImplementedError


class LinkServer:
    """The supervisor's end."""

    def __init__(self, counters: MemoryCounters, on_event: Callable[[bytes], None]) -> None:
        self.counters = counters
        self.on_event = on_event
        self.lines: set[_Line] = set()
        self.standing: dict[str, bytes] = {}
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._accepted = asyncio.Event()

    @property
    def accept_count(self) -> int:
        """How many workers accept connections."""
        return sum(line.accepts for line in self.lines)

    async def accepting(self, count: int) -> None:
        """Waits until so many workers accept connections."""
        while self.accept_count < count:
            self._accepted.clear()
            await self._accepted.wait()

    def accepted(self) -> None:
        """A worker's port is open."""
        self._accepted.set()

    async def start(self, path: Path) -> None:
        """Opens the socket; an old one of the same name is taken away."""
        path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Line(self), str(path))
        self._path = path
        os.chmod(path, 0o600)

    def notify(self, generation: int) -> None:
        """Tells every worker that something changed."""
        for line in self.lines:
            line.send(_Notice(generation))

    def command(self, data: bytes, *, standing: str = "") -> None:
        """Tells every worker to do something; a `standing` order of that name is told to later ones too."""
        if standing:
            self.standing[standing] = data
        for line in self.lines:
            line.send(_Command(data))

    async def stop(self) -> None:
        """Closes every line."""
        if self._server is not None:
            self._server.close()
            for line in list(self.lines):
                if line.transport is not None:
                    line.transport.close()
            await self._server.wait_closed()
            assert self._path is not None
            self._path.unlink(missing_ok=True)


class _Line(_Frames):
    """One worker's connection, seen from the supervisor."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__()
        self._server = server
        self._claims: dict[str, Claim] = {}
        self.accepts = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.lines.add(self)
        for data in self._server.standing.values():
            self.send(_Command(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.lines.discard(self)
        for claim in self._claims.values():
            self._server.counters.release(claim)

    def received(self, message: _Message) -> None:
        match message:
            case _Ask(number, claim):
                grant = self._server.counters.claim_now(claim)
                if not grant.refused and any(limit.kind == "gauge" for limit in claim.limits):
                    self._claims[claim.id] = claim
                self.send(_Answer(number, grant))
            case _Settle(settlement):
                self._claims.pop(settlement.id, None)
                self._server.counters.settle(settlement)
            case _Event(data):
                self._server.on_event(data)
            case _Accept():
                self.accepts = True
                self._server.accepted()
            case _:
                pass


class LinkClient(_Frames):
    """A worker's end: implements `Counters`, hears notices, sends events. Connects again by itself."""

    def __init__(
        self,
        path: Path,
        tasks: Tasks,
        on_notice: Callable[[int], None],
        on_command: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._on_command = on_command
        self._path = path
        self._on_notice = on_notice
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Grant]] = {}
        self._unsent: deque[Settlement] = deque(maxlen=WAITING)
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing = False
        self._accepts = False
        self._keeper = tasks.spawn(self._keep_connected(), name="link")

    @property
    def is_up(self) -> bool:
        """Whether the line stands."""
        return self._connected.is_set()

    async def connected(self, timeout_s: float) -> None:
        """Waits for the line. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._connected.wait()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            try:
                await loop.create_unix_connection(lambda: self, str(self._path))
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            await self._lost.wait()
            self._lost.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._buffer.clear()
        self._connected.set()
        if self._accepts:
            self.send(_Accept())
        while self._unsent:
            self.send(_Settle(self._unsent.popleft()))
        self._on_notice(0)  # whatever was missed while the line was down

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected.clear()
        self._lost.set()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the line to the supervisor broke"))
        self._asked.clear()

    def received(self, message: _Message) -> None:
        match message:
            case _Answer(number, grant):
                future = self._asked.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(grant)
            case _Notice(generation):
                self._on_notice(generation)
            case _Command(data):
                self._on_command(data)
            case _:
                pass

    async def claim(self, claim: Claim) -> Grant:
        """Asks the supervisor. Raises OSError where the line is down or silent."""
        number = next(self._numbers)
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        if not self.send(_Ask(number, claim)):
            del self._asked[number]
            raise ConnectionError("no line to the supervisor")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            raise ConnectionError("the supervisor does not answer") from error
        finally:
            self._asked.pop(number, None)

    def settle(self, settlement: Settlement) -> None:
        """Sends a settlement, or keeps it until the line is back."""
        if not self.send(_Settle(settlement)):
            self._unsent.append(settlement)

    def accept(self) -> None:
        """Tells that this worker's port is open, now and over every later line."""
        self._accepts = True
        self.send(_Accept())

    def publish(self, data: bytes) -> None:
        """Sends a live event, or drops it."""
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size() < EVENT_BACKLOG_BYTES:
            self.send(_Event(data))

    async def close(self) -> None:
        """Ends the line after what is queued."""
        self._closing = True
        if self.transport is not None:
            self.transport.close()
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
