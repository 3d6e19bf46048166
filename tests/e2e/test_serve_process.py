"""`sigmaguard serve` as a newcomer meets it: a real process, its banner, its signals, its workers, its mistakes."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest

STARTS_S = 60.0
BANNER_ENDS = "A streamed answer:"


@dataclass
class Served:
    """A running server and what it printed when it was ready; `errors` is its standard error once it has ended."""

    process: asyncio.subprocess.Process
    url: str
    admin: str
    banner: str
    errors: str = ""

    async def chat(self, text: str, **more: object) -> tuple[int, dict[str, object], dict[str, str]]:
        """One chat completion: status, body, headers."""
        body = {"model": "demo", "messages": [{"role": "user", "content": text}], **more}
        url = f"{self.url}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            return answer.status, orjson.loads(await answer.read()), dict(answer.headers)


@contextlib.asynccontextmanager
async def serving(folder: Path, *flags: str) -> AsyncIterator[Served]:
    """A server on free ports with its data under `folder`; ends it with SIGTERM and expects a clean exit."""
    port, admin = free_ports()
    arguments = [
        "serve",
        "--listen",
        f"127.0.0.1:{port}",
        "--admin",
        f"127.0.0.1:{admin}",
        "--data",
        str(folder / "data"),
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sigmaguard_proxy.cli", *arguments, *flags),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        async with asyncio.timeout(STARTS_S):
            while not any(BANNER_ENDS in line for line in lines[:-1]):
                line = await process.stdout.readline()
                if not line:
                    assert process.stderr is not None
                    pytest.fail(f"it ended: {(await process.stderr.read()).decode()[-2000:]}")
                lines.append(line.decode())
        await ready(f"http://127.0.0.1:{port}/readyz")
        served = Served(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", "".join(lines))
        yield served
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STARTS_S):
            _, errors = await process.communicate()
    served.errors = errors.decode()
    assert process.returncode == 0


async def ready(url: str) -> None:
    """Waits until a URL answers 200."""
    async with asyncio.timeout(STARTS_S), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


async def test_the_first_five_minutes(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert "built-in demo model" in served.banner and "Become the owner" in served.banner
        commands = re.findall(r"^\s+(curl .*)$", served.banner, re.M)
        assert len(commands) == 3
        answers: list[str] = []
        for command in commands:
            run = await asyncio.create_subprocess_exec(*shlex.split(command), stdout=asyncio.subprocess.PIPE)
            out, _ = await run.communicate()
            answers.append(out.decode())
        masked, blocked, streamed = answers
        head, _, body = masked.partition("\r\n\r\n")
        assert body, masked
        assert "anna.schmidt@example.org" in orjson.loads(body)["choices"][0]["message"]["content"]
        # the echo is restored on its way back; the header shows that the model never saw the address
        assert "x-demo-received: Write to <EMAIL_1>" in head and "anna.schmidt" not in head
        error = orjson.loads(blocked)["error"]
        assert error["type"] == "sigmaguard_blocked" and error["code"]
        assert streamed.count("data: ") > 3 and streamed.rstrip().endswith("data: [DONE]")

        status, body, headers = await served.chat("Write to anna.schmidt@example.org")
        assert status == 200 and headers["x-sigmaguard-verdict"] == "mask" and headers["x-sigmaguard-mode"] == "enforce"
        assert body["choices"]
        assert headers["x-demo-received"] == "Write to <EMAIL_1>"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_end_lets_what_is_under_way_finish(tmp_path: Path, number: signal.Signals) -> None:
    async with serving(tmp_path) as served, aiohttp.ClientSession() as session:
        text = "word " * 3000
        body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": text}]}
        async with session.post(f"{served.url}/v1/chat/completions", json=body) as answer:
            first = await answer.content.readany()
            served.process.send_signal(number)
            rest = await answer.content.read()
        assert (first + rest).rstrip().endswith(b"data: [DONE]")
        with pytest.raises(aiohttp.ClientError):
            for _ in range(200):  # the listener closes within the drain
                await served.chat("hello")
                await asyncio.sleep(0.05)
    verified = await sigmaguard("audit", "verify", "--data", str(tmp_path / "data"))
    assert verified[0] == 0, verified


async def test_a_worker_that_dies_is_replaced_and_metrics_add_up(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as served:
        for number in range(20):
            status, _, _ = await served.chat(f"hello {number}")
            assert status == 200
        assert await scraped(served.admin, "sigmaguard_exchanges_total", 20) == 20
        victim = children(served.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(STARTS_S):
            while victim in children(served.process.pid) or len(children(served.process.pid)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # another process' children raise no event
        await ready(f"{served.url}/readyz")
        assert (await served.chat("still there?"))[0] == 200
    assert (await sigmaguard("audit", "verify", "--data", str(tmp_path / "data")))[0] == 0
    code, out, _ = await sigmaguard("audit", "export", "--data", str(tmp_path / "data"))
    exchanges = [line for line in map(orjson.loads, out.splitlines()) if line["kind"] == "exchange"]
    assert code == 0 and len({line["exchange"] for line in exchanges}) == len(exchanges) >= 21


def children(pid: int) -> list[int]:
    """The serving worker processes."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"sigmaguard_proxy.cli" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


