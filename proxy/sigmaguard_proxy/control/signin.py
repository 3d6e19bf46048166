"""Who is at the admin port: passwords, sessions, personal tokens, invitations, OIDC identities. Knows no endpoint."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.control.change import EVERYWHERE, Actor, Changes
from sigmaguard_proxy.control.directory import DEFAULT_TENANT
from sigmaguard_proxy.control.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
    invalid,
)
from sigmaguard_proxy.control.ids import API_TOKEN, SESSION, digest, hint, new_id, new_token
from sigmaguard_proxy.control.keys import unix
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, moment_or_none, page
from sigmaguard_proxy.control.passwords import PasswordError, Passwords
from sigmaguard_proxy.control.permissions import Role
from sigmaguard_proxy.control.signin_shapes import (
    Claim,
    Login,
    NewPersonalToken,
    PasswordChange,
    PersonalToken,
    Principal,
    SessionInfo,
    Signed,
    TokenOrder,
)
from sigmaguard_proxy.control.tables import api_tokens, invitations, memberships, sessions, users

SESSION_S = 12 * 3600.0
IDLE_S = 2 * 3600.0
SEEN_EVERY_S = 60.0  # how precisely a session's last use is kept
FAILURES = 10  # wrong passwords of one account or address within FAILURE_S
FAILURE_S = 900.0
WATCHED = 10_000


class SignIn:
    """Signs people in and knows them again."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes = changes
        self._passwords = passwords
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    async def claim(self, claim: Claim, remote: str, client: str) -> Signed:
        """Makes the account an invitation is for. Raises NotFoundError, InvalidError, ConflictError."""
        self._slow_down(f"claim {remote}")
        async with self._changes.database.read() as connection:
            row = await _open_invitation(connection, claim.token)
        if row is None:
            self._fail(f"claim {remote}")
            raise NotFoundError("this link was used, has expired, or never was; ask for a new one", "link_used")
        email = claim.email.lower()
        if row["email"] and row["email"] != email:
            raise invalid("email", "this invitation is for another address")
        try:
            password = await self._passwords.hash(claim.password)
        except PasswordError as error:
            raise invalid("password", str(error)) from error
        user = new_id("usr")
        async with self._changes.change(row["tenant"], Actor(user, email, "invitation")) as change:
            connection = change.connection
            if (await connection.execute(select(users.c.id).where(users.c.email == email))).first():
                raise ConflictError("there is an account with this address; sign in and ask to be added")
            used = update(invitations).where(invitations.c.digest == row["digest"], invitations.c.used_at.is_(None))
            if (await connection.execute(used.values(used_at=change.at))).rowcount != 1:
                raise NotFoundError("this link was used", "link_used")
            await _insert_user(connection, user, email, claim.name, password, None, change.at)
            await change.scope.insert(memberships, {"user": user, "role": row["role"], "created_at": change.at})
            change.act("member.joined", email, role=row["role"])
        return await self.begin(user, remote, client)

    async def login(self, login: Login, remote: str, client: str) -> Signed:
        """Checks a password. Raises UnauthenticatedError, TooManyError; which part was wrong is not said."""
        email = login.email.lower()
        marks = (f"email {email}", f"remote {remote}")
        for mark in marks:
            self._slow_down(mark)
        async with self._changes.database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.email == email))).mappings().first()
        right = await self._passwords.is_right(row["password"] if row else None, login.password)
        if not right or row is None or row["disabled"]:
            for mark in marks:
                self._fail(mark)
            self._changes.note(EVERYWHERE, Actor("unknown", via="password"), "login.failed", email, remote=remote)
            raise UnauthenticatedError("the address or the password is wrong", "wrong_credentials")
        self._failures.pop(marks[0], None)
        if self._passwords.needs_rehash(row["password"]):
            password = await self._passwords.hash(login.password)
            async with self._changes.database.write() as connection:
                await connection.execute(update(users).where(users.c.id == row["id"]).values(password=password))
        return await self.begin(row["id"], remote, client)

    async def login_identity(
        self,
        identity: str,
        email: str,
        name: str,
        *,
        verified: bool,
        default_role: Role | None,
        remote: str,
        client: str,
    ) -> Signed:
        """Signs in whom an identity provider vouches for. Raises ForbiddenError for someone nobody asked in."""
        email = email.lower()
        async with self._changes.database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.identity == identity))).mappings().first()
        if row is not None:
            if row["disabled"]:
                raise ForbiddenError("this account is disabled")
            return await self.begin(row["id"], remote, client)
        if not verified or not email:
            raise ForbiddenError("your identity provider does not vouch for your e-mail address", "email_unverified")
        return await self.begin(await self._adopt(identity, email, name, default_role), remote, client)

    async def _adopt(self, identity: str, email: str, name: str, default_role: Role | None) -> str:
        """An account for a new identity: the one with this address, an invited one, or one of the default role."""
        async with self._changes.change(EVERYWHERE, Actor(identity[:64], email, "oidc")) as change:
            connection = change.connection
            row = (await connection.execute(select(users).where(users.c.email == email))).mappings().first()
            if row is not None:
                if row["disabled"] or row["identity"] is not None:
                    raise ForbiddenError("this address belongs to another identity")
                await connection.execute(update(users).where(users.c.id == row["id"]).values(identity=identity))
                change.act("member.linked", email)
                return str(row["id"])
            open_ones = select(invitations).where(
                invitations.c.email == email, invitations.c.used_at.is_(None), invitations.c.expires_at > change.at
            )
            asked = (await connection.execute(open_ones)).mappings().all()
            places = {one["tenant"]: one["role"] for one in asked}
            if not places and default_role is not None:
                places = {DEFAULT_TENANT: default_role.value}
            if not places:
                raise ForbiddenError("nobody has asked you in; ask an administrator for an invitation", "not_invited")
            user = new_id("usr")
            await _insert_user(connection, user, email, name or email, None, identity, change.at)
            for tenant, role in places.items():
                await connection.execute(
                    insert(memberships).values(tenant=tenant, user=user, role=role, created_at=change.at)
                )
            used = update(invitations).where(invitations.c.digest.in_([one["digest"] for one in asked]))
            await connection.execute(used.values(used_at=change.at))
            change.act("member.joined", email, places=places)
        return user

    async def begin(self, user: str, remote: str, client: str) -> Signed:
        """Begins a session."""
        cookie, now = new_token(SESSION), time.time()
        async with self._changes.database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.expires_at < now))
            await connection.execute(
                insert(sessions).values(
                    id=new_id("ses"),
                    digest=digest(cookie),
                    user=user,
                    csrf=new_token("")[:40],
                    remote=remote[:64],
                    client=client[:200],
                    created_at=now,
                    seen_at=now,
                    expires_at=now + SESSION_S,
                )
            )
        principal = await self.by_cookie(cookie)
        assert principal is not None
        self._changes.note(EVERYWHERE, principal.actor, "session.begun", principal.session, remote=remote)
        return Signed(cookie, principal)

    async def by_cookie(self, cookie: str) -> Principal | None:
        """Who a session belongs to, None where it is over."""
        now = time.time()
        async with self._changes.database.read() as connection:
            joined = select(sessions, users.c.email, users.c.name, users.c.disabled).join_from(
                sessions, users, sessions.c.user == users.c.id
            )
            row = (await connection.execute(joined.where(sessions.c.digest == digest(cookie)))).mappings().first()
            if row is None or row["disabled"] or row["expires_at"] < now or row["seen_at"] < now - IDLE_S:
                return None
            roles = await _roles(connection, row["user"])
        if now - row["seen_at"] > SEEN_EVERY_S:
            async with self._changes.database.write() as connection:
                await connection.execute(update(sessions).where(sessions.c.id == row["id"]).values(seen_at=now))
        return Principal(row["user"], row["email"], row["name"], "session", roles, row["id"], row["csrf"])

    async def by_token(self, token: str) -> Principal | None:
        """Who a personal token belongs to, None where it is unknown or has expired."""
        async with self._changes.database.read() as connection:
            joined = select(api_tokens, users.c.email, users.c.name.label("person"), users.c.disabled).join_from(
                api_tokens, users, api_tokens.c.user == users.c.id
            )
            row = (await connection.execute(joined.where(api_tokens.c.digest == digest(token)))).mappings().first()
            if row is None or row["disabled"] or (row["expires_at"] is not None and row["expires_at"] < time.time()):
                return None
            roles = await _roles(connection, row["user"])
        only = "" if row["tenant"] == EVERYWHERE else row["tenant"]
        at_most = Role(row["role"]) if row["role"] else None
        return Principal(row["user"], row["email"], row["person"], "token", roles, only_tenant=only, at_most=at_most)

    async def end(self, principal: Principal, session: str) -> None:
        """Ends a session of one's own. Raises NotFoundError."""
        async with self._changes.database.write() as connection:
            where = (sessions.c.id == session) & (sessions.c.user == principal.user)
            if not (await connection.execute(delete(sessions).where(where))).rowcount:
                raise NotFoundError(f"you have no session `{session}`")

    async def sessions(self, principal: Principal, paging: Paging) -> Page[SessionInfo]:
        """One's own sessions, the newest first."""
        statement = select(sessions).where(sessions.c.user == principal.user, sessions.c.expires_at > time.time())
        async with self._changes.database.read() as connection:
            found = await connection.execute(cut(statement, sessions.c.id, paging, newest_first=True))
            rows = list(found.mappings().all())
        return page(
            rows,
            sessions.c.id,
            paging,
            lambda row: SessionInfo(
                row["id"],
                row["id"] == principal.session,
                row["remote"],
                row["client"],
                moment(row["created_at"]),
                moment(row["seen_at"]),
                moment(row["expires_at"]),
            ),
        )

    async def change_password(self, principal: Principal, change: PasswordChange) -> None:
        """Sets a new password; other sessions end. Raises UnauthenticatedError, InvalidError, TooManyError."""
        mark = f"email {principal.email}"
        self._slow_down(mark)
        async with self._changes.database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.id == principal.user))).mappings().one()
        if not await self._passwords.is_right(row["password"], change.current):
            self._fail(mark)
            raise invalid("current", "is not your password")
        try:
            password = await self._passwords.hash(change.new)
        except PasswordError as error:
            raise invalid("new", str(error)) from error
        async with self._changes.change(EVERYWHERE, principal.actor) as doing:
            connection = doing.connection
            await connection.execute(update(users).where(users.c.id == principal.user).values(password=password))
            others = (sessions.c.user == principal.user) & (sessions.c.id != principal.session)
            await connection.execute(delete(sessions).where(others))
            doing.act("password.changed", principal.email)

    async def make_token(self, principal: Principal, order: TokenOrder) -> NewPersonalToken:
        """A new personal token. Raises ForbiddenError where it would reach further than its owner."""
        tenant = order.tenant or EVERYWHERE
        if order.tenant is not None and not principal.permissions(order.tenant):
            raise ForbiddenError(f"you do not belong to tenant `{order.tenant}`")
        if principal.via != "session":
            raise ForbiddenError("a token cannot make tokens; sign in")
        secret = new_token(API_TOKEN)
        expires_at = unix(order.expires_at, "expires_at") if order.expires_at else None
        values: dict[str, Any] = {
            "id": new_id("tok"),
            "user": principal.user,
            "tenant": tenant,
            "role": order.role.value if order.role else None,
            "name": order.name,
            "digest": digest(secret),
            "hint": hint(secret),
            "expires_at": expires_at,
        }
        async with self._changes.change(tenant, principal.actor) as change:
            values["created_at"] = change.at
            await change.connection.execute(insert(api_tokens).values(values))
            change.act("token.made", values["id"], name=order.name, role=values["role"])
        return NewPersonalToken(secret, _token(values))

    async def tokens(self, principal: Principal, paging: Paging) -> Page[PersonalToken]:
        """One's own tokens, the newest first."""
        statement = cut(
            select(api_tokens).where(api_tokens.c.user == principal.user), api_tokens.c.id, paging, newest_first=True
        )
        async with self._changes.database.read() as connection:
            rows = list((await connection.execute(statement)).mappings().all())
        return page(rows, api_tokens.c.id, paging, lambda row: _token(dict(row)))

    async def drop_token(self, principal: Principal, token: str) -> None:
        """Ends a token of one's own. Raises NotFoundError."""
        async with self._changes.change(EVERYWHERE, principal.actor) as change:
            where = (api_tokens.c.id == token) & (api_tokens.c.user == principal.user)
            if not (await change.connection.execute(delete(api_tokens).where(where))).rowcount:
                raise NotFoundError(f"you have no token `{token}`")
            change.act("token.revoked", token)

    def _slow_down(self, mark: str) -> None:
        now = time.monotonic()
        recent = [at for at in self._failures.get(mark, ()) if at > now - FAILURE_S]
        if len(recent) >= FAILURES:
            raise TooManyError("too many wrong tries; wait a while", max(1.0, recent[0] + FAILURE_S - now))

    def _fail(self, mark: str) -> None:
        now = time.monotonic()
        recent = [at for at in self._failures.pop(mark, ()) if at > now - FAILURE_S]
        self._failures[mark] = [*recent, now][-FAILURES:]
        while len(self._failures) > WATCHED:
            self._failures.popitem(last=False)


