"""Everything the data plane must know, as plain rows from one read of the database. Decides nothing.

The rows are also written to a file beside the database: a worker that starts while the database is down
serves by what was last good. The file holds digests and ciphertexts, no secret.
"""

import contextlib
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard.model import Mode
from sigmaguard_proxy.control.change import generation_of
from sigmaguard_proxy.control.limits import LimitSet
from sigmaguard_proxy.control.tables import (
    agents,
    assignments,
    policies,
    policy_versions,
    provider_keys,
    state,
    tenants,
    toggles,
    virtual_keys,
)

FILE = "last-good.msgpack"
INSTALLATION = "installation"

T = TypeVar("T", bound=msgspec.Struct)


class TenantRow(msgspec.Struct, frozen=True):
    """A tenant."""

    id: str
    disabled: bool
    keep_content: bool
    limits: LimitSet


class KeyRow(msgspec.Struct, frozen=True):
    """A virtual key that is not revoked."""

    id: str
    tenant: str
    digest: str
    agent: str
    models: tuple[str, ...]
    endpoints: tuple[str, ...]
    tools: tuple[str, ...]
    networks: tuple[str, ...]
    policy: str | None
    limits: LimitSet
    expires_at: float | None


class ProviderKeyRow(msgspec.Struct, frozen=True):
    """A provider's key, sealed."""

    id: str
    tenant: str
    upstream: str
    sealed: bytes


class AgentRow(msgspec.Struct, frozen=True):
    """An agent's settings."""

    tenant: str
    name: str
    firewall: bool
    policy: str | None
    pack: dict[str, object] | None
    rules: tuple[dict[str, object], ...]
    trust_header: bool
    limits: LimitSet


class PolicyRow(msgspec.Struct, frozen=True):
    """A version of a policy that is in force (`staged` false) or on trial."""

    tenant: str
    name: str
    number: int
    staged: bool
    pack: dict[str, object]


class AssignmentRow(msgspec.Struct, frozen=True):
    """Which policy a tenant or a route runs."""

    tenant: str
    kind: str
    target: str
    policy: str


class ToggleRow(msgspec.Struct, frozen=True):
    """The mode of everything (`*`) or one tenant."""

    scope: str
    mode: Mode


class Rows(msgspec.Struct, frozen=True):
    """One state of the control plane."""

    generation: int = 0
    secret: bytes = b""
    tenants: tuple[TenantRow, ...] = ()
    keys: tuple[KeyRow, ...] = ()
    provider_keys: tuple[ProviderKeyRow, ...] = ()
    agents: tuple[AgentRow, ...] = ()
    policies: tuple[PolicyRow, ...] = ()
    assignments: tuple[AssignmentRow, ...] = ()
    toggles: tuple[ToggleRow, ...] = ()


async def load_rows(connection: AsyncConnection) -> Rows:
    """One consistent state: the caller's connection is in one transaction."""
    secret = (await connection.execute(select(state.c.sealed).where(state.c.name == INSTALLATION))).scalar()
    running = policies.join(
        policy_versions,
        (policies.c.tenant == policy_versions.c.tenant)
        & (policies.c.name == policy_versions.c.policy)
        & ((policies.c.active == policy_versions.c.number) | (policies.c.staged == policy_versions.c.number)),
    )
    versions = select(
        policies.c.tenant,
        policies.c.name,
        policy_versions.c.number,
        policy_versions.c.pack,
        # one version may be both: then the trial is over
        (policies.c.active.is_distinct_from(policy_versions.c.number)).label("staged"),
    ).select_from(running)
    return Rows(
        generation=await generation_of(connection),
        secret=secret or b"",
        tenants=await _fetch(connection, select(tenants), TenantRow),
        keys=await _fetch(connection, select(virtual_keys).where(virtual_keys.c.revoked_at.is_(None)), KeyRow),
        provider_keys=await _fetch(connection, select(provider_keys), ProviderKeyRow),
        agents=await _fetch(connection, select(agents), AgentRow),
        policies=await _fetch(connection, versions, PolicyRow),
        assignments=await _fetch(connection, select(assignments), AssignmentRow),
        toggles=await _fetch(connection, select(toggles), ToggleRow),
    )


async def load_modes(connection: AsyncConnection) -> dict[str, Mode]:
    """The toggles alone, by scope."""
    return {row.scope: row.mode for row in await _fetch(connection, select(toggles), ToggleRow)}


async def _fetch(connection: AsyncConnection, statement: Select[*tuple[Any, ...]], kind: type[T]) -> tuple[T, ...]:
    rows = (await connection.execute(statement)).mappings().all()
    fields = kind.__struct_fields__
    return tuple(msgspec.convert({name: row[name] for name in fields}, kind, strict=False) for row in rows)


def save_rows(folder: Path, rows: Rows) -> None:
    """Writes the rows for a worker that starts without a database; a full disk is no reason to stop."""
    draft = folder / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode(rows))
        draft.replace(folder / FILE)


def saved_rows(folder: Path) -> Rows | None:
    """The rows that were last good, None where there are none."""
    try:
        return msgspec.msgpack.decode((folder / FILE).read_bytes(), type=Rows)
    except (OSError, msgspec.MsgspecError):
        return None
