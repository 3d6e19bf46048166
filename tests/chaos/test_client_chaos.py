"""Clients that do not read, that leave, and a thousand that wait: bounded memory, and nothing left over of them."""

import asyncio
import random
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from sigmaguard.model import Mode
from sigmaguard_proxy.outbound.connection import Connection as Upstream
from tests.chaos.witness import CHAT, MESSAGES, at_rest, descriptors, recorded_once, see, until
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Gateway,
    Received,
    chat,
    chat_stream,
    chunk_of,
    gateway,
    whole,
)

POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
MODES = pytest.mark.parametrize("mode", list(Mode))
MIB = 2**20
PIECE = chunk_of({"content": "a word and another " * 3_400})  # about 64 KiB
PIECES = 480  # 30 MiB
# a socket's buffers on either side of the proxy (Linux lets each grow to 6 MiB), and what the proxy holds itself
IN_TRANSIT = 16 * MIB


class Flood:
    """Sends 30 MiB of a stream as fast as it is taken, and counts."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = 0

    async def __call__(self, request: Received, connection: Connection) -> None:
        """One stream."""
        try:
            await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
            for _ in range(PIECES):
                await connection.chunk(PIECE)
                self.sent += len(PIECE)
            for piece in chat_stream()[1:]:
                await connection.chunk(piece)
            await connection.end()
        finally:
            self.ended += 1


@asynccontextmanager
async def lazy_reader(gate: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has asked for a stream and reads nothing of its own accord."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", gate.plane.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=65_536)
    body = orjson.dumps(chat("hi", stream=True))
    writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % CHAT.encode())
    writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def stalled(gate: Gateway, flood: Flood) -> int:
    """Serves others until the flood moves no further; how far it came."""
    async with asyncio.timeout(DEADLINE_S):
        still, before = 0, -1
        while still < 5 or not flood.sent:
            assert (await see(gate, path=MESSAGES)).status == 200  # others are answered meanwhile
            still = still + 1 if flood.sent == before else 0
            before = flood.sent
    return before


@MODES
async def test_a_reader_that_stops_holds_up_its_own_provider_alone(mode: Mode) -> None:
    """Back-pressure goes through: the provider is held, memory is not filled; read on, the answer is all there."""
    flood = Flood()
    async with gateway(POLICY, mode, flood, read_timeout_s=1.0) as gate:
        gate.provider.scripts[MESSAGES] = whole({"type": "message", "content": []})
        async with lazy_reader(gate) as (reader, _), asyncio.timeout(DEADLINE_S):
            sent = await stalled(gate, flood)
            assert sent < IN_TRANSIT and not flood.ended
            # a caller that takes its time is no silent provider: this is longer than `read_timeout_s`
            loop = asyncio.get_running_loop()
            moment = loop.time() + 1.6
            await until(lambda: loop.time() > moment)
            raw = await reader.readuntil(b"\r\n\r\n")
            assert b"200" in raw.partition(b"\r\n")[0]
            size, tail = 0, b""
            while piece := await reader.read(65_536):
                size += len(piece)
                tail = (tail + piece)[-200:]
        assert b"[DONE]" in tail and b"error" not in tail and size >= PIECES * len(PIECE)
        records = await gate.recorder.after(1)
        await until(lambda: any(record.endpoint == CHAT for record in records))
        big = [record for record in records if record.endpoint == CHAT]
        assert len(big) == 1 and (big[0].status, big[0].faults) == (200, ())
        recorded_once(records, [])
        await at_rest(gate)


async def test_readers_that_never_read_and_leave_are_cleaned_up() -> None:
    flood = Flood()
    async with gateway(POLICY, Mode.ENFORCE, flood) as gate:
        gate.provider.scripts[MESSAGES] = whole({"type": "message", "content": []})
        before = descriptors()
        async with lazy_reader(gate), lazy_reader(gate), lazy_reader(gate):
            assert await stalled(gate, flood) < 3 * IN_TRANSIT
        await until(lambda: flood.ended == 3)  # each upstream connection was closed with its caller
        await at_rest(gate)
        await until(lambda: descriptors() <= before + 4)  # the other callers' connections are kept alive
        records = await gate.recorder.after(3)
        assert sorted(record.status for record in records if record.endpoint == CHAT) == [499] * 3
        recorded_once(records, [])


async def test_a_reader_that_never_reads_again_is_cut_off_and_its_provider_let_go() -> None:
    flood = Flood()
    async with gateway(POLICY, script=flood, unread_timeout_s=0.5) as gate:
        gate.provider.scripts[MESSAGES] = whole({"type": "message", "content": []})
        async with lazy_reader(gate), asyncio.timeout(DEADLINE_S):
            await until(lambda: flood.ended == 1)  # the caller is still connected, for all it knows
            records = await gate.recorder.after(1)
        assert [record.status for record in records] == [499]
        assert (await see(gate, path=MESSAGES)).status == 200
        await at_rest(gate)


class Wire(asyncio.Transport):
    """A transport that carries nothing and remembers whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    def write(self, data: object) -> None:
        """Nowhere."""

    def pause_reading(self) -> None:
        """Until told otherwise."""
        self.reads = False

    def resume_reading(self) -> None:
        """Again."""
        self.reads = True

    def is_reading(self) -> bool:
        """Whether it would take bytes."""
        return self.reads

    def abort(self) -> None:
        """Nothing to end."""


