"""Virtual keys: made, listed, changed, rotated, revoked. A key is shown once and kept as a digest."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from ipaddress import ip_network
from typing import Annotated, Any

import msgspec
from sqlalchemy import RowMapping

from sigmaguard_proxy.control.change import Actor, Change, Changes, check_version
from sigmaguard_proxy.control.errors import ConflictError, ForbiddenError, NotFoundError, invalid
from sigmaguard_proxy.control.ids import VIRTUAL_KEY, digest, hint, new_id, new_token
from sigmaguard_proxy.control.limits import LimitSet
from sigmaguard_proxy.control.naming import check_policy
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, moment_or_none, page
from sigmaguard_proxy.control.permissions import Permission
from sigmaguard_proxy.control.tables import agents, virtual_keys
from sigmaguard_proxy.control.words import AgentName, Label, Slug, Word

May = frozenset[Permission]
Words = Annotated[tuple[Word, ...], msgspec.Meta(max_length=200)]
Networks = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[0-9a-fA-F.:/]+$", examples=["10.0.0.0/8"])], ...],
    msgspec.Meta(max_length=100, description="IP addresses or ranges; empty allows every address."),
]


class KeyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made. What is empty restricts nothing.

    `agent` binds the key to one agent. `policy` outranks every other, so naming one needs `policy.promote`; a key for
    an agent that runs without a firewall needs `agent.write`. `models` are whole names. `endpoints` are
    paths: `/v1/chat/completions`, `/mcp/NAME`, `/mcp` for all tool servers at once, `/egress/NAME`. `tools` are
    patterns such as `git/*`.
    """

    name: Label
    agent: AgentName | None = None
    models: Words = ()
    endpoints: Words = ()
    tools: Words = ()
    networks: Networks = ()
    policy: Slug | None = None
    limits: LimitSet = LimitSet()
    expires_at: datetime | None = None


class KeyEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change about a key; what is left out stays. `null` takes a policy or an expiry away."""

    name: Label | msgspec.UnsetType = msgspec.UNSET
    models: Words | msgspec.UnsetType = msgspec.UNSET
    endpoints: Words | msgspec.UnsetType = msgspec.UNSET
    tools: Words | msgspec.UnsetType = msgspec.UNSET
    networks: Networks | msgspec.UnsetType = msgspec.UNSET
    policy: Slug | msgspec.UnsetType | None = msgspec.UNSET
    limits: LimitSet | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class VirtualKey(msgspec.Struct, frozen=True):
    """A virtual key as it may be shown; `hint` are its last characters."""

    id: str
    name: str
    hint: str
    agent: str | None
    models: tuple[str, ...]
    endpoints: tuple[str, ...]
    tools: tuple[str, ...]
    networks: tuple[str, ...]
    policy: str | None
    limits: LimitSet
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    version: int


class NewVirtualKey(msgspec.Struct, frozen=True):
    """A key just made: `secret` is shown this once. `warnings` are what may not be as it was meant."""

    secret: str
    key: VirtualKey
    warnings: tuple[str, ...] = ()


class VirtualKeys:
    """A tenant's virtual keys. `may` is what who asks may do in the tenant.

    Making keys is a developer's business; what a key is guarded by and how much it may spend is another's. Otherwise
    whoever makes keys could turn the firewall off with one.
    """

    def __init__(self, changes: Changes, shipped: Sequence[str]) -> None:
        self._changes = changes
        self._shipped = shipped

    async def make(self, tenant: str, order: KeyOrder, actor: Actor, may: May) -> NewVirtualKey:
        """A new key. Raises InvalidError, ForbiddenError where its maker may not decide how it is guarded."""
        secret = new_token(VIRTUAL_KEY)
        values = {
            "id": new_id("key"),
            "digest": digest(secret),
            "hint": hint(secret),
            "agent": order.agent or "",
            "created_by": actor.label,
            "revoked_at": None,
            "version": 1,
            **_columns(msgspec.structs.asdict(order)),
        }
        async with self._changes.change(tenant, actor) as change:
            values["created_at"] = change.at
            await self._check(change, values)
            await _check_guarded(change, values, may)
            await change.scope.insert(virtual_keys, values)
            change.act("key.made", values["id"], name=order.name, agent=values["agent"], policy=order.policy)
            row = await self._row(change, values["id"])
            warnings = await _unknown_agent(change, values["agent"])
        return NewVirtualKey(secret, _key(row), warnings)

    async def many(
        self, tenant: str, paging: Paging, *, agent: str = "", revoked: bool | None = None
    ) -> Page[VirtualKey]:
        """Keys, the newest first."""
        where = []
        if agent:
            where.append(virtual_keys.c.agent == agent)
        if revoked is not None:
            where.append(virtual_keys.c.revoked_at.is_not(None) if revoked else virtual_keys.c.revoked_at.is_(None))
        async with self._changes.read(tenant) as scope:
            statement = scope.select(virtual_keys).where(*where)
            rows = list(await scope.fetch(cut(statement, virtual_keys.c.id, paging, newest_first=True)))
        return page(rows, virtual_keys.c.id, paging, _key)

    async def get(self, tenant: str, key_id: str) -> VirtualKey:
        """One key. Raises NotFoundError."""
        async with self._changes.read(tenant) as scope:
            row = await scope.one(virtual_keys, virtual_keys.c.id == key_id)
        if row is None:
            raise _unknown(key_id)
        return _key(row)

    async def edit(
        self, tenant: str, key_id: str, edit: KeyEdit, actor: Actor, expected: int | None, *, may: May
    ) -> VirtualKey:
        """Changes a key. Raises NotFoundError, StaleError, InvalidError, ForbiddenError, ConflictError if revoked."""
        given = {name: value for name, value in msgspec.structs.asdict(edit).items() if value is not msgspec.UNSET}
        check = partial(_check_edit, values=(values := _columns(given)), may=may)
        return await self._update(tenant, key_id, values, actor, expected, "key.changed", check, sorted(given))

    async def rotate(self, tenant: str, key_id: str, actor: Actor, expected: int | None, *, may: May) -> NewVirtualKey:
        """A new secret for a key; the old one stops working at once. Raises like `edit`."""
        secret = new_token(VIRTUAL_KEY)
        values = {"digest": digest(secret), "hint": hint(secret)}
        # who rotates a key holds it then: as if it were made
        check = partial(_check_guarded, may=may)
        key = await self._update(tenant, key_id, values, actor, expected, "key.rotated", check)
        return NewVirtualKey(secret, key)

    async def revoke(self, tenant: str, key_id: str, actor: Actor, expected: int | None) -> VirtualKey:
        """Ends a key for good. Raises like `edit`."""
        return await self._update(tenant, key_id, {"revoked_at": time.time()}, actor, expected, "key.revoked")

    async def _update(
        self,
        tenant: str,
        key_id: str,
        values: dict[str, Any],
        actor: Actor,
        expected: int | None,
        action: str,
        check: Callable[[Change, RowMapping], Awaitable[None]] | None = None,
        changed: Sequence[str] = (),
    ) -> VirtualKey:
        async with self._changes.change(tenant, actor) as change:
            row = await self._row(change, key_id)
            check_version(expected, row["version"])
            if row["revoked_at"] is not None:
                raise ConflictError(f"key `{key_id}` was revoked; make a new one")
            if check is not None:
                await check(change, row)
            await self._check(change, values)
            await change.scope.update(
                virtual_keys, virtual_keys.c.id == key_id, values={**values, "version": row["version"] + 1}
            )
            change.act(action, key_id, **({"changed": list(changed)} if changed else {}))
            row = await self._row(change, key_id)
        return _key(row)

    async def _check(self, change: Change, values: dict[str, Any]) -> None:
        if values.get("policy") is not None:
            await check_policy(change.scope, values["policy"], self._shipped)

    async def _row(self, change: Change, key_id: str) -> RowMapping:
        row = await change.scope.one(virtual_keys, virtual_keys.c.id == key_id)
        if row is None:
            raise _unknown(key_id)
        return row


async def _check_guarded(change: Change, key: Mapping[str, Any] | RowMapping, may: May) -> None:
    """Raises ForbiddenError where holding such a key would decide what inspects its traffic."""
    if key["policy"] is not None and Permission.POLICY_PROMOTE not in may:
        raise _forbidden("a key with a policy of its own", Permission.POLICY_PROMOTE)
    if not key["agent"] or Permission.AGENT_WRITE in may:
        return
    agent = await change.scope.one(agents, agents.c.name == key["agent"])
    if agent is not None and (not agent["firewall"] or agent["policy"] == "off"):
        raise _forbidden(f"a key for `{key['agent']}`, an agent without a firewall,", Permission.AGENT_WRITE)


async def _unknown_agent(change: Change, name: str) -> tuple[str, ...]:
    """A warning where nothing is set for the key's agent: a name is enough to be one, but it may be a slip."""
    if not name:
        return ()
    known = [row["name"] for row in await change.scope.fetch(change.scope.select(agents))]
    if name in known:
        return ()
    nearest = "".join(f"; did you mean `{one}`?" for one in get_close_matches(name, known, 1))
    return (f"there are no settings for an agent `{name}`: it runs under the tenant's{nearest}",)