async def scraped(admin: str, name: str, least: float) -> float:
    """The sum of a metric over its series, once it has reached `least` (workers tell once a second)."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{admin}/metrics") as answer:
                text = await answer.text()
            total = sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + "{"))
            if total >= least:
                return total
            await asyncio.sleep(0.1)


async def sigmaguard(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """A command run to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sigmaguard_proxy.cli", *arguments),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(STARTS_S):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (["serve", "--polcy", "basic"], "", "--polcy"),
        (["serve", "--policy", "bassic"], "", "basic"),
        (["serve", "--mode", "on"], "", "shadow"),
        (["serve", "--listen", "8003"], "", "HOST:PORT"),
        (["serve", "--upstream", "openai"], "", "NAME=URL"),
        (["serve", "--workers", "0"], "", "between 1 and 256"),
        (["serve"], "polcy: basic\n", "did you mean `policy`"),
        (["serve"], "workers: [1\n", "not YAML"),
        (["serve"], "redis_url: http://foo\n", "redis://HOST:PORT"),
        (["serve", "--data", "sigmaguard.yaml/data"], "policy: basic\n", "cannot be made"),
        (["serve", "--workers", "2", "--data", "sigmaguard.yaml"], "policy: basic\n", "cannot be made"),
        (["serve", "--config", "nowhere.yaml"], "", "no such file"),
        (["policy", "show", "nothing"], "", "off, strict"),
        (["audit", "verify", "--data", "nowhere"], "", "nowhere"),
        (["serve", "--mcp", "x"], "", "--mcp"),
        (["serve", "--drain-s", "soon"], "", "drain_s"),
        (["serve"], "mcp: {servers: {x: {ulr: 'http://a'}}}\n", "ulr"),
        (["serve", "--workers", "2"], "mcp: {servers: {x: {ulr: 'http://a'}}}\n", "ulr"),
        (["serve"], "egress: {tools: {x: {ulr: 'http://a'}}}\n", "ulr"),
        (["serve", "--workers", "2", "--policy", "bassic", "--listen", "127.0.0.1:0"], "", "bassic"),
        (["frobnicate"], "", "serve"),
    ],
)
async def test_a_mistake_is_refused_with_its_place_and_the_remedy(
    arguments: list[str], settings: str, says: str, tmp_path: Path
) -> None:
    if settings:
        (tmp_path / "sigmaguard.yaml").write_text(settings)
    code, _, errors = await sigmaguard(*arguments, cwd=tmp_path)
    assert code == 2 and says in errors and "Traceback" not in errors, errors
    if "ulr" in says:
        assert errors.count("\n") == 1, errors  # the mistake and nothing else


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_damaged_database_ends_the_start_with_its_remedy(workers: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sigmaguard.sqlite").write_bytes(b"this is no database" * 500)
    flags = ("--data", "data", "--workers", workers, "--listen", "127.0.0.1:0", "--admin", "")
    code, out, errors = await sigmaguard("serve", *flags, cwd=tmp_path)
    assert (code, out) == (2, "") and "Traceback" not in errors, errors
    assert "sigmaguard.sqlite is damaged" in errors and "restore your backup" in errors


async def test_workers_end_the_server_where_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, errors = await sigmaguard(
            "serve", "--workers", "2", "--listen", where, "--admin", "127.0.0.1:0", cwd=tmp_path
        )
    assert code == 2 and "--listen" in errors and "Traceback" not in errors and "is running" not in out, errors


async def test_the_banner_and_readyz_wait_for_every_worker(tmp_path: Path) -> None:
    """From the first 200 and from the banner on, each of the workers has a listener of its own."""
    port, admin = free_ports()
    flags = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--data", str(tmp_path / "data"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sigmaguard_proxy.cli", "serve", "--workers", "2", *flags),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        seen: set[int] = set()
        async with asyncio.timeout(2 * STARTS_S), aiohttp.ClientSession() as session:
            while 200 not in seen:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{admin}/readyz") as answer:
                        if answer.status == 200:
                            assert listeners(port) == 2
                        seen.add(answer.status)
                await asyncio.sleep(0.02)
            assert seen == {503, 200}
            while b"is running" not in (line := await process.stdout.readline()):
                assert line
            async with session.get(f"http://127.0.0.1:{admin}/", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, "/docs/")
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STARTS_S):
            await process.communicate()
    assert process.returncode == 0


def listeners(port: int) -> int:
    """How many sockets listen on a port (proc(5), state 0A)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


async def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        port = served.url.rpartition(":")[2]
        (tmp_path / "other").mkdir()
        code, _, errors = await sigmaguard(
            "serve", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", cwd=tmp_path / "other"
        )
        assert code == 2 and "--listen" in errors and "Traceback" not in errors, errors
