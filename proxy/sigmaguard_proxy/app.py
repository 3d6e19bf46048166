"""Builds a worker: the proxy on its port, with everything the stages share. The composition root."""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from sigmaguard.memory import VerdictMemory
from sigmaguard.wire.registry import registry
from sigmaguard_proxy.guard.service import GuardService
from sigmaguard_proxy.inspecting import Inspecting
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.outbound import Outbound
from sigmaguard_proxy.pool import DetectorPool
from sigmaguard_proxy.ports import Authority, Directory, ExchangeRecord, Limiter, Recorder, Tracer, Trials
from sigmaguard_proxy.server import Proxy
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tasks import Tasks
from sigmaguard_proxy.tooling.plane import ToolPlane
from sigmaguard_proxy.tooling.tooling import Tooling
from sigmaguard_proxy.upstreams import Upstreams, open_session

SWITCH_INTERVAL_S = 0.001  # a detector thread that holds the interpreter hands it back to the loop after this


@dataclass(frozen=True, slots=True)
class Plane:
    """What the control plane gives the data plane."""

    directory: Directory
    limiter: Limiter
    recorder: Recorder
    authority: Authority
    trials: Trials | None = None


class DataPlane:
    """One worker's data port: start it, and stop it gracefully."""

    def __init__(
        self,
        settings: Settings,
        plane: Plane,
        observers: Sequence[Callable[[ExchangeRecord], None]] = (),
        *,
        keys: tuple[bytes, bytes] | None = None,
        log: Log | None = None,
        tracer: Tracer | None = None,
        worker: int = 0,
    ) -> None:
        self.settings = settings
        self.plane = plane
        self.log = log or Log("sigmaguard")
        self._observers = tuple(observers)
        self._tracer = tracer
        self._worker = worker
        self._digest_key, self._mask_key = keys or (os.urandom(32), os.urandom(32))
        self._closing = contextlib.AsyncExitStack()  # what the start has opened so far, the last of it closed first
        self.services: Services
        self.proxy: Proxy
        self.tools: ToolPlane
        self.port = 0

    async def start(self, listener: socket.socket | None = None) -> None:
        """Opens the port; on port 0 the system chooses and `port` tells. `stop` also undoes a start that failed.

        Raises ConfigError or OSError.
        """
        settings = self.settings
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.services = Services(
            directory=self.plane.directory,
            limiter=self.plane.limiter,
            recorder=self.plane.recorder,
            authority=self.plane.authority,
            registry=registry(),
            upstreams=Upstreams(settings.upstreams),
            outbound=Outbound(settings.connect_timeout_s, settings.read_timeout_s),
            session=open_session(settings.connect_timeout_s, settings.read_timeout_s),
            inspecting=Inspecting(
                VerdictMemory(settings.memory_entries),
                DetectorPool(settings.pool_threads, settings.pool_queue),
                self._digest_key,
            ),
            tasks=Tasks(),
            log=self.log,
            mask_key=self._mask_key,
            observers=self._observers,
            tracer=self._tracer,
            tooling=Tooling(),
            trials=self.plane.trials,
        )
        closing, services = self._closing, self.services
        closing.callback(services.inspecting.pool.close)
        closing.push_async_callback(services.session.close)
        closing.push_async_callback(services.outbound.close)
        closing.push_async_callback(services.tasks.drain, 1.0)
        self.proxy = Proxy(self.services)
        self.tools = ToolPlane(settings, self.services, self.proxy.record, worker=self._worker)
        closing.push_async_callback(self.tools.close)
        await self.tools.start()
        self.proxy.mounts = {**self.tools.mounts, **GuardService(self.services, self.proxy.record).mounts}
        # the low-level server: no router, no middlewares, no access log; `auto_decompress` would hide
        # the bytes that must be forwarded as they came; cancellation tells us that a caller hung up
        server = web.Server(
            self.proxy.handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=75.0,
            max_field_size=65_536,
            max_line_size=65_536,
        )
        runner = web.ServerRunner(server, access_log=None, shutdown_timeout=settings.drain_s)
        closing.push_async_callback(runner.cleanup)
        closing.callback(self._drain)
        await runner.setup()
        if listener is not None:
            site: web.BaseSite = web.SockSite(runner, listener)
        else:
            host, port = settings.address("listen")
            site = web.TCPSite(runner, host, port, reuse_port=settings.workers > 1 or None, backlog=1024)
        await site.start()
        _limit_unread(site, settings.unread_timeout_s)
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuses new exchanges, waits for those under way, closes everything, whatever of it fails to."""
        await self._closing.aclose()

    def _drain(self) -> None:
        self.proxy.draining = True


def _limit_unread(site: web.BaseSite, seconds: float) -> None:
    """Has the kernel end connections whose caller takes nothing for so long; accepted ones inherit it (tcp(7)).

    A timer of our own would cost every write; where there is no such option (macOS) nothing ends them.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    server = getattr(site, "_server", None)  # aiohttp tells the addresses of its sockets, not the sockets
    if option is None or server is None:
        return
    for listening in server.sockets:
        listening.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
