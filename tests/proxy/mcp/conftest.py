"""A data plane with the MCP gateway, real MCP servers behind it, and a policy of the real detectors."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import uvicorn

from sigmaguard.model import Mode
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.pack import Pack
from sigmaguard_policies import policies_root
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.settings import Settings

TOOLBOX = str(Path(__file__).with_name("toolbox.py"))
DEADLINE_S = 30.0
STDIO = {"command": sys.executable, "args": [TOOLBOX]}
DETECTORS: dict[str, Any] = {
    "phrases": {"action": "block", "threshold": 0.7, "directions": ["input"]},
    "leaks": {"action": "mask"},
}
_LOADER = PolicyLoader(policies_root())


def policy(**pack: Any) -> Policy:
    """A policy of the phrase and leak detectors with more of a pack laid on it."""
    return _LOADER.compile(msgspec.convert({"name": "test", "detectors": DETECTORS, **pack}, Pack))


class Served:
    """A running data plane: its address, its records, its pieces."""

    def __init__(self, plane: DataPlane, recorder: ListRecorder, directory: FixedDirectory) -> None:
        self.plane = plane
        self.recorder = recorder
        self.directory = directory
        self.url = f"http://127.0.0.1:{plane.port}"

    @property
    def gateway(self) -> Any:
        return self.plane.tools.gateway

    @property
    def approvals(self) -> Any:
        return self.plane.tools.tooling.approvals

    def rules(self) -> set[str]:
        """Every rule that any record names."""
        return {
            one.rule for record in self.recorder.records for one in (*record.input_findings, *record.output_findings)
        }

    def last(self, method: str) -> Any:
        """The latest record of a method."""
        return next(one for one in reversed(self.recorder.records) if one.method == method)


Serve = Callable[..., Awaitable[Served]]
Host = Callable[[Any], Awaitable[str]]


@pytest_asyncio.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts data planes: `serve(mcp={...}, egress={...}, mode=..., pack={...})`."""
    planes: list[DataPlane] = []

    async def start(
        mcp: dict[str, Any] | None = None,
        egress: dict[str, Any] | None = None,
        mode: Mode = Mode.ENFORCE,
        pack: dict[str, Any] | None = None,
        data: Path | None = None,
        upstream: str = "http://127.0.0.1:9",
    ) -> Served:
        directory, recorder = FixedDirectory(policy(**(pack or {})), mode), ListRecorder()
        settings = Settings(
            listen="127.0.0.1:0",
            upstreams={"openai": upstream},
            data=str(data or tmp_path),
            mcp=mcp or {},
            egress=egress or {},
        )
        plane = DataPlane(
            settings,
            Plane(directory, NoLimits(), recorder, Healthy()),
            log=Log("test", (tmp_path / "log").open("a")),
        )
        await plane.start()
        planes.append(plane)
        return Served(plane, recorder, directory)

    yield start
    for plane in planes:
        await plane.stop()
        plane.log._stream.close()


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    """Serves ASGI apps on free ports: `url = await host(app)`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(app: Any) -> str:
            # named as TCP, or asyncio leaves Nagle's algorithm on for what it accepts
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            task = asyncio.ensure_future(server.serve([listener]))
            while not server.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0)

            async def stop() -> None:
                server.should_exit = True
                server.force_exit = True
                await asyncio.wait_for(task, 10)
                listener.close()

            stack.push_async_callback(stop)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


@pytest.fixture
def stdio() -> dict[str, Any]:
    """The toolbox as a program."""
    return dict(STDIO)


@pytest_asyncio.fixture(autouse=True)
async def deadline(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Cancels a test that takes too long, so that it fails where it hangs."""

    def expire() -> None:
        for task in asyncio.all_tasks():
            if request.function.__name__ in repr(task.get_coro()):
                task.cancel(f"over {DEADLINE_S} s")

    handle = asyncio.get_running_loop().call_later(DEADLINE_S, expire)
    yield
    handle.cancel()
