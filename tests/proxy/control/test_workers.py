"""Four worker processes: the toggle under load, limits across them, and `kill -9` of workers."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.control_servers import until
from tests.control_site import ATTACK, PASSWORD, PLAIN, Provider, provider

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORKERS = 4
START_S = 120.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A supervisor with its workers, as a user starts it."""

    def __init__(self, data: Path, upstream: str) -> None:
        self.data = data
        self.port, self.admin_port = free_port(), free_port()
        self.events: list[dict[str, Any]] = []
        self.link = ""
        self._upstream = upstream
        self._reading: list[asyncio.Task[None]] = []
        self.process: asyncio.subprocess.Process
        self.token = ""
        self.session = aiohttp.ClientSession()

    async def start(self) -> None:
        policy = self.data / "plain.yaml"
        policy.write_text(PLAIN)
        command = [sys.executable, "-m", "sigmaguard_proxy.cli", "serve", "--workers", str(WORKERS)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}"]
        command += ["--data", str(self.data), "--policy", str(policy), "--upstream", f"openai={self._upstream}"]
        self.process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        loop = asyncio.get_running_loop()
        self._reading = [loop.create_task(self._read_banner()), loop.create_task(self._read_log())]
        await until(lambda: self.link, START_S)
        await self.until_workers()

    async def _read_banner(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if b"/claim#" in line:
                self.link = line.decode().rpartition("#")[2].strip()

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if line.startswith(b"{"):
                self.events.append(json.loads(line))

    async def until_workers(self) -> None:
        """Waits until every worker has its line to the supervisor and the port answers."""
        since = time.monotonic()
        while True:
            try:
                async with self.session.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                    ready = answer.status == 200
                if ready and (not self.token or (await self.ask("GET", "/system"))["workers"] == WORKERS):
                    return
            except aiohttp.ClientConnectionError:
                pass
            assert time.monotonic() - since < START_S, self.events[-5:]
            await asyncio.sleep(0.1)

    async def claim(self) -> None:
        claim = {"token": self.link, "email": "o@example.org", "name": "O", "password": PASSWORD}
        url = f"http://127.0.0.1:{self.admin_port}/api/v1"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.post(f"{url}/auth/claim", json=claim) as answer:
                csrf = (await answer.json())["csrf"]
            async with browser.post(f"{url}/me/tokens", json={"name": "t"}, headers={"X-CSRF-Token": csrf}) as answer:
                self.token = (await answer.json())["secret"]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.admin_port}/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def chat(self, text: str, key: str = "", *, fresh: bool = True) -> tuple[int, str]:
        """Status and mode; by default on a connection of its own, which the kernel deals to any worker."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if fresh:
            headers["Connection"] = "close"
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        async with self.session.post(url, json=body, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-sigmaguard-mode", "")

    def workers(self) -> list[int]:
        """The process of each worker, the newest of each number."""
        started = {
            event["sigmaguard.worker"]: event["sigmaguard.process"]
            for event in self.events
            if event["event.action"] == "worker_started"
        }
        return list(started.values())

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60.0):
            await self.process.wait()
        await asyncio.gather(*self._reading)
        await self.session.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[Provider]:
    async with provider() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(upstream: Provider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    running = Server(tmp_path_factory.mktemp("workers"), upstream.url)
    await running.start()
    await running.claim()
    await running.until_workers()
    yield running
    await running.stop()
    assert running.process.returncode == 0


async def test_the_toggle_under_load(server: Server) -> None:
    """Every worker obeys within a second of the answer, and no request fails by it."""
    answers: list[tuple[float, int, str]] = []  # when it was sent, status, mode
    running = True

    async def load() -> None:
        while running:
            sent = time.perf_counter()
            status, mode = await server.chat(ATTACK)
            answers.append((sent, status, mode))

    loop = asyncio.get_running_loop()
    loads = [loop.create_task(load()) for _ in range(8)]
    lags = []
    for mode in ("shadow", "enforce", "off", "enforce"):
        seen = len(answers)
        await until(lambda seen=seen: len(answers) >= seen + 40, 60.0)  # type: ignore[misc]
        await server.ask("PUT", "/toggle", {"mode": mode, "reason": "under load"})
        turned, at = time.perf_counter(), len(answers)
        await asyncio.sleep(1.2)  # what is measured is who still does what in this time
        await until(lambda at=at: len(answers) >= at + 20, 60.0)  # type: ignore[misc]
        late = [sent - turned for sent, _, was in answers[at:] if was != mode]
        lags.append(max(late, default=0.0))
    running = False
    await asyncio.gather(*loads)
    assert {(status, mode) for _, status, mode in answers} <= {(403, "enforce"), (200, "shadow"), (200, "off")}
    print(f"the last request under the old mode was sent {max(lags) * 1000:.0f} ms after the toggle was turned")
    assert max(lags) < 1.0, lags


async def test_limits_are_exact_across_workers(server: Server) -> None:
    order = {"name": "k", "limits": {"requests_per_minute": 60}}
    key = (await server.ask("POST", "/tenants/default/keys", order))["secret"]
    await until_known(server, key)
    answers = await asyncio.gather(*(server.chat("Hello", key) for _ in range(150)))
    # one was used to see that the key is known
    assert [status for status, _ in answers].count(200) == 59
    assert {status for status, _ in answers} == {200, 429}


async def until_known(server: Server, key: str) -> None:
    """Waits until some worker knows the key, then as long as the others may take."""
    async with asyncio.timeout(5.0):
        while (await server.chat("Hello", key))[0] == 401:
            pass
    await server.ask("GET", "/system")


async def test_killed_workers_hold_nothing_and_come_back(server: Server, upstream: Provider) -> None:
    order = {"name": "k", "limits": {"concurrent": 3, "requests_per_minute": 1000}}
    key = (await server.ask("POST", "/tenants/default/keys", order))["secret"]
    await until_known(server, key)
    upstream.gate.clear()
    loop = asyncio.get_running_loop()

    async def get_stuck() -> tuple[int, str]:
        # a worker may not know the key yet, and the place of the request before may just be given back
        while (answer := await server.chat("Hello", key))[0] in (401, 429):
            pass
        return answer

    stuck = [loop.create_task(get_stuck()) for _ in range(3)]
    await until(lambda: upstream.waiting == 3, 20.0)
    before = set(server.workers())
    assert len(before) == WORKERS
    assert (await server.chat("Hello", key))[0] == 429
    for process in before:
        os.kill(process, signal.SIGKILL)
    failed = await asyncio.gather(*stuck, return_exceptions=True)
    assert all(isinstance(one, aiohttp.ClientError) for one in failed)
    upstream.gate.set()
    await until(lambda: not before & set(server.workers()), 60.0)
    await server.until_workers()
    assert (await server.chat("Hello", key))[0] == 200
    assert (await server.chat(ATTACK))[1] == "enforce"
