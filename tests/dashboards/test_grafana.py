"""Every panel of every dashboard, asked of a real Prometheus that scrapes a running proxy under traffic."""

import asyncio
import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
from aiohttp import web

from sigmaguard.model import Action, Mode, OnFault
from sigmaguard_proxy.app import DataPlane
from sigmaguard_proxy.observing import Observing
from sigmaguard_proxy.settings import Settings
from tests.engine.fakes import Raises, Words, active, blocks, masks, policy_of
from tests.proxy.scripted import Connection, Gateway, Received, Silent, chat, completion, gateway, whole

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
FILES = sorted((DASHBOARDS / "grafana" / "dashboards").glob("*.json"))
TOOLS = Path(__file__).parents[2] / ".venv" / "tools" / "usr" / "bin"
DEADLINE_S = 60.0


def tool(name: str) -> str:
    """The path of a program; in CI it must be there, elsewhere the test is skipped with what to do."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS))
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must have it: see tests/fetch_tools.sh")
        pytest.skip(f"{name} is not installed; `apt-get install prometheus` brings it")
    return found


def queries() -> list[tuple[str, str, str]]:
    """Dashboard, panel and query of every target."""
    return [
        (path.stem, panel["title"], target["expr"])
        for path in FILES
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def test_dashboards_are_what_the_generator_writes() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("generate", DASHBOARDS / "grafana" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    built = module.build()
    assert sorted(built) == [path.name for path in FILES]
    for path in FILES:
        assert json.loads(path.read_text()) == built[path.name], f"run dashboards/grafana/generate.py: {path.name}"


@pytest.mark.parametrize(("board", "title", "query"), queries())
def test_every_query_parses_and_names_only_our_metrics(board: str, title: str, query: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "1m"))
    declared = set(re.findall(r'(?:counter|gauge|histogram)\(\s*"(\w+)"', METRICS_SOURCE))
    for name in re.findall(r"sigmaguard_(\w+)", query):
        base = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert base in declared or name in declared, f"{board} / {title}: sigmaguard_{name} is not in metrics.py"


METRICS_SOURCE = (DASHBOARDS.parent / "proxy" / "sigmaguard_proxy" / "metrics.py").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboards_keep_to_the_schema(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"].startswith("sigmaguard-") and board["schemaVersion"] >= 39 and board["title"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} overlaps another panel"
        taken |= cells
        assert panel["title"] and panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"]["uid"] == "sigmaguard" for target in panel["targets"])


class Tiered(Words):
    """Tells of two tiers, as the injection model does."""

    @property
    def windows_read(self) -> dict[str, int]:
        """One window each a text."""
        return {"glance": self.looked, "encoder": self.looked}


async def traffic(one: Gateway) -> None:
    """Everything a panel could ask for: allowed, masked, blocked, failed, streamed, in every mode."""
    for mode in Mode:
        one.directory.mode = mode
        for text in ("hello", "a secret word", "something forbidden", "it is broken"):
            for stream in (False, True):
                async with one.call("/v1/chat/completions", chat(text, stream=stream)) as answer:
                    await answer.read()
    one.directory.mode = Mode.ENFORCE
    async with one.call("/v1/embeddings", {"model": "gpt-test", "input": "fail"}) as answer:
        await answer.read()


@contextlib.asynccontextmanager
async def exposed(plane: DataPlane, observing: Observing) -> AsyncIterator[int]:
    """The metrics on a port of their own, vitals sampled."""

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=observing.metrics.expose(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/metrics", expose)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    observing.watch(plane, lambda: (3, 1.5, 0))
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        await observing.stop()


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[str]:
    """A real Prometheus scraping a port every 200 ms."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: sigmaguard, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    process = await asyncio.create_subprocess_exec(
        tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def ask(session: aiohttp.ClientSession, url: str, query: str) -> list[Any]:
    """The series of an instant query; empty also while Prometheus starts."""
    try:
        async with session.get(f"{url}/api/v1/query", params={"query": query}) as answer:
            body = await answer.json()
    except aiohttp.ClientError:
        return []
    assert body["status"] == "success" or answer.status == 503, body
    result: list[Any] = body.get("data", {}).get("result", [])
    return result


async def test_every_panel_has_data_from_a_real_prometheus(tmp_path: Path) -> None:
    tool("prometheus")

    async def script(request: Received, connection: Connection) -> None:
        if request.path == "/v1/embeddings":
            connection.reset()
            return
        await whole(completion("fine"))(request, connection)

    fails_open = active(Raises(), Action.FLAG, on_fault=OnFault.OPEN)
    policy = policy_of(blocks("forbidden"), masks("secret"), fails_open, active(Tiered({}, "injection")))
    observing = Observing(Settings(), 0, Silent(), lambda model, given, made: 0.001)
    async with (
        gateway(policy, script=script, observers=observing.observers) as one,
        exposed(one.plane, observing) as target,
        prometheus(tmp_path, target) as url,
    ):
        missing = await until_all_answer(one, url)
    assert not missing, missing


async def until_all_answer(one: Gateway, url: str) -> list[tuple[str, str, str]]:
    """Keeps traffic going until every query answers with numbers, or time is up; those that did not."""
    left = queries()
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                while left:
                    await traffic(one)
                    left = [
                        each
                        for each in left
                        if not has_data(await ask(session, url, each[2].replace("$__rate_interval", "10s")))
                    ]
    return left


def has_data(series: list[Any]) -> bool:
    """Whether any series holds a number (a quantile of nothing is NaN)."""
    return any(one["value"][1] != "NaN" for one in series)
