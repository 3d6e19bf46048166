"""The installation itself: what runs, what does not, roles, the encryption key."""

import asyncio
from functools import partial
from importlib.metadata import version

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.admin.endpoint import Call, Endpoint, NoQuery
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.errors import ConflictError
from sigmaguard_proxy.control.paging import Page
from sigmaguard_proxy.control.permissions import ROLES, Permission, Role
from sigmaguard_proxy.control.providers import Resealed


class System(msgspec.Struct, frozen=True):
    """The installation. `degraded` is what does not work right now, `problems` what could not be put in force."""

    version: str
    workers: int
    degraded: tuple[str, ...]
    problems: tuple[str, ...]
    upstreams: tuple[str, ...]
    encryption_key: str
    encryption_source: str


class RoleInfo(msgspec.Struct, frozen=True):
    """What a role may do."""

    role: Role
    permissions: tuple[Permission, ...]


class SystemEndpoints:
    """Handlers of the installation."""

    def __init__(self, services: AdminServices, upstreams: tuple[str, ...]) -> None:
        self._services = services
        self._upstreams = upstreams

    async def system(self, call: Call[None, NoQuery]) -> System:
        """What runs and what does not."""
        services = self._services
        return System(
            version("sigmaguard"),
            services.workers(),
            tuple(services.degraded()),
            tuple(services.problems()),
            self._upstreams,
            services.keyring.key_id,
            services.keyring.source.name,
        )

    async def roles(self, call: Call[None, NoQuery]) -> Page[RoleInfo]:
        """Every role."""
        return Page(tuple(RoleInfo(role, tuple(sorted(may))) for role, may in ROLES.items()))

    async def rotate(self, call: Call[None, NoQuery]) -> Resealed:
        """A new encryption key; everything is sealed with it, old ciphertexts open as before."""
        keyring = self._services.keyring
        try:
            await asyncio.to_thread(keyring.rotate)
        except ConfigError as error:
            raise ConflictError(str(error), "key_source_read_only") from error
        return await self._services.provider_keys.reseal(call.actor)

    async def reseal(self, call: Call[None, NoQuery]) -> Resealed:
        """Seals everything with the key in use, after it was changed at its source."""
        try:
            await asyncio.to_thread(self._services.keyring.reload)
        except ConfigError as error:
            raise ConflictError(str(error), "key_source_unreadable") from error
        return await self._services.provider_keys.reseal(call.actor)

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        one = partial(Endpoint, tag="System", where="installation")
        write = Permission.SYSTEM_WRITE
        return [
            one(
                method="GET",
                path="/system",
                name="getSystem",
                summary="What runs and what does not",
                permission=Permission.SYSTEM_READ,
                handler=self.system,
                answer=System,
            ),
            one(
                method="GET",
                path="/roles",
                name="listRoles",
                summary="What each role may do",
                where="self",
                handler=self.roles,
                answer=Page[RoleInfo],
            ),
            one(
                method="POST",
                path="/encryption-key/rotate",
                name="rotateEncryptionKey",
                summary="Make a new encryption key and seal everything with it",
                permission=write,
                handler=self.rotate,
                answer=Resealed,
            ),
            one(
                method="POST",
                path="/encryption-key/reseal",
                name="reseal",
                summary="Seal everything with the encryption key in use",
                permission=write,
                handler=self.reseal,
                answer=Resealed,
            ),
        ]