async def _check_edit(change: Change, row: RowMapping, *, values: Mapping[str, Any], may: May) -> None:
    """Raises ForbiddenError where a change decides what inspects the traffic, or how much may be spent."""
    if values.get("policy", row["policy"]) != row["policy"] and Permission.POLICY_PROMOTE not in may:
        raise _forbidden("giving a key another policy", Permission.POLICY_PROMOTE)
    # compared as limits: what is stored came through JSON, and has lists where a new order has tuples
    new, old = (msgspec.convert(one["limits"], LimitSet) for one in ({"limits": row["limits"], **values}, row))
    if new != old and Permission.LIMIT_WRITE not in may:
        raise _forbidden("giving a key other limits", Permission.LIMIT_WRITE)


def _forbidden(what: str, needed: Permission) -> ForbiddenError:
    return ForbiddenError(f"{what} needs the permission `{needed}`; ask somebody who has it")


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in given.items() if name != "agent"}
    for at, endpoint in enumerate(values.get("endpoints", ())):
        if not endpoint.startswith("/"):
            raise invalid(f"endpoints[{at}]", "not a path; write /v1/chat/completions, /mcp/NAME or /egress/NAME")
    for at, model in enumerate(values.get("models", ())):
        if "*" in model:
            raise invalid(f"models[{at}]", "write whole names; only `tools` takes patterns")
    if "networks" in values:
        values["networks"] = [_network(one, at) for at, one in enumerate(values["networks"])]
    for name in ("models", "endpoints", "tools"):
        if name in values:
            values[name] = list(values[name])
    if "limits" in values:
        values["limits"] = msgspec.to_builtins(values["limits"])
    expires_at = values.get("expires_at")
    if expires_at is not None:
        values["expires_at"] = unix(expires_at, "expires_at")
    return values


def unix(at: datetime, where: str) -> float:
    """A time as Unix seconds; one without a zone is UTC. Raises InvalidError for the past."""
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds <= time.time():
        raise invalid(where, "lies in the past")
    return seconds


def _network(text: str, at: int) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise invalid(f"networks[{at}]", "not an IP address or range; write 10.0.0.0/8 or 2001:db8::/32") from error


def _key(row: RowMapping) -> VirtualKey:
    return VirtualKey(
        id=row["id"],
        name=row["name"],
        hint=row["hint"],
        agent=row["agent"] or None,
        models=tuple(row["models"]),
        endpoints=tuple(row["endpoints"]),
        tools=tuple(row["tools"]),
        networks=tuple(row["networks"]),
        policy=row["policy"],
        limits=msgspec.convert(row["limits"], LimitSet),
        created_by=row["created_by"],
        created_at=moment(row["created_at"]),
        expires_at=moment_or_none(row["expires_at"]),
        revoked_at=moment_or_none(row["revoked_at"]),
        version=row["version"],
    )


def _unknown(key_id: str) -> NotFoundError:
    return NotFoundError(f"there is no key `{key_id}` in this tenant")
