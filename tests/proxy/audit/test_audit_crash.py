"""kill -9 at random moments under load: every answered exchange is recorded exactly once, and the chain verifies.

Twenty kills: of the whole server, of single workers, and of PostgreSQL.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.control_servers import Postgres

CLIENTS = 6
START_S = 90.0
BODY = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SIGMAGUARD_")}


class Load:
    """Clients that ask one question after the other and remember every exchange whose answer arrived whole."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answered: list[str] = []
        self.failed = 0
        self.statuses: Counter[int] = Counter()
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._client(session, number)) for number in range(CLIENTS)]
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        body = {**BODY, "stream": True} if number % 3 == 0 else BODY
        while True:
            try:
                async with session.post(f"{self._url}/chat/completions", json=body) as answer:
                    await answer.read()
                    self.answered.append(answer.headers["x-sigmaguard-exchange"])
                    self.statuses[answer.status] += 1
                    self._more.set()
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.failed += 1
                await asyncio.sleep(0.1)  # the server is dead or just starting; nothing tells when it listens again

    async def until(self, answered: int) -> None:
        """Returns once so many have been answered."""
        async with asyncio.timeout(START_S):
            while len(self.answered) < answered:
                self._more.clear()
                await self._more.wait()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _start(data: Path, *more: str, listen: str = "127.0.0.1:0") -> tuple[asyncio.subprocess.Process, str]:
    """A real server; its process and base URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sigmaguard_proxy.cli", "serve", "--policy", "off"),
        *("--listen", listen, "--admin", "", "--data", str(data), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,
        cwd=data.parent,
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        while True:
            line = (await process.stdout.readline()).decode()
            assert line, f"the server ended: {await process.wait()}"
            if "is running:" in line:
                return process, line.split("is running:")[1].split()[0]


async def _kill(process: asyncio.subprocess.Process) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # its pipe would outlive the loop


async def _audit(data: Path, what: str, *more: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sigmaguard_proxy.cli", "audit", what, "--data", str(data), *more),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def _check(data: Path, answered: list[str], *more: str) -> None:
    status, out = await _audit(data, "verify", *more)
    assert status == 0, out
    status, out = await _audit(data, "export", *more)
    assert status == 0
    recorded = Counter(json.loads(line)["exchange"] for line in out.splitlines())
    assert [one for one in answered if recorded[one] != 1] == []
    assert [one for one, times in recorded.items() if one and times != 1] == []
    assert len(answered) == len(set(answered))


async def test_the_whole_server_killed_under_load(tmp_path: Path) -> None:
    chance, answered = random.Random(), []
    data = tmp_path / "data"
    for _ in range(8):
        process, url = await _start(data)
        load = Load(url)
        async with load.running():
            await load.until(chance.randrange(1, 200))
            await _kill(process)
            load.stop()
        answered += load.answered
    assert len(answered) >= 6
    await _check(data, answered)


@pytest.fixture
def reserved_port() -> Any:
    """A port nobody else gets: bound for sharing, but not listened on, so connections go to the server."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    yield holder.getsockname()[1]
    holder.close()


def _workers(supervisor: int) -> list[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(child) for child in children]


async def test_workers_killed_under_load(tmp_path: Path, reserved_port: int) -> None:
    chance = random.Random()
    data = tmp_path / "data"
    process, url = await _start(data, "--workers", "2", listen=f"127.0.0.1:{reserved_port}")
    load = Load(url)
    async with load.running():
        for _ in range(6):
            await load.until(len(load.answered) + chance.randrange(1, 150))
            os.kill(chance.choice(_workers(process.pid)), signal.SIGKILL)
        await load.until(len(load.answered) + 50)
        assert (await _audit(data, "verify"))[0] == 0  # while it runs and is written to
        await _kill(process)
        load.stop()
    await _check(data, load.answered)


async def test_the_database_killed_under_load(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random()
    data = tmp_path / "data"
    server = await asyncio.to_thread(Postgres, tmp_path_factory.mktemp("pg"))
    try:
        url = server.database()
        (tmp_path / "sigmaguard.yaml").write_text(f"database_url: {url}\n")
        process, base = await _start(data, "--config", str(tmp_path / "sigmaguard.yaml"))
        load = Load(base)
        async with load.running():
            for _ in range(6):
                await load.until(len(load.answered) + chance.randrange(1, 150))
                server.kill()
                await load.until(len(load.answered) + 40)  # traffic goes on without a database
                await asyncio.to_thread(server.start)
            await load.until(len(load.answered) + 40)
            assert load.failed == 0  # nobody noticed that there was no database
            assert set(load.statuses) == {200}
            await _kill(process)
            load.stop()
        await _check(data, load.answered, "--database-url", url)
    finally:
        server.stop()
