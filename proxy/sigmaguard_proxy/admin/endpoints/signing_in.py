"""Signing in and out, one's own password, sessions and tokens."""

from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web

from sigmaguard_proxy.admin.endpoint import Answer, Call, Cookie, Endpoint, NoQuery
from sigmaguard_proxy.admin.problems import ProblemError
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.errors import ControlError, NotFoundError
from sigmaguard_proxy.control.paging import Page, Paging
from sigmaguard_proxy.control.permissions import Role
from sigmaguard_proxy.control.signin import SESSION_S
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

OIDC_COOKIE = "sigmaguard_login"
CALLBACK = "/api/v1/auth/oidc/callback"


class Place(msgspec.Struct, frozen=True):
    """What one is, and may do, in a tenant (`*` is the whole installation)."""

    tenant: str
    role: Role
    permissions: tuple[str, ...]


class Me(msgspec.Struct, frozen=True):
    """Who is signed in. `csrf` goes into the header X-CSRF-Token of every change made with the cookie."""

    user: str
    email: str
    name: str
    via: str
    csrf: str
    places: tuple[Place, ...]


class Ways(msgspec.Struct, frozen=True):
    """How one can sign in here."""

    password: bool
    oidc: bool
    issuer: str


class OidcAnswer(msgspec.Struct, frozen=True):
    """What the provider sends back (unknown parameters are ignored, as the standard asks)."""

    state: Annotated[str, msgspec.Meta(max_length=512)] = ""
    code: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    error: Annotated[str, msgspec.Meta(max_length=200)] = ""
    iss: Annotated[str, msgspec.Meta(max_length=1000)] = ""


def me(principal: Principal) -> Me:
    """A principal as the API shows it."""
    places = tuple(
        Place(tenant, role, tuple(sorted(principal.permissions(tenant))))
        for tenant, role in sorted(principal.roles.items())
        if not principal.only_tenant or tenant in (principal.only_tenant, EVERYWHERE)
    )
    return Me(principal.user, principal.email, principal.name, principal.via, principal.csrf, places)


