"""One process of the server: control plane, audit log, data plane and admin port, built and torn down in order."""

import contextlib
import signal
from pathlib import Path

import aiohttp
from aiohttp import web

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.admin.app import admin_app, all_endpoints
from sigmaguard_proxy.admin.door import Door
from sigmaguard_proxy.admin.events import EventHub, encode_event
from sigmaguard_proxy.admin.idempotency import Idempotency
from sigmaguard_proxy.admin.oidc import OidcClient, OidcSettings
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.audit.audit_log import AuditLog
from sigmaguard_proxy.control.agents import Agents
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.keys import VirtualKeys
from sigmaguard_proxy.control.passwords import Passwords
from sigmaguard_proxy.control.people import Members, Tenants
from sigmaguard_proxy.control.permissions import Role
from sigmaguard_proxy.control.plane import ControlPlane
from sigmaguard_proxy.control.policies import Policies
from sigmaguard_proxy.control.providers import ProviderKeys
from sigmaguard_proxy.control.signin import SignIn
from sigmaguard_proxy.control.toggles import Toggles
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.mcp.pins import PinBook
from sigmaguard_proxy.observing import Observing
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.store.database import DatabaseDownError
from sigmaguard_proxy.tooling.desk import ApprovalDesk, notice_of, obey
from sigmaguard_proxy.tooling.plane import pins_path

EVENTS_ON, EVENTS_OFF = b"events on", b"events off"


