"""What people sign in with, and who they are once they have. Shapes only; how it is checked is `signin`."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from sigmaguard_proxy.control.change import EVERYWHERE, Actor
from sigmaguard_proxy.control.permissions import ROLES, Permission, Role
from sigmaguard_proxy.control.words import Email, Label, Password, Slug, Token


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accepts an invitation (or the owner's link): the token in it, and who accepts."""

    token: Token
    email: Email
    name: Label
    password: Password


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signs in with a password."""

    email: Email
    password: Password


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes one's own password; every other session ends."""

    current: Password
    new: Password


class TokenOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A personal token: works in `tenant` (null: wherever its owner may), with `role` at most (null: all one's own)."""

    name: Label
    tenant: Slug | None = None
    role: Role | None = None
    expires_at: datetime | None = None


class PersonalToken(msgspec.Struct, frozen=True):
    """A personal token as it may be shown."""

    id: str
    name: str
    hint: str
    tenant: str | None
    role: Role | None
    created_at: datetime
    expires_at: datetime | None


class NewPersonalToken(msgspec.Struct, frozen=True):
    """A token just made: `secret` is shown this once."""

    secret: str
    token: PersonalToken


class SessionInfo(msgspec.Struct, frozen=True):
    """A session of one's own."""

    id: str
    current: bool
    remote: str
    client: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Principal(msgspec.Struct, frozen=True):
    """Who is asking. `roles` by tenant (`*` everywhere); a token may narrow them to `only_tenant` and `at_most`."""

    user: str
    email: str
    name: str
    via: str
    roles: Mapping[str, Role]
    session: str = ""
    csrf: str = ""
    only_tenant: str = ""
    at_most: Role | None = None

    @property
    def actor(self) -> Actor:
        """The same for the audit log."""
        return Actor(self.user, self.email, self.via)

    def permissions(self, tenant: str) -> frozenset[Permission]:
        """What they may do in a tenant (`*`: in the installation); empty where they do not belong."""
        if self.only_tenant and tenant != self.only_tenant:
            return frozenset()
        mine: frozenset[Permission] = frozenset()
        for scope in {tenant, EVERYWHERE}:
            if scope in self.roles:
                mine |= ROLES[self.roles[scope]]
        return mine & ROLES[self.at_most] if self.at_most is not None else mine

    def tenants(self) -> frozenset[str] | None:
        """The tenants they belong to, None for all."""
        if self.only_tenant:
            return frozenset({self.only_tenant}) if self.permissions(self.only_tenant) else frozenset()
        return None if EVERYWHERE in self.roles else frozenset(self.roles)


class Signed(msgspec.Struct, frozen=True):
    """A session just begun: the cookie's value and who it is."""

    cookie: str
    principal: Principal
