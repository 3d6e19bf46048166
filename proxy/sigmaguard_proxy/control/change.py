"""How everything in the control plane is changed: one transaction, one generation more, one act in the audit log.

Knows no table but `state`. A change that cannot be written to the audit log does not happen.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.control.errors import StaleError
from sigmaguard_proxy.control.permissions import EVERYWHERE
from sigmaguard_proxy.control.tables import state
from sigmaguard_proxy.store.database import Database
from sigmaguard_proxy.store.scope import Scope

GENERATION = "generation"


class Actor(msgspec.Struct, frozen=True):
    """Who does something: `id` a user's, or `system`; `via` is `session`, `token` or `system`."""

    id: str
    email: str = ""
    via: str = "system"

    @property
    def label(self) -> str:
        """How the audit log names them."""
        return self.email or self.id


SYSTEM = Actor("system")


class Acts(Protocol):
    """Takes administrative acts durably; the audit log's recorder."""

    def record_act(
        self, tenant: str, actor: str, action: str, target: str, details: Mapping[str, Any] | None = None
    ) -> str:
        """Writes an act down and returns its id. Raises OSError."""
        ...


class Change:
    """One change under way: a scope to write through, and the acts that describe it."""

    def __init__(self, connection: AsyncConnection, tenant: str, actor: Actor) -> None:
        self.connection = connection
        self.scope = Scope(connection, tenant)
        self.actor = actor
        self.at = time.time()
        self.acts: list[tuple[str, str, dict[str, Any]]] = []

    def act(self, action: str, target: str, **details: Any) -> None:
        """Says what is being done: `noun.verb` in the past, to what; details carry no secret."""
        self.acts.append((action, target, details))


class Changes:
    """Makes changes, and tells who wants to know that there was one."""

    def __init__(self, database: Database, acts: Acts, notify: Callable[[int], None]) -> None:
        self.database = database
        self._acts = acts
        self._notify = notify

    @asynccontextmanager
    async def change(self, tenant: str, actor: Actor) -> AsyncIterator[Change]:
        """A transaction in one tenant (`*` for the installation). Raises DatabaseDownError, OSError."""
        async with self.database.write() as connection:
            change = Change(connection, tenant, actor)
            yield change
            generation = await _next_generation(connection)
            # before the commit: what cannot be recorded is not done
            for action, target, details in change.acts:
                self._acts.record_act(tenant, actor.label, action, target, {**details, "via": actor.via})
        self._notify(generation)

    def note(self, tenant: str, actor: Actor, action: str, target: str, **details: Any) -> None:
        """Writes an act down that changes nothing anybody runs by, such as a login. Raises OSError."""
        self._acts.record_act(tenant, actor.label, action, target, {**details, "via": actor.via})

    @asynccontextmanager
    async def read(self, tenant: str) -> AsyncIterator[Scope]:
        """A look at one tenant. Raises DatabaseDownError."""
        async with self.database.read() as connection:
            yield Scope(connection, tenant)

    async def everywhere(self) -> int:
        """The number of the last change."""
        async with self.database.read() as connection:
            return await generation_of(connection)


async def generation_of(connection: AsyncConnection) -> int:
    """The number of the last change, 0 before the first."""
    row = (await connection.execute(select(state.c.number).where(state.c.name == GENERATION))).first()
    return int(row[0]) if row else 0


async def _next_generation(connection: AsyncConnection) -> int:
    statement = update(state).where(state.c.name == GENERATION).values(number=state.c.number + 1)
    await connection.execute(statement)
    return await generation_of(connection)


def check_version(expected: int | None, actual: int) -> None:
    """Raises StaleError where the caller saw another version."""
    if expected is not None and expected != actual:
        raise StaleError(f"this is version {actual} now, you changed version {expected}: read it again")


__all__ = ["EVERYWHERE", "SYSTEM", "Actor", "Acts", "Change", "Changes", "check_version", "generation_of"]
