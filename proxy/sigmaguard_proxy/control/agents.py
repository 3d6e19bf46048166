"""Agents' settings: firewall on or off, which policy, rules of their own as JSON, limits."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy import RowMapping

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.control.change import Actor, Changes, check_version
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.errors import NotFoundError, invalid
from sigmaguard_proxy.control.limits import LimitSet
from sigmaguard_proxy.control.naming import check_policy
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, page
from sigmaguard_proxy.control.snapshot import CUSTOM
from sigmaguard_proxy.control.tables import agents
from sigmaguard_proxy.control.words import Prose, Slug

Json = dict[str, Any]


class AgentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent as it shall be.

    `firewall` off lets everything of this agent pass uninspected. `policy` is `off`, `basic`, `strict`, a
    policy of the tenant's, `custom` for `pack`, or null to inherit. `rules` are rule files added to whatever
    policy runs: `{"detector": "leaks", "rules": [{"id", "description", "match", "miss", "pattern"}]}`.
    Callers name an agent by a key bound to it or, if `trust_header`, by the header `x-sigmaguard-agent` alone;
    without `trust_header` the header never makes anything weaker.
    """

    description: Prose = ""
    firewall: bool = True
    policy: Slug | None = None
    pack: Json | None = None
    rules: Annotated[tuple[Json, ...], msgspec.Meta(max_length=50)] = ()
    trust_header: bool = False
    limits: LimitSet = LimitSet()


class Agent(msgspec.Struct, frozen=True):
    """An agent's settings as they are."""

    name: str
    description: str
    firewall: bool
    policy: str | None
    pack: Json | None
    rules: tuple[Json, ...]
    trust_header: bool
    limits: LimitSet
    created_by: str
    created_at: datetime
    version: int


class Agents:
    """A tenant's agents."""

    def __init__(self, changes: Changes, compiler: Compiler) -> None:
        self._changes = changes
        self._compiler = compiler

    async def many(self, tenant: str, paging: Paging) -> Page[Agent]:
        """Agents by name."""
        async with self._changes.read(tenant) as scope:
            rows = list(await scope.fetch(cut(scope.select(agents), agents.c.name, paging)))
        return page(rows, agents.c.name, paging, _agent)

    async def get(self, tenant: str, name: str) -> Agent:
        """One agent. Raises NotFoundError."""
        async with self._changes.read(tenant) as scope:
            row = await scope.one(agents, agents.c.name == name)
        if row is None:
            raise _unknown(name)
        return _agent(row)

    async def put(self, tenant: str, name: str, order: AgentOrder, actor: Actor, expected: int | None) -> Agent:
        """Makes or replaces an agent's settings. Raises InvalidError with the place, and changes nothing then."""
        await self._check(name, order)
        async with self._changes.change(tenant, actor) as change:
            if order.policy is not None and order.policy != CUSTOM:
                await check_policy(change.scope, order.policy, self._compiler.shipped_names())
            row = await change.scope.one(agents, agents.c.name == name)
            check_version(expected, row["version"] if row else 0)
            values = {
                **msgspec.to_builtins(order),
                "version": (row["version"] if row else 0) + 1,
            }
            if row is None:
                await change.scope.insert(
                    agents, {**values, "name": name, "created_by": actor.label, "created_at": change.at}
                )
            else:
                await change.scope.update(agents, agents.c.name == name, values=values)
            change.act(
                "agent.changed" if row else "agent.made",
                name,
                firewall=order.firewall,
                policy=order.policy,
                rules=len(order.rules),
                trust_header=order.trust_header,
            )
        return await self.get(tenant, name)

    async def delete(self, tenant: str, name: str, actor: Actor, expected: int | None) -> None:
        """Forgets an agent's settings. Raises NotFoundError, StaleError."""
        async with self._changes.change(tenant, actor) as change:
            row = await change.scope.one(agents, agents.c.name == name)
            if row is None:
                raise _unknown(name)
            check_version(expected, row["version"])
            await change.scope.delete(agents, agents.c.name == name)
            change.act("agent.deleted", name)

    async def _check(self, name: str, order: AgentOrder) -> None:
        if (order.policy == CUSTOM) != (order.pack is not None):
            raise invalid("pack", "goes with `policy: custom`, and only with it")
        if order.pack is None and not order.rules:
            return
        # without a pack the rules run under another policy: they are proven under one that has just their detectors
        raw = order.pack if order.pack is not None else {"detectors": {str(r.get("detector")): {} for r in order.rules}}
        try:
            await asyncio.to_thread(self._compiler.check, raw, f"agent-{name}", order.rules)
        except ConfigError as error:
            raise invalid("pack" if order.pack is not None else "rules", str(error)) from error


def _agent(row: RowMapping) -> Agent:
    return Agent(
        row["name"],
        row["description"],
        row["firewall"],
        row["policy"],
        row["pack"],
        tuple(row["rules"]),
        row["trust_header"],
        msgspec.convert(row["limits"], LimitSet),
        row["created_by"],
        moment(row["created_at"]),
        row["version"],
    )


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there are no settings for an agent `{name}` in this tenant")
