"""What an endpoint of the admin API is: one value that routing, checks and the OpenAPI document are all made from."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec
from aiohttp import web

from sigmaguard_proxy.control.change import Actor
from sigmaguard_proxy.control.permissions import EVERYWHERE, Permission
from sigmaguard_proxy.control.signin_shapes import Principal

Where = Literal["tenant", "installation", "self", "public"]
B = TypeVar("B")
Q = TypeVar("Q")


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters."""


class Cookie(msgspec.Struct, frozen=True):
    """A session cookie to set; an empty value takes it away."""

    value: str
    max_age_s: int


class Answer(msgspec.Struct, frozen=True):
    """What a handler answers where the body alone does not say it."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    cookie: Cookie | None = None


class Call(msgspec.Struct, Generic[B, Q], frozen=True):
    """One request, checked: who asks, in which tenant, with what. `expected` is the version of `If-Match`."""

    request: web.Request
    tenant: str
    path: Mapping[str, str]
    query: Q
    body: B
    principal: Principal | None = None
    expected: int | None = None
    remote: str = ""
    client: str = ""

    @property
    def who(self) -> Principal:
        """The principal; every endpoint that is not public has one."""
        assert self.principal is not None
        return self.principal

    @property
    def actor(self) -> Actor:
        """The same for the audit log."""
        return self.who.actor


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint.

    `where` says whose it is: a tenant's (`{tenant}` in the path), the installation's, one's own, or
    everybody's. `permission` is what it needs there. `answer` is the type of a good answer's body, None
    where there is none; `media` its content type where it is not JSON.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str
    summary: str
    tag: str
    handler: Handler
    where: Where = "tenant"
    permission: Permission | None = None
    body: Any = None
    query: type[msgspec.Struct] = NoQuery
    answer: Any = None
    status: int = 200
    media: str = "application/json"
    versioned: bool = False

    @property
    def scope(self) -> str | None:
        """The fixed scope of permission checks, None where the path names the tenant."""
        return None if self.where == "tenant" else EVERYWHERE