class Node:
    """A process of the server. `worker` is its number, None for the supervisor, which has no data port."""

    def __init__(self, settings: Settings, *, worker: int | None, with_admin: bool, log: Log) -> None:
        self.settings = settings
        self.admin_url = ""
        self.owner_link = ""
        self.port = 0
        self._with_admin = with_admin and bool(settings.admin)
        self._worker = worker
        self._log = log
        self._mode = settings.mode
        self._hub = EventHub()
        self._events_wanted = False
        self._oidc: aiohttp.ClientSession | None = None
        self._audit: AuditLog | None = None
        self._data: DataPlane | None = None
        self._desk = ApprovalDesk(None)
        self._admin: web.AppRunner | None = None
        self._started = False
        self._is_accepting = worker is not None
        self.control: ControlPlane
        self._observing: Observing

    async def start(self) -> None:
        """Everything in order, the ports last. Raises ConfigError or OSError."""
        settings = self.settings
        control = self.control = ControlPlane(settings, self._worker, self._log, on_command=self._obey)
        self._observing = Observing(settings, self._worker, self._log, control.prices.cost_usd)
        self._started = True
        await control.start()
        control.when_orphaned(lambda: signal.raise_signal(signal.SIGTERM))
        self._audit = AuditLog(
            control.data,
            control.url,
            self._worker,
            self._log,
            price=control.prices.cost_usd,
            own_process=self._worker is None or settings.workers == 1,
        )
        self._audit.start()
        if self._worker is not None:
            await self._open_data(self._audit)
        if self._with_admin:
            await self._open_admin(self._audit)

    async def _open_data(self, audit: AuditLog) -> None:
        control, observing = self.control, self._observing
        snapshot = control.directory.snapshot
        plane = Plane(control.directory, control.limiter, audit.recorder, self, control.trials)
        self._data = DataPlane(
            self.settings,
            plane,
            (*observing.observers, self._observe),
            keys=(snapshot.digest_key, snapshot.mask_key),
            log=self._log,
            tracer=observing.tracing,
            worker=self._worker or 0,
        )
        await self._data.start()
        control.trials.attach(self._data.services.inspecting)
        approvals = self._data.tools.tooling.approvals
        if control.link is not None:
            approvals.on_change = lambda call: control.link.publish(notice_of(call)) if control.link else None
        else:
            self._desk = ApprovalDesk(approvals)
        observing.watch(self._data, audit.backlog)
        self.port = self._data.port
        if control.link is not None:
            control.link.accept()

    async def _open_admin(self, audit: AuditLog) -> None:
        control = self.control
        services = self._services(audit)
        secure = self.settings.admin_url.startswith("https://")
        door = Door(
            services.signin,
            Idempotency(control.database, control.keyring),
            services.tenants.exists,
            self._log,
            secure=secure,
        )
        endpoints = all_endpoints(services, sorted(self.settings.upstreams))
        app = admin_app(services, door, endpoints, self._observing.metrics.expose)
        # an event stream ends when its listener goes; without cancellation it would outlive the connection
        self._admin = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=2.0, max_line_size=65_536
        )
        await self._admin.setup()
        host, port = self.settings.address("admin")
        await web.TCPSite(self._admin, host, port).start()
        self.admin_url = f"http://{host}:{self._admin.addresses[0][1]}"
        if control.owner_token:
            self.owner_link = f"{self.settings.admin_url or self.admin_url}/claim#{control.owner_token}"
        with contextlib.suppress(DatabaseDownError):
            self._mode = (await services.toggles.get(EVERYWHERE)).mode
        if control.link_server is not None:
            server = control.link_server
            self._desk.send = server.command
            server.on_event = lambda data: None if self._desk.receive(data) else self._hub.receive(data)
            self._hub.on_wanted(lambda wanted: server.command(EVENTS_ON if wanted else EVENTS_OFF, standing="events"))

    def _services(self, audit: AuditLog) -> AdminServices:
        settings, control = self.settings, self.control
        changes = control.changes(audit.recorder)
        compiler = Compiler(control.loader)
        upstreams = frozenset(settings.upstreams)
        return AdminServices(
            changes=changes,
            signin=SignIn(changes, Passwords()),
            tenants=Tenants(changes),
            members=Members(changes),
            keys=VirtualKeys(changes, compiler.shipped_names()),
            provider_keys=ProviderKeys(changes, control.keyring, upstreams),
            agents=Agents(changes, compiler),
            policies=Policies(changes, compiler),
            toggles=Toggles(changes, settings.mode),
            compiler=compiler,
            keyring=control.keyring,
            prices=control.prices,
            hub=self._hub,
            audit_folder=Path(settings.data) / "audit",
            degraded=self.degraded,
            is_ready=lambda: self._is_accepting,
            problems=self.problems,
            workers=lambda: len(control.link_server.lines) if control.link_server is not None else 1,
            oidc=self._open_oidc(),
            public_url=lambda: settings.admin_url.rstrip("/") or self.admin_url,
            approvals=self._desk,
            pins=PinBook(pins_path(settings)),
        )

    def _open_oidc(self) -> OidcClient | None:
        settings = self.settings
        if not settings.oidc_issuer:
            return None
        role = settings.oidc_default_role
        if role and role not in set(Role):
            raise ConfigError(f"oidc_default_role `{role}`: there are {', '.join(Role)}")
        self._oidc = aiohttp.ClientSession()
        return OidcClient(
            OidcSettings(
                settings.oidc_issuer,
                settings.oidc_client_id,
                settings.oidc_client_secret,
                Role(role) if role else None,
            ),
            self._oidc,
        )

    async def accepting(self) -> None:
        """Waits until every worker accepts connections; from then on the admin port says that it is ready."""
        if self.control.link_server is not None:
            await self.control.link_server.accepting(self.settings.workers)
        self._is_accepting = True

    def degraded(self) -> list[str]:
        """What is not working right now: the control plane's parts, the audit log's, and workers that are away."""
        server = self.control.link_server
        away = server is not None and self._is_accepting and server.accept_count < self.settings.workers
        audit = self._audit.degraded() if self._audit is not None else []
        tools = ["tool_servers"] if self._failing_servers() else []
        return [*self.control.degraded(), *audit, *tools, *(["workers"] if away else [])]

    def problems(self) -> list[str]:
        """What could not be put in force as written, and tool servers of this process that cannot start."""
        return [*self.control.problems(), *(f"mcp:{name}" for name in self._failing_servers())]

    def _failing_servers(self) -> list[str]:
        gateway = self._data.tools.gateway if self._data is not None and hasattr(self._data, "tools") else None
        return gateway.failing() if gateway is not None else []

    def _observe(self, record: ExchangeRecord) -> None:
        """Live events: to listeners here, or to the supervisor while somebody listens there."""
        if self.control.link is None:
            self._hub.observe(record)
        elif self._events_wanted:
            self.control.link.publish(encode_event(record))

    def _obey(self, command: bytes) -> None:
        if command in (EVENTS_ON, EVENTS_OFF):
            self._events_wanted = command == EVENTS_ON
        elif self._data is not None:
            obey(self._data.tools.tooling.approvals, command)

    async def stop(self) -> None:
        """Closes the data port first, so that exchanges under way are still recorded; also a start that failed.

        One part that fails to stop keeps none of the others open: a thread left behind would hold the process.
        """
        if not self._started:
            return
        async with contextlib.AsyncExitStack() as closing:  # the last one pushed goes first
            closing.push_async_callback(self._observing.stop)
            closing.push_async_callback(self.control.stop)
            if self._audit is not None:
                closing.push_async_callback(self._audit.stop)
            if self._oidc is not None:
                closing.push_async_callback(self._oidc.close)
            if self._admin is not None:
                closing.push_async_callback(self._admin.cleanup)
            if self._data is not None:
                closing.push_async_callback(self._data.stop)

    def mode_name(self) -> str:
        """The mode in force, for the banner."""
        return self._mode.value