async def _open_invitation(connection: AsyncConnection, token: str) -> RowMapping | None:
    row: RowMapping | None = (
        (
            await connection.execute(
                select(invitations).where(
                    invitations.c.digest == digest(token),
                    invitations.c.used_at.is_(None),
                    invitations.c.expires_at > time.time(),
                )
            )
        )
        .mappings()
        .first()
    )
    return row


async def _insert_user(
    connection: AsyncConnection, user: str, email: str, name: str, password: str | None, identity: str | None, at: float
) -> None:
    await connection.execute(
        insert(users).values(
            id=user,
            email=email,
            name=name[:200],
            password=password,
            identity=identity,
            disabled=False,
            created_at=at,
            version=1,
        )
    )


async def _roles(connection: AsyncConnection, user: str) -> dict[str, Role]:
    rows = await connection.execute(select(memberships.c.tenant, memberships.c.role).where(memberships.c.user == user))
    return {tenant: Role(role) for tenant, role in rows}


def _token(row: Mapping[str, Any]) -> PersonalToken:
    return PersonalToken(
        row["id"],
        row["name"],
        row["hint"],
        None if row["tenant"] == EVERYWHERE else row["tenant"],
        Role(row["role"]) if row["role"] else None,
        moment(row["created_at"]),
        moment_or_none(row["expires_at"]),
    )