class SigningIn:
    """Handlers of signing in and out."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._signin = services.signin

    def begun(self, signed: Signed) -> Answer:
        return Answer(me(signed.principal), cookie=Cookie(signed.cookie, int(SESSION_S)))

    async def claim(self, call: Call[Claim, NoQuery]) -> Answer:
        """See the table."""
        return self.begun(await self._signin.claim(call.body, call.remote, call.client))

    async def login(self, call: Call[Login, NoQuery]) -> Answer:
        """See the table."""
        return self.begun(await self._signin.login(call.body, call.remote, call.client))

    async def logout(self, call: Call[None, NoQuery]) -> Answer:
        """See the table."""
        if call.who.session:
            await self._signin.end(call.who, call.who.session)
        return Answer(None, 204, cookie=Cookie("", 0))

    async def session(self, call: Call[None, NoQuery]) -> Me:
        """See the table."""
        return me(call.who)

    async def ways(self, call: Call[None, NoQuery]) -> Ways:
        """See the table."""
        oidc = self._services.oidc
        return Ways(True, oidc is not None, oidc.settings.issuer if oidc is not None else "")

    async def password(self, call: Call[PasswordChange, NoQuery]) -> Answer:
        """See the table."""
        await self._signin.change_password(call.who, call.body)
        return Answer(None, 204)

    async def sessions(self, call: Call[None, Paging]) -> Page[SessionInfo]:
        """See the table."""
        return await self._signin.sessions(call.who, call.query)

    async def end_session(self, call: Call[None, NoQuery]) -> Answer:
        """See the table."""
        await self._signin.end(call.who, call.path["session"])
        return Answer(None, 204)

    async def tokens(self, call: Call[None, Paging]) -> Page[PersonalToken]:
        """See the table."""
        return await self._signin.tokens(call.who, call.query)

    async def make_token(self, call: Call[TokenOrder, NoQuery]) -> NewPersonalToken:
        """See the table."""
        return await self._signin.make_token(call.who, call.body)

    async def drop_token(self, call: Call[None, NoQuery]) -> Answer:
        """See the table."""
        await self._signin.drop_token(call.who, call.path["token"])
        return Answer(None, 204)

    async def oidc_begin(self, call: Call[None, NoQuery]) -> web.Response:
        """See the table."""
        try:
            return await self._oidc_begin()
        except (ControlError, ProblemError) as error:
            if not _is_browser(call.request):
                raise
            return web.Response(status=303, headers=_back(error))

    async def _oidc_begin(self) -> web.Response:
        if self._services.oidc is None:
            raise NotFoundError("no identity provider is configured", "no_oidc")
        try:
            url, browser = await self._services.oidc.begin(self._services.public_url() + CALLBACK)
        except OSError as error:
            raise ProblemError(503, "oidc_unavailable", str(error)) from error
        response = web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
        secure = self._services.public_url().startswith("https://")
        # Lax: the provider's redirect back is a cross-site navigation, a Strict cookie would not come along
        response.set_cookie(
            OIDC_COOKIE, browser, max_age=600, path=CALLBACK, httponly=True, secure=secure, samesite="Lax"
        )
        return response

    async def oidc_finish(self, call: Call[None, OidcAnswer]) -> Answer:
        """See the table."""
        try:
            return await self._oidc_finish(call)
        except (ControlError, ProblemError) as error:
            if not _is_browser(call.request):
                raise
            return Answer(None, 303, _back(error))

    async def _oidc_finish(self, call: Call[None, OidcAnswer]) -> Answer:
        oidc, answer = self._services.oidc, call.query
        if oidc is None:
            raise NotFoundError("no identity provider is configured", "no_oidc")
        if answer.error or not answer.code:
            raise ProblemError(403, "login_refused", "the identity provider did not let you in")
        browser = call.request.cookies.get(OIDC_COOKIE, "")
        try:
            found = await oidc.finish(
                answer.state, answer.code, browser, answer.iss, self._services.public_url() + CALLBACK
            )
        except OSError as error:
            raise ProblemError(503, "oidc_unavailable", str(error)) from error
        signed = await self._signin.login_identity(
            found.id,
            found.email,
            found.name,
            verified=found.verified,
            default_role=oidc.settings.default_role,
            remote=call.remote,
            client=call.client,
        )
        begun = self.begun(signed)
        if not _is_browser(call.request):
            return begun
        # a browser: its person goes on at a page
        return Answer(begun.body, 303, {"Location": "/sign-in"}, begun.cookie)

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        one = partial(Endpoint, tag="Signing in")
        return [
            one(
                method="GET",
                path="/auth/ways",
                name="getWaysIn",
                summary="How to sign in here",
                handler=self.ways,
                where="public",
                answer=Ways,
            ),
            one(
                method="POST",
                path="/auth/claim",
                name="claimInvitation",
                summary="Accept an invitation or the owner's link",
                handler=self.claim,
                where="public",
                body=Claim,
                answer=Me,
            ),
            one(
                method="POST",
                path="/auth/login",
                name="login",
                summary="Sign in with a password",
                handler=self.login,
                where="public",
                body=Login,
                answer=Me,
            ),
            one(
                method="GET",
                path="/auth/oidc",
                name="beginOidcLogin",
                summary="Sign in with the identity provider",
                handler=self.oidc_begin,
                where="public",
                status=302,
            ),
            one(
                method="GET",
                path="/auth/oidc/callback",
                name="finishOidcLogin",
                summary="Where the identity provider sends the browser back",
                handler=self.oidc_finish,
                where="public",
                query=OidcAnswer,
                answer=Me,
            ),
            one(
                method="GET",
                path="/auth/session",
                name="getSession",
                summary="Who is signed in",
                where="self",
                handler=self.session,
                answer=Me,
            ),
            one(
                method="POST",
                path="/auth/logout",
                name="logout",
                summary="Sign out",
                where="self",
                handler=self.logout,
                status=204,
            ),
            one(
                method="POST",
                path="/auth/password",
                name="changePassword",
                summary="Change one's own password",
                where="self",
                handler=self.password,
                body=PasswordChange,
                status=204,
            ),
            one(
                method="GET",
                path="/me/sessions",
                name="listSessions",
                summary="One's own sessions",
                where="self",
                handler=self.sessions,
                query=Paging,
                answer=Page[SessionInfo],
            ),
            one(
                method="DELETE",
                path="/me/sessions/{session}",
                name="endSession",
                summary="End a session of one's own",
                where="self",
                handler=self.end_session,
                status=204,
            ),
            one(
                method="GET",
                path="/me/tokens",
                name="listTokens",
                summary="One's own tokens",
                where="self",
                handler=self.tokens,
                query=Paging,
                answer=Page[PersonalToken],
            ),
            one(
                method="POST",
                path="/me/tokens",
                name="makeToken",
                summary="Make a personal token",
                where="self",
                handler=self.make_token,
                body=TokenOrder,
                answer=NewPersonalToken,
                status=201,
            ),
            one(
                method="DELETE",
                path="/me/tokens/{token}",
                name="dropToken",
                summary="End a token of one's own",
                where="self",
                handler=self.drop_token,
                status=204,
            ),
        ]


def _is_browser(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _back(error: ControlError | ProblemError) -> dict[str, str]:
    """Where a person goes on whose sign-in failed: the page tells why by the code, and what to do."""
    return {"Location": f"/sign-in#{error.code}", "Cache-Control": "no-store"}
