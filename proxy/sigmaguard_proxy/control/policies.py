"""Policies as versions: written, compared, tried, put in force, taken back. A broken one never gets anywhere."""

import asyncio
import difflib
from typing import Annotated, Any

import msgspec
import yaml
from sqlalchemy import RowMapping

from sigmaguard.errors import ConfigError
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.control.change import Actor, Change, Changes, check_version
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.errors import ConflictError, NotFoundError, invalid
from sigmaguard_proxy.control.ids import new_id
from sigmaguard_proxy.control.naming import check_policy, check_unused
from sigmaguard_proxy.control.paging import Page, Paging, cut, decode_cursor, moment, page
from sigmaguard_proxy.control.policy_shapes import (
    Assignment,
    AssignmentOrder,
    FieldChange,
    Json,
    PolicyDiff,
    PolicyMove,
    PolicyOrder,
    PolicySummary,
    PolicyVersion,
    Trials,
    VersionOrder,
)
from sigmaguard_proxy.control.tables import assignments, policies, policy_moves, policy_trials, policy_versions
from sigmaguard_proxy.store.scope import Scope

Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Policies:
    """A tenant's policies."""

    def __init__(self, changes: Changes, compiler: Compiler) -> None:
        self._changes = changes
        self._compiler = compiler

    async def compiled(self, raw: Json, name: str) -> Policy:
        """The policy, its rules proven. Raises InvalidError with the place."""
        try:
            return await asyncio.to_thread(self._compiler.check, raw, name)
        except ConfigError as error:
            raise invalid("pack", str(error)) from error

    async def make(self, tenant: str, order: PolicyOrder, actor: Actor) -> PolicySummary:
        """A new policy with its first version. Raises InvalidError, ConflictError."""
        if order.name in self._compiler.shipped_names() or order.name == "custom":
            raise ConflictError(f"`{order.name}` is taken by Sigmaguard itself; choose another name")
        compiled = await self.compiled(order.pack, order.name)
        async with self._changes.change(tenant, actor) as change:
            if await change.scope.one(policies, policies.c.name == order.name):
                raise ConflictError(f"there is a policy `{order.name}` already; add a version to it")
            await change.scope.insert(
                policies,
                {
                    "name": order.name,
                    "description": order.description,
                    "active": None,
                    "staged": None,
                    "latest": 1,
                    "created_at": change.at,
                    "version": 1,
                },
            )
            await self._write(change, order.name, 1, order.pack, order.comment, compiled)
            change.act("policy.made", order.name, number=1, comment=order.comment)
        return await self.get(tenant, order.name)

    async def edit(
        self, tenant: str, name: str, order: VersionOrder, actor: Actor, expected: int | None
    ) -> PolicyVersion:
        """A new version. Raises InvalidError, NotFoundError, StaleError."""
        compiled = await self.compiled(order.pack, name)
        async with self._changes.change(tenant, actor) as change:
            row = await self._row(change.scope, name)
            check_version(expected, row["version"])
            number = row["latest"] + 1
            await self._write(change, name, number, order.pack, order.comment, compiled)
            await change.scope.update(
                policies, policies.c.name == name, values={"latest": number, "version": row["version"] + 1}
            )
            change.act("policy.edited", name, number=number, comment=order.comment)
        return await self.version(tenant, name, number)

    async def _write(self, change: Change, name: str, number: int, pack: Json, comment: str, compiled: Policy) -> None:
        await change.scope.insert(
            policy_versions,
            {
                "policy": name,
                "number": number,
                "pack": pack,
                "revision": compiled.revision,
                "comment": comment,
                "author": change.actor.label,
                "created_at": change.at,
            },
        )

    async def many(self, tenant: str, paging: Paging) -> Page[PolicySummary]:
        """The tenant's policies by name; shipped ones lead the first page."""
        async with self._changes.read(tenant) as scope:
            rows = list(await scope.fetch(cut(scope.select(policies), policies.c.name, paging)))
        own = page(rows, policies.c.name, paging, _summary)
        if paging.cursor:
            return own
        shipped = tuple(_shipped(name, self._compiler.description(name)) for name in self._compiler.shipped_names())
        return Page((*shipped, *own.items), own.next)

    async def get(self, tenant: str, name: str) -> PolicySummary:
        """One policy. Raises NotFoundError."""
        if name in self._compiler.shipped_names():
            return _shipped(name, self._compiler.description(name))
        async with self._changes.read(tenant) as scope:
            return _summary(await self._row(scope, name))

    async def versions(self, tenant: str, name: str, paging: Paging) -> Page[PolicyVersion]:
        """Its versions, the oldest first."""
        async with self._changes.read(tenant) as scope:
            await self._row(scope, name)
            number = policy_versions.c.number
            statement = scope.select(policy_versions).where(policy_versions.c.policy == name)
            statement = statement.order_by(number.asc()).limit(paging.limit + 1)
            if paging.cursor:
                statement = statement.where(number > _number(paging))
            rows = list(await scope.fetch(statement))
        return page(rows, number, paging, _version)

    async def version(self, tenant: str, name: str, number: int) -> PolicyVersion:
        """One version. Raises NotFoundError."""
        async with self._changes.read(tenant) as scope:
            return _version(await self._version_row(scope, name, number))

    async def diff(self, tenant: str, before: str, after: str) -> PolicyDiff:
        """What changes between two versions, each `NAME@NUMBER`, `NAME` (in force) or a shipped name."""
        packs = [await self._merged(tenant, one) for one in (before, after)]
        lines = [yaml.safe_dump(one, sort_keys=True, allow_unicode=True).splitlines() for one in packs]
        text = "\n".join(difflib.unified_diff(lines[0], lines[1], before, after, lineterm=""))
        return PolicyDiff(before, after, tuple(_changes("", *packs)), text)

    async def source(self, tenant: str, reference: str) -> tuple[Json, str]:
        """The pack a reference means, and its policy's name. Raises NotFoundError."""
        name, at, number = reference.partition("@")
        if name in self._compiler.shipped_names():
            return {"extends": name}, name
        async with self._changes.read(tenant) as scope:
            row = await self._row(scope, name)
            wanted = int(number) if number.isdigit() and len(number) < 8 else row["active"] or row["latest"]
            if at and not number.isdigit():
                raise NotFoundError(f"`{reference}`: write NAME@NUMBER")
            return dict((await self._version_row(scope, name, wanted))["pack"]), name

    async def _merged(self, tenant: str, reference: str) -> Json:
        raw, name = await self.source(tenant, reference)
        pack = await asyncio.to_thread(self._compiler.pack, raw, name)
        merged: Json = msgspec.to_builtins(pack)
        for field in ("name", "extends", "cases"):
            merged.pop(field, None)
        return merged

    async def stage(
        self, tenant: str, name: str, number: int, reason: str, actor: Actor, expected: int | None
    ) -> PolicySummary:
        """Lets a version look on beside the one in force and count what it would have done."""
        return await self._move(tenant, name, "staged", number, reason, actor, expected)

    async def unstage(self, tenant: str, name: str, reason: str, actor: Actor, expected: int | None) -> PolicySummary:
        """Ends a trial."""
        return await self._move(tenant, name, "unstaged", None, reason, actor, expected)

    async def promote(
        self, tenant: str, name: str, number: int, reason: str, actor: Actor, expected: int | None
    ) -> PolicySummary:
        """Puts a version in force. Raises InvalidError where it no longer compiles; the old one stays then."""
        await self.compiled((await self.version(tenant, name, number)).pack, name)
        return await self._move(tenant, name, "promoted", number, reason, actor, expected)

    async def roll_back(self, tenant: str, name: str, reason: str, actor: Actor, expected: int | None) -> PolicySummary:
        """Puts the version in force again that was so before. Raises ConflictError where there was none."""
        async with self._changes.read(tenant) as scope:
            await self._row(scope, name)
            moves = await scope.fetch(
                scope.select(policy_moves)
                .where(policy_moves.c.policy == name, policy_moves.c.move.in_(("promoted", "rolled_back")))
                .order_by(policy_moves.c.id.desc())
            )
        back = _previous(list(moves))
        if back is None:
            raise ConflictError(f"no version of `{name}` was in force before this one", "nothing_to_roll_back")
        return await self._move(tenant, name, "rolled_back", back, reason, actor, expected)

    async def _move(
        self, tenant: str, name: str, move: str, number: int | None, reason: str, actor: Actor, expected: int | None
    ) -> PolicySummary:
        async with self._changes.change(tenant, actor) as change:
            row = await self._row(change.scope, name)
            check_version(expected, row["version"])
            if number is not None:
                await self._version_row(change.scope, name, number)
            column = "staged" if move in ("staged", "unstaged") else "active"
            values: Json = {column: number, "version": row["version"] + 1}
            if column == "active" and row["staged"] == number:
                values["staged"] = None  # what is in force is no longer on trial
            if move == "staged":
                if row["active"] == number:
                    raise ConflictError(f"version {number} is in force already")
                await change.scope.delete(policy_trials, policy_trials.c.policy == name)
            await change.scope.update(policies, policies.c.name == name, values=values)
            await change.scope.insert(
                policy_moves,
                {
                    "id": new_id("mov"),
                    "policy": name,
                    "move": move,
                    "number": number,
                    "previous": row[column],
                    "reason": reason,
                    "actor": actor.label,
                    "at": change.at,
                },
            )
            change.act(f"policy.{move}", name, number=number, previous=row[column], reason=reason)
        return await self.get(tenant, name)

    async def moves(self, tenant: str, name: str, paging: Paging) -> Page[PolicyMove]:
        """What was in force when, the newest first."""
        async with self._changes.read(tenant) as scope:
            await self._row(scope, name)
            statement = scope.select(policy_moves).where(policy_moves.c.policy == name)
            rows = list(await scope.fetch(cut(statement, policy_moves.c.id, paging, newest_first=True)))
        return page(rows, policy_moves.c.id, paging, _move)

    async def trials(self, tenant: str, name: str) -> Page[Trials]:
        """What the staged version would have done; at most 500 lines, the most frequent first."""
        async with self._changes.read(tenant) as scope:
            await self._row(scope, name)
            statement = scope.select(policy_trials).where(policy_trials.c.policy == name)
            rows = await scope.fetch(statement.order_by(policy_trials.c.exchanges.desc()).limit(500))
        return Page(
            tuple(
                Trials(row["number"], row["acted"], row["would"], row["rule"], row["exchanges"], row["example"])
                for row in rows
            )
        )

    async def delete(self, tenant: str, name: str, actor: Actor, expected: int | None) -> None:
        """Deletes a policy nobody runs, with its versions. Raises ConflictError, NotFoundError, StaleError."""
        async with self._changes.change(tenant, actor) as change:
            row = await self._row(change.scope, name)
            check_version(expected, row["version"])
            await check_unused(change.scope, name)
            await change.scope.delete(policies, policies.c.name == name)
            for table in (policy_versions, policy_moves, policy_trials):
                await change.scope.delete(table, table.c.policy == name)
            change.act("policy.deleted", name)

    async def assignments(self, tenant: str) -> Page[Assignment]:
        """Every assignment of the tenant."""
        async with self._changes.read(tenant) as scope:
            rows = await scope.many(assignments, order=assignments.c.target)
        return Page(tuple(_assignment(row) for row in rows))

    async def assign(self, tenant: str, order: AssignmentOrder, actor: Actor) -> Assignment:
        """Gives the tenant or a route a policy. Raises InvalidError."""
        if (order.kind == "tenant") != (order.target == ""):
            raise invalid("target", "is a path such as /v1/chat/completions for a route, and empty for the tenant")
        where = (assignments.c.kind == order.kind) & (assignments.c.target == order.target)
        async with self._changes.change(tenant, actor) as change:
            await check_policy(change.scope, order.policy, self._compiler.shipped_names())
            values = {"policy": order.policy, "actor": actor.label, "at": change.at}
            if not await change.scope.update(assignments, where, values=values):
                await change.scope.insert(assignments, {**values, "kind": order.kind, "target": order.target})
            change.act("policy.assigned", order.policy, kind=order.kind, to=order.target)
        async with self._changes.read(tenant) as scope:
            row = await scope.one(assignments, where)
        assert row is not None
        return _assignment(row)

    async def unassign(self, tenant: str, kind: str, target: str, actor: Actor) -> None:
        """Takes an assignment away. Raises NotFoundError."""
        async with self._changes.change(tenant, actor) as change:
            where = (assignments.c.kind == kind) & (assignments.c.target == target)
            if not await change.scope.delete(assignments, where):
                raise NotFoundError(f"nothing is assigned to {kind} `{target}`")
            change.act("policy.unassigned", target or "tenant", kind=kind)

    async def _row(self, scope: Scope, name: str) -> RowMapping:
        row = await scope.one(policies, policies.c.name == name)
        if row is None:
            raise NotFoundError(f"there is no policy `{name}` in this tenant")
        return row

    async def _version_row(self, scope: Scope, name: str, number: int) -> RowMapping:
        row = await scope.one(policy_versions, policy_versions.c.policy == name, policy_versions.c.number == number)
        if row is None:
            raise NotFoundError(f"policy `{name}` has no version {number}")
        return row


