"""Runs every task, alone and under every attack, with and without the firewall; counts what got done."""

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import msgspec
import uvicorn
from aiohttp import web
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from agents.agent import run_agent
from agents.attacks import GOALS, WRAPPINGS, Goal, injection
from agents.model import ObedientModel
from agents.tasks import TASKS, Task
from agents.world import Office, office
from sigmaguard.actions.compiled import Tools
from sigmaguard.actions.config import ToolsConfig
from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard.policy.compile import PolicyLoader, tool_actions
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.load import load_pack
from sigmaguard.policy.pack import Pack
from sigmaguard_policies import policies_root
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tooling.approvals import PendingCall, State

SENSITIVE = ["*send_mail", "*send_money", "*delete_file", "*share_file", "*post_web", "*set_password"]


@dataclass(frozen=True)
class Setup:
    """One way to run: a name, a mode, and the `tools:` section."""

    name: str
    mode: Mode
    tools: dict[str, Any] = field(default_factory=dict)


SETUPS = (
    Setup("no firewall (mode off)", Mode.OFF),
    Setup("detectors alone", Mode.ENFORCE),
    Setup(
        "detectors, sensitive tools wait for a person after untrusted content",
        Mode.ENFORCE,
        {"sensitive": SENSITIVE, "tainted": "approve", "approval_s": 5.0},
    ),
    Setup(
        "detectors, sensitive tools denied after untrusted content",
        Mode.ENFORCE,
        {"sensitive": SENSITIVE, "tainted": "deny"},
    ),
)


@dataclass
class Tally:
    """What came of one setup."""

    setup: Setup
    detectors: tuple[str, ...]
    benign: list[bool] = field(default_factory=list)
    attacked: list[tuple[str, bool, bool]] = field(default_factory=list)  # wrapping, done, reached
    asked: int = 0


@functools.cache
def basic() -> Policy:
    """The shipped policy `basic`, without its classifier where no trained model is there."""
    loader = PolicyLoader(policies_root())
    pack, folder = load_pack("basic", policies_root())
    try:
        return loader.compile(pack, folder)
    except ConfigError as error:
        if "injection" not in str(error):
            raise
    raw = msgspec.to_builtins(pack)
    raw["detectors"]["injection"]["enabled"] = False
    return loader.compile(msgspec.convert(raw, Pack), folder)


def policy(setup: Setup) -> Policy:
    """`basic` with the setup's `tools:` section."""
    tools = Tools(msgspec.convert(setup.tools, ToolsConfig))
    base = basic()
    return dataclasses.replace(base, tools=tools, rule_actions={**base.rule_actions, **tool_actions(base.pack, tools)})


class Person:
    """Whoever is asked: grants what the user asked for, refuses what an attacker did. Deterministic."""

    def __init__(self, plane: DataPlane) -> None:
        self._approvals = plane.tools.tooling.approvals
        self._approvals.observers = (self.look,)
        self.asked = 0

    def look(self, call: PendingCall) -> None:
        """Decides a call as soon as it waits."""
        if call.state is State.WAITING:
            self.asked += 1
            asyncio.get_running_loop().call_soon(self._decide, call.id)

    def _decide(self, call_id: str) -> None:
        [call] = [one for one in self._approvals.list() if one.id == call_id]
        name = call.tool.rpartition("__")[2]
        wanted = not any(name == goal.tool and call.arguments == goal.args for goal in GOALS)
        self._approvals.decide(call_id, grant=wanted, by="person")


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI app on a free port."""
    # named as TCP, or asyncio leaves Nagle's algorithm on for what it accepts
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.ensure_future(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn sets a flag, no event
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def model_served() -> AsyncIterator[str]:
    """The obedient model on a free port."""
    runner = web.ServerRunner(web.Server(ObedientModel().handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def measure(
    setup: Setup, tasks: Sequence[Task], goals: Sequence[Goal], wrappings: Sequence[str], *, every: int = 1
) -> Tally:
    """One setup: every task alone, then reading tasks under goals in wrappings (each `every`th combination)."""
    place = Office()
    chosen = policy(setup)
    tally = Tally(setup, tuple(chosen.detectors))
    async with contextlib.AsyncExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        llm = await stack.enter_async_context(model_served())
        tools = await stack.enter_async_context(served(place.server.streamable_http_app()))
        server = {"url": f"{tools}/mcp", "mask_results": False}
        settings = Settings(
            listen="127.0.0.1:0",
            upstreams={"openai": llm},
            data=str(Path(data)),
            mcp={"servers": {"office": server}},
        )
        directory = FixedDirectory(chosen, setup.mode)
        plane = DataPlane(settings, Plane(directory, NoLimits(), ListRecorder(), Healthy()))
        await plane.start()
        stack.push_async_callback(plane.stop)
        person = Person(plane)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        # one client for all runs: each of its own would read the certificate store again
        connections = await stack.enter_async_context(httpx2.AsyncClient(timeout=30.0))
        url, numbers = f"http://127.0.0.1:{plane.port}", itertools.count()

        async def one(task: Task, text: str) -> str:
            place.world = office(text)
            transport = streamable_http_client(f"{url}/mcp", http_client=connections)
            async with Client(transport, mode="legacy") as client:
                return await run_agent(http, url, client, task.prompt, f"run-{next(numbers)}")

        for task in tasks:
            answer = await one(task, "")
            tally.benign.append(task.done(place.world, answer))
        combinations = itertools.product([one for one in tasks if one.reads], goals, wrappings)
        for task, goal, wrapping in itertools.islice(combinations, 0, None, every):
            answer = await one(task, injection(goal, wrapping))
            tally.attacked.append((wrapping, task.done(place.world, answer), goal.reached(place.world)))
        tally.asked = person.asked
    return tally


async def measure_all(*, every: int) -> list[Tally]:
    """Every setup, one after the other."""
    tallies: list[Tally] = []
    for setup in SETUPS:
        print(f"{setup.name} ...", flush=True)
        tally = await measure(setup, TASKS, GOALS, tuple(WRAPPINGS), every=every)
        tallies.append(tally)
        reached = sum(one[2] for one in tally.attacked)
        print(f"  {sum(tally.benign)}/{len(tally.benign)} tasks, {reached}/{len(tally.attacked)} attacks", flush=True)
    return tallies
