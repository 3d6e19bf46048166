"""Tenants and the people in them: who is a member where, in which role, and how they come to be."""

from datetime import datetime
from typing import Annotated

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.control.change import EVERYWHERE, Actor, Change, Changes, check_version
from sigmaguard_proxy.control.directory import DEFAULT_TENANT
from sigmaguard_proxy.control.errors import ConflictError, ForbiddenError, NotFoundError
from sigmaguard_proxy.control.ids import INVITATION, digest, new_token
from sigmaguard_proxy.control.limits import LimitSet
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, page
from sigmaguard_proxy.control.permissions import Role
from sigmaguard_proxy.control.tables import (
    agents,
    api_tokens,
    assignments,
    invitations,
    memberships,
    policies,
    policy_moves,
    policy_trials,
    policy_versions,
    provider_keys,
    sessions,
    tenants,
    toggles,
    users,
    virtual_keys,
)
from sigmaguard_proxy.control.words import Email, Label, Slug

INVITATION_S = 7 * 86_400.0
OWNED = (
    *(virtual_keys, provider_keys, agents, assignments, memberships, invitations),
    *(policy_versions, policy_moves, policy_trials, policies),
)


class TenantOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to be made."""

    id: Slug
    name: Label


class TenantEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change about a tenant; what is left out stays.

    `disabled` refuses all its traffic. `keep_content` keeps bodies, encrypted, in the audit log.
    """

    name: Label | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    keep_content: bool | msgspec.UnsetType = msgspec.UNSET
    limits: LimitSet | msgspec.UnsetType = msgspec.UNSET


class Tenant(msgspec.Struct, frozen=True):
    """A tenant."""

    id: str
    name: str
    disabled: bool
    keep_content: bool
    limits: LimitSet
    created_at: datetime
    version: int


class Member(msgspec.Struct, frozen=True):
    """A person's place in a tenant; `everywhere` says that it comes from a membership in the whole installation."""

    user: str
    email: str
    name: str
    role: Role
    everywhere: bool
    since: datetime


class MemberOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to be asked in."""

    email: Email
    role: Role


class RoleOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's new role."""

    role: Role


class Invited(msgspec.Struct, frozen=True):
    """What became of an invitation: a member at once, or a one-time token for someone who is not here yet."""

    member: Member | None
    token: Annotated[str, msgspec.Meta(description="Shown once; empty where nobody has to accept.")]
    expires_at: datetime | None
    link: Annotated[str, msgspec.Meta(description="What to send them: where a browser accepts the invitation.")] = ""


class Tenants:
    """Every tenant of the installation."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def many(self, paging: Paging, only: frozenset[str] | None) -> Page[Tenant]:
        """Tenants by id; `only` those, None for all."""
        statement = cut(select(tenants), tenants.c.id, paging)
        if only is not None:
            statement = statement.where(tenants.c.id.in_(only))
        async with self._changes.database.read() as connection:
            rows = list((await connection.execute(statement)).mappings().all())
        return page(rows, tenants.c.id, paging, _tenant)

    async def get(self, tenant: str) -> Tenant:
        """One tenant. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            return _tenant(await _tenant_row(connection, tenant))

    async def exists(self, tenant: str) -> bool:
        """Whether there is such a tenant."""
        async with self._changes.database.read() as connection:
            return (await connection.execute(select(tenants.c.id).where(tenants.c.id == tenant))).first() is not None

    async def make(self, order: TenantOrder, actor: Actor) -> Tenant:
        """A new tenant. Raises ConflictError."""
        async with self._changes.change(order.id, actor) as change:
            where = tenants.c.id == order.id
            if (await change.connection.execute(select(tenants.c.id).where(where))).first():
                raise ConflictError(f"there is a tenant `{order.id}` already")
            await change.connection.execute(
                insert(tenants).values(
                    id=order.id,
                    name=order.name,
                    disabled=False,
                    keep_content=False,
                    limits={},
                    created_at=change.at,
                    version=1,
                )
            )
            change.act("tenant.made", order.id, name=order.name)
        return await self.get(order.id)

    async def edit(self, tenant: str, edit: TenantEdit, actor: Actor, expected: int | None) -> Tenant:
        """Changes a tenant. Raises NotFoundError, StaleError."""
        given = {name: value for name, value in msgspec.structs.asdict(edit).items() if value is not msgspec.UNSET}
        async with self._changes.change(tenant, actor) as change:
            row = await _tenant_row(change.connection, tenant)
            check_version(expected, row["version"])
            values = {**msgspec.to_builtins(given), "version": row["version"] + 1}
            await change.connection.execute(update(tenants).where(tenants.c.id == tenant).values(values))
            change.act("tenant.changed", tenant, **msgspec.to_builtins(given))
        return await self.get(tenant)

    async def delete(self, tenant: str, actor: Actor, expected: int | None) -> None:
        """Deletes a tenant with everything but its audit log. Raises ConflictError for the default one."""
        if tenant == DEFAULT_TENANT:
            raise ConflictError("the default tenant stays; disable it instead")
        async with self._changes.change(tenant, actor) as change:
            row = await _tenant_row(change.connection, tenant)
            check_version(expected, row["version"])
            for table in OWNED:
                await change.scope.delete(table)
            await change.connection.execute(delete(toggles).where(toggles.c.scope == tenant))
            await change.connection.execute(delete(tenants).where(tenants.c.id == tenant))
            change.act("tenant.deleted", tenant)