def _previous(moves: list[RowMapping]) -> int | None:
    """Walks back over roll-backs: undoing twice goes back two steps, not back and forth."""
    skip = 0
    for move in moves:
        if move["move"] == "rolled_back":
            skip += 1
        elif skip:
            skip -= 1
        else:
            previous: int | None = move["previous"]
            return previous
    return None


def _changes(at: str, before: Any, after: Any) -> list[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            change
            for key in sorted(before.keys() | after.keys())
            for change in _changes(f"{at}.{key}" if at else key, before.get(key), after.get(key))
        ]
    return [] if before == after else [FieldChange(at, before, after)]


def _number(paging: Paging) -> int:
    value = decode_cursor(paging.cursor)
    if not value.isdigit() or len(value) > 9:
        raise invalid("cursor", "not a cursor; send the `next` of the page before")
    return int(value)


def _shipped(name: str, description: str) -> PolicySummary:
    return PolicySummary(name, description, True, 1, None, 1, None, 0)


def _summary(row: RowMapping) -> PolicySummary:
    return PolicySummary(
        row["name"],
        row["description"],
        False,
        row["active"],
        row["staged"],
        row["latest"],
        moment(row["created_at"]),
        row["version"],
    )


def _version(row: RowMapping) -> PolicyVersion:
    return PolicyVersion(
        row["policy"],
        row["number"],
        row["pack"],
        row["revision"],
        row["comment"],
        row["author"],
        moment(row["created_at"]),
    )


def _move(row: RowMapping) -> PolicyMove:
    return PolicyMove(
        row["id"],
        row["policy"],
        row["move"],
        row["number"],
        row["previous"],
        row["reason"],
        row["actor"],
        moment(row["at"]),
    )


def _assignment(row: RowMapping) -> Assignment:
    return Assignment(row["kind"], row["target"], row["policy"], row["actor"], moment(row["at"]))
