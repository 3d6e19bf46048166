"""One process of the server: control plane, data plane and admin port, built and torn down in order."""

from pathlib import Path

from aiohttp import web

from sigmaguard.policy.compile import PolicyLoader
from sigmaguard_policies import policies_root
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.audit.audit_log import AuditLog
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, NoLimits
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.observing import Observing
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.store.database import open_database
from sigmaguard_proxy.store.location import locate
from sigmaguard_proxy.store.migrate import migrate


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
        self._observing = Observing(settings, worker, log)
        self._audit: AuditLog | None = None
        self._data: DataPlane | None = None
        self._admin: web.AppRunner | None = None

    async def start(self) -> None:
        """Loads the policy, then opens the ports. Raises ConfigError or OSError."""
        settings = self.settings
        policy = PolicyLoader(policies_root()).load(settings.policy)
        audit = await self._open_audit()
        if self._worker is not None:
            plane = Plane(FixedDirectory(policy, settings.mode), NoLimits(), audit.recorder, Healthy())
            observing = self._observing
            self._data = DataPlane(settings, plane, observing.observers, log=self._log, tracer=observing.tracing)
            await self._data.start()
            observing.watch(self._data, audit.backlog)
            self.port = self._data.port
        if self._with_admin:
            await self._open_admin()

    async def _open_audit(self) -> AuditLog:
        data = Path(self.settings.data)
        url = locate(data, self.settings.database_url)
        data.mkdir(parents=True, exist_ok=True)
        database = open_database(url)
        try:
            await migrate(database)
        finally:
            await database.close()
        self._audit = AuditLog(data, url, self._worker, self._log)
        self._audit.start()
        return self._audit

    async def _open_admin(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._expose)
        self._admin = web.AppRunner(app, access_log=None)
        await self._admin.setup()
        host, port = self.settings.address("admin")
        await web.TCPSite(self._admin, host, port).start()
        self.admin_url = f"http://{host}:{self._admin.addresses[0][1]}"

    async def _expose(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._observing.metrics.expose(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def stop(self) -> None:
        """Closes the data port first, so that exchanges under way are still recorded."""
        if self._data is not None:
            await self._data.stop()
        if self._audit is not None:
            await self._audit.stop()
        if self._admin is not None:
            await self._admin.cleanup()
        await self._observing.stop()

    def mode_name(self) -> str:
        """The mode in force, for the banner."""
        return self.settings.mode.value
