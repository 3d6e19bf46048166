"""Builds what serves tools in one worker: the MCP gateway and the egress, with what they share."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from sigmaguard_proxy.egress.plane import Egress
from sigmaguard_proxy.egress.settings import parse_egress
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.mcp.gateway import Gateway
from sigmaguard_proxy.mcp.settings import parse_mcp
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tooling.forwarding import Forwarder, Keeper, socket_file
from sigmaguard_proxy.tooling.tooling import Tooling

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def pins_path(settings: Settings) -> Path:
    """Where the pinned tool definitions are kept, for workers and the admin port."""
    return Path(settings.data) / "mcp-pins.json"


class ToolPlane:
    """The tool side of a worker. `mounts` maps a path's first part to its handler."""

    def __init__(
        self, settings: Settings, services: Services, record: Callable[[Exchange], None], *, worker: int = 0
    ) -> None:
        """Raises ConfigError where `mcp` or `egress` are not what they should be."""
        self.tooling = services.tooling or Tooling()
        mounts: dict[str, Handler] = {}
        self.gateway: Gateway | None = None
        self._keeper: Keeper | None = None
        self._forwarder: Forwarder | None = None
        if settings.mcp:
            parsed = parse_mcp(settings.mcp)
            path = socket_file(Path(settings.data), "mcp.sock")
            if worker:
                self._forwarder = Forwarder(path)
                mounts["mcp"] = mounts[".well-known"] = self._forwarder.handle
            else:
                self.gateway = Gateway(services, parsed, self.tooling, record, pins_path(settings))
                mounts["mcp"] = self.gateway.handle
                mounts[".well-known"] = self.gateway.describe
                if settings.workers > 1:
                    self._keeper = Keeper(path, self.gateway.any)
        self.egress: Egress | None = None
        if settings.egress:
            self.egress = Egress(services, parse_egress(settings.egress), self.tooling, record)
            mounts["egress"] = self.egress.handle
        self.mounts: Mapping[str, Handler] = mounts

    async def start(self) -> None:
        """Opens what other workers come through. Raises OSError."""
        if self._keeper is not None:
            await self._keeper.start()

    async def close(self) -> None:
        """Ends every tool server that was started and closes every connection."""
        if self._keeper is not None:
            await self._keeper.close()
        if self._forwarder is not None:
            await self._forwarder.close()
        if self.gateway is not None:
            await self.gateway.close()
        if self.egress is not None:
            await self.egress.close()
