"""A real server, its provider at odds with it and its disk full: everything answered is in the log exactly once."""

import asyncio
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path

import aiohttp
import orjson
import pytest

from sigmaguard_proxy.audit.state import load_state
from tests.chaos.witness import CHAT, MESSAGES, Seen, see_at, until
from tests.proxy.scripted import (
    Connection,
    Received,
    chat,
    chat_stream,
    chunk_of,
    completion,
    provider,
    streamed,
    whole,
)

START_S = 60.0
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SIGMAGUARD_")}


@contextmanager
def soft_limit(kind: int, soft: int) -> Iterator[None]:
    """What is started meanwhile inherits this limit, and may raise it as far as the hard one."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


class Server:
    """`sigmaguard serve` in a process of its own, its output in a file."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = ""
        self.process: asyncio.subprocess.Process

    async def start(self, upstream: str, *flags: str) -> None:
        """Starts it and waits for its banner."""
        printed = self.data.parent / "printed"
        with printed.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sigmaguard_proxy.cli", "serve", "--upstream", f"openai={upstream}"),
                *("--listen", "127.0.0.1:0", "--admin", "", "--data", str(self.data), *flags),
                stdout=output,
                stderr=output,
                cwd=self.data.parent,
                env=ENVIRONMENT,
            )

        def is_up() -> bool:
            assert self.process.returncode is None, printed.read_text()[-2000:]
            return b"A streamed answer:" in printed.read_bytes()

        await until(is_up, START_S)
        self.url = printed.read_text().partition("is running: ")[2].split()[0].removesuffix("/v1")

    def family(self) -> list[int]:
        """The server's process and those it started."""
        found = [self.process.pid]
        for one in found:
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def disk(self, limit: int) -> None:
        """No file of the server may grow beyond this many bytes: what a full disk does, without filling one."""
        for one in self.family():
            resource.prlimit(one, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def log_bytes(self) -> int:
        """The size of the largest write-ahead file."""
        return max(path.stat().st_size for path in (self.data / "audit").glob("wal/*/*.wal"))

    async def shipped(self, least: int) -> None:
        """Waits until so many records are in the database and none is waiting."""

        def is_done() -> bool:
            state = load_state(self.data / "audit")
            return state is not None and not state.is_down and state.shipped >= least and not state.waiting_records

        await until(is_done, START_S)

    async def stop(self) -> None:
        """SIGTERM and a clean end."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(START_S):
            assert await self.process.wait() == 0

    async def audit(self, what: str) -> str:
        """A command on the audit log, which must succeed; what it prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sigmaguard_proxy.cli", "audit", what, "--data", str(self.data)),
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        async with asyncio.timeout(START_S):
            out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()


@asynccontextmanager
async def server(folder: Path, upstream: str, *flags: str) -> AsyncIterator[Server]:
    """A running server; killed where a test has not stopped it."""
    running = Server(folder / "data")
    try:
        await running.start(upstream, *flags)
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
            await running.process.wait()


class Moody:
    """A provider that answers, streams, fails, breaks off and dawdles, as its seed has it."""

    def __init__(self) -> None:
        self._chance = random.Random(2026)

    async def __call__(self, request: Received, connection: Connection) -> None:
        """One answer of a kind."""
        wants_stream = request.json.get("stream", False)
        good = streamed(chat_stream("a word ", "and more")) if wants_stream else whole(completion("a word and more"))
        match self._chance.randrange(8):
            case 0:
                await whole({"error": {"message": "busy"}}, 503, {"Retry-After": "2"})(request, connection)
            case 1:
                connection.reset()
            case 2:
                await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
                await connection.chunk(chunk_of({"content": "a wo"}))
                connection.reset()
            case 3:
                await connection.head(200, {"Content-Type": "application/json", "Content-Length": "500"})
                await connection.raw(b'{"id": ')
                connection.reset()
            case 4:
                for _ in range(self._chance.randrange(200)):
                    await asyncio.sleep(0)  # others first
                await good(request, connection)
            case _:
                await good(request, connection)


async def storm(session: aiohttp.ClientSession, url: str) -> list[Seen]:
    """Eight clients, two hundred exchanges, every tenth hung up on; those whose answer arrived."""

    async def client(number: int) -> list[Seen]:
        chance, seen = random.Random(number), []
        for turn in range(25):
            body = chat(f"Which bus goes to stop {number} after {turn} o'clock?", stream=turn % 2 == 0)
            asking = asyncio.ensure_future(see_at(session, url + CHAT, body))
            if chance.random() < 0.1:
                for _ in range(chance.randrange(300)):
                    await asyncio.sleep(0)
                asking.cancel()
            try:
                seen.append(await asking)
            except asyncio.CancelledError:
                continue
        return seen

    return list(chain.from_iterable(await asyncio.gather(*(client(number) for number in range(8)))))


async def test_a_storm_and_a_full_disk(tmp_path: Path) -> None:
    """Provider at odds, callers leaving, then not a byte of disk left, then room again: one process all the time."""
    async with provider(Moody()) as upstream, server(tmp_path, upstream.url) as running:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_S)) as session:

            async def ask(text: str) -> Seen:
                return await see_at(session, running.url + CHAT, chat(text))

            seen = await storm(session, running.url)
            codes = Counter(one.code for one in seen if one.status in (200, 502))
            assert set(codes) == {"", "upstream_failed", "upstream_reset"}
            assert {one.status for one in seen} == {200, 502, 503}

            upstream.script = whole(completion("fine"))
            await running.shipped(len(seen))
            running.disk(running.log_bytes() + 20_000)
            tight = [await ask("room for some 0")]
            while tight[-1].status == 200 and len(tight) < 200:
                tight.append(await ask(f"room for some {len(tight)}"))
            refused = [tight.pop(), *[await ask(f"no room {number}") for number in range(30)]]
            assert len(tight) > 5
            assert {(one.status, one.code) for one in refused} == {(503, "audit_unavailable")}
            async with session.get(f"{running.url}/healthz") as answer:
                assert answer.status == 200  # alive: restarting it would not help
            running.disk(resource.RLIM_INFINITY)
            after = [await ask(f"room again {number}") for number in range(30)]
            assert {one.status for one in after} == {200}
            seen += [*tight, *after]
            await running.shipped(len(seen))  # the database takes records again, too
        await running.stop()
        await running.audit("verify")
        lines = map(orjson.loads, (await running.audit("export")).splitlines())
        recorded = Counter(line["exchange"] for line in lines if line["kind"] == "exchange")
        assert [one for one, times in recorded.items() if times != 1] == []
        assert [one for one in seen if recorded[one.exchange] != 1] == []
        assert not [one for one in refused if one.exchange in recorded]  # refused because they could not be


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2_000, reason="the hard limit is too low")
async def test_more_streams_than_descriptors_the_shell_allows(tmp_path: Path) -> None:
    """Shells and systemd allow 1,024 descriptors by default, two a stream: the server asks for what it may have."""
    end = asyncio.Event()

    async def idle(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(chunk_of({"content": "hello "}))
        await end.wait()
        for piece in chat_stream()[1:]:
            await connection.chunk(piece)
        await connection.end()

    async with provider(idle) as upstream:
        upstream.scripts[MESSAGES] = whole({"type": "message", "content": []})
        with soft_limit(resource.RLIMIT_NOFILE, 256):
            starting = server(tmp_path, upstream.url, "--policy", "off")
            running = await starting.__aenter__()
        try:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(START_S):
                ask = chat("hi", stream=True)
                streams = [asyncio.ensure_future(see_at(session, running.url + CHAT, ask)) for _ in range(300)]
                await until(lambda: len(upstream.received) == 300, START_S)
                end.set()
                seen = await asyncio.gather(*streams)
            assert {(one.status, one.is_finished_stream, one.error) for one in seen} == {(200, True, "")}
            await running.stop()
        finally:
            await starting.__aexit__(None, None, None)