async def test_a_provider_held_back_by_its_reader_is_not_silent_the_moment_it_may_go_on() -> None:
    """Its bytes are in the kernel still when the caller reads on; the watch must not count the pause."""
    loop = asyncio.get_running_loop()
    connection = Upstream(loop, lambda _, __: None)
    connection.connection_made(wire := Wire())
    sending = asyncio.ensure_future(connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", is_head=False))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
    answer = await sending
    connection.data_received(b"x" * 2 * MIB)
    assert not wire.reads
    connection.active_at -= 100.0  # the caller reads nothing for a long time
    assert not connection.is_silent_since(loop.time() - 10.0)
    answer.take()
    assert wire.reads and not connection.is_silent_since(loop.time() - 10.0)
    connection.active_at -= 100.0  # it reads, and nothing comes
    assert connection.is_silent_since(loop.time() - 10.0)
    answer.close()


IDLE = 1_000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for a thousand streams with all four ends in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * IDLE + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the system allows {hard} descriptors, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Idlers:
    """Streams that say one word and then wait to be told how to end."""

    def __init__(self) -> None:
        self.open = 0
        self.end = asyncio.Event()
        self._chance = random.Random(1000)

    async def __call__(self, request: Received, connection: Connection) -> None:
        """One stream: ended in order, broken off, or left by its caller."""
        await connection.head(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
        await connection.chunk(chunk_of({"role": "assistant", "content": "hello "}))
        self.open += 1
        gone = asyncio.ensure_future(connection.gone())
        end = asyncio.ensure_future(self.end.wait())
        await asyncio.wait({gone, end}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        end.cancel()
        self.open -= 1
        if self.end.is_set() and self._chance.random() < 0.5:
            for piece in chat_stream()[1:]:
                await connection.chunk(piece)
            await connection.end()
        connection.is_closed = True


@pytest.mark.usefixtures("many_descriptors")
async def test_a_thousand_idle_streams() -> None:
    idlers = Idlers()
    async with gateway(POLICY, script=idlers, read_timeout_s=120.0) as gate, asyncio.timeout(4 * DEADLINE_S):
        gate.provider.scripts[MESSAGES] = whole({"type": "message", "content": []})
        assert (await see(gate, path=MESSAGES)).status == 200
        baseline, tasks = descriptors(), len(asyncio.all_tasks())
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=4 * DEADLINE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            ask = chat("hi", stream=True)
            streams = [asyncio.ensure_future(see(gate, ask, session=session)) for _ in range(IDLE)]
            await until(lambda: idlers.open == IDLE, 4 * DEADLINE_S)
            assert gate.plane.proxy.active == IDLE
            assert descriptors() >= baseline + 3 * IDLE  # they really are open
            others = await asyncio.gather(*(see(gate, path=MESSAGES, session=session) for _ in range(50)))
            assert {one.status for one in others} == {200}  # served while a thousand wait
            for task in streams[:400]:
                task.cancel()  # hang up
            await until(lambda: gate.plane.proxy.active == IDLE - 400)
            idlers.end.set()
            seen = await asyncio.gather(*streams[400:])
        outcomes = Counter(one.code or one.is_finished_stream for one in seen)
        assert set(outcomes) == {True, "upstream_reset"} and sum(outcomes.values()) == 600
        await at_rest(gate)
        # fifty connections to the provider may be kept for the next callers
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 60 and descriptors() <= baseline + 110)
        records = await gate.recorder.after(IDLE + 51)
        assert len(records) == IDLE + 51
        recorded_once(records, [*seen, *others])
        assert Counter(record.status for record in records) == {499: 400, 200: 651}