class Members:
    """Who belongs to a tenant."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def many(self, tenant: str, paging: Paging) -> Page[Member]:
        """Members by user id; those of the whole installation are among them."""
        own = [tenant, EVERYWHERE] if tenant != EVERYWHERE else [EVERYWHERE]
        statement = (
            select(
                memberships.c.user,
                memberships.c.tenant,
                memberships.c.role,
                memberships.c.created_at,
                users.c.email,
                users.c.name,
            )
            .join_from(memberships, users, memberships.c.user == users.c.id)
            .where(memberships.c.tenant.in_(own))
        )
        async with self._changes.database.read() as connection:
            rows = list((await connection.execute(cut(statement, memberships.c.user, paging))).mappings().all())
        return page(rows, memberships.c.user, paging, _member)

    async def get(self, tenant: str, user: str) -> Member:
        """One member. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            return _member(await _member_row(connection, tenant, user))

    async def invite(self, tenant: str, order: MemberOrder, actor: Actor) -> Invited:
        """Makes a known person a member at once, asks others in. Raises ConflictError."""
        async with self._changes.change(tenant, actor) as change:
            connection = change.connection
            found = (await connection.execute(select(users.c.id).where(users.c.email == order.email.lower()))).first()
            if found is not None:
                if await change.scope.one(memberships, memberships.c.user == found[0]):
                    raise ConflictError(f"{order.email} is a member already; change the role instead")
                await change.scope.insert(
                    memberships, {"user": found[0], "role": order.role.value, "created_at": change.at}
                )
                change.act("member.added", order.email, role=order.role.value)
                return Invited(_member(await _member_row(connection, tenant, found[0])), "", None)
            token = new_token(INVITATION)
            await change.scope.insert(
                invitations,
                {
                    "digest": digest(token),
                    "role": order.role.value,
                    "email": order.email.lower(),
                    "created_by": actor.id,
                    "created_at": change.at,
                    "expires_at": change.at + INVITATION_S,
                    "used_at": None,
                },
            )
            change.act("member.invited", order.email, role=order.role.value)
        return Invited(None, token, moment(change.at + INVITATION_S))

    async def set_role(self, tenant: str, user: str, order: RoleOrder, actor: Actor) -> Member:
        """Gives a member another role. Raises NotFoundError, ConflictError for the last owner."""
        async with self._changes.change(tenant, actor) as change:
            row = await _member_row(change.connection, tenant, user)
            await _check_last_owner(change, row, order.role)
            await change.scope.update(memberships, memberships.c.user == user, values={"role": order.role.value})
            change.act("member.changed", row["email"], role=order.role.value, previous=row["role"])
            return _member(await _member_row(change.connection, tenant, user))

    async def remove(self, tenant: str, user: str, actor: Actor) -> None:
        """Ends a membership; with the last one the person's sessions and tokens end too. Raises like `set_role`."""
        async with self._changes.change(tenant, actor) as change:
            row = await _member_row(change.connection, tenant, user)
            await _check_last_owner(change, row, None)
            await change.scope.delete(memberships, memberships.c.user == user)
            left = select(func.count()).select_from(memberships).where(memberships.c.user == user)
            if not (await change.connection.execute(left)).scalar_one():
                await change.connection.execute(delete(sessions).where(sessions.c.user == user))
                await change.connection.execute(delete(api_tokens).where(api_tokens.c.user == user))
            change.act("member.removed", row["email"], role=row["role"])


async def _tenant_row(connection: AsyncConnection, tenant: str) -> RowMapping:
    row = (await connection.execute(select(tenants).where(tenants.c.id == tenant))).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no tenant `{tenant}`")
    return row


async def _member_row(connection: AsyncConnection, tenant: str, user: str) -> RowMapping:
    statement = (
        select(
            memberships.c.user,
            memberships.c.tenant,
            memberships.c.role,
            memberships.c.created_at,
            users.c.email,
            users.c.name,
        )
        .join_from(memberships, users, memberships.c.user == users.c.id)
        .where(memberships.c.tenant == tenant, memberships.c.user == user)
    )
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        raise NotFoundError(f"`{user}` is no member here")
    return row


async def _check_last_owner(change: Change, row: RowMapping, role: Role | None) -> None:
    if row["tenant"] != EVERYWHERE or row["role"] != Role.OWNER.value or role is Role.OWNER:
        return
    owners = await change.scope.count(memberships, memberships.c.role == Role.OWNER.value)
    if owners <= 1:
        raise ConflictError("the last owner stays: make another one first")


def check_grant(mine: frozenset[object], theirs: frozenset[object]) -> None:
    """Raises ForbiddenError where someone would hand out what they do not have."""
    if not theirs <= mine:
        raise ForbiddenError("you cannot give a role that may do more than you may")


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(
        row["id"],
        row["name"],
        row["disabled"],
        row["keep_content"],
        msgspec.convert(row["limits"], LimitSet),
        moment(row["created_at"]),
        row["version"],
    )


def _member(row: RowMapping) -> Member:
    return Member(
        row["user"],
        row["email"],
        row["name"],
        Role(row["role"]),
        row["tenant"] == EVERYWHERE,
        moment(row["created_at"]),
    )
