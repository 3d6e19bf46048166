"""Signing in with an OpenID Connect provider: a real one (oidc-provider-mock, on Authlib), and answers that lie."""

import base64
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from sigmaguard_proxy.admin.oidc import OidcClient, OidcSettings
from sigmaguard_proxy.control.errors import ControlError, ForbiddenError
from tests.control_site import PASSWORD, Person, Site, site

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENT, SECRET, CALLBACK = "sigmaguard", "client-secret", "http://127.0.0.1:1/callback"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The real provider, in a thread of its own."""
    from oidc_provider_mock import User, run_server_in_thread

    people = [
        User(sub="ada", claims={"email": "ada@example.org", "name": "Ada", "email_verified": True}),
        User(sub="bob", claims={"email": "bob@example.org", "name": "Bob", "email_verified": True}),
        User(sub="eve", claims={"email": "eve@example.org", "email_verified": False}),
        User(sub="owner", claims={"email": "owner@example.org", "email_verified": True}),
    ]
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    settings = {"oidc_issuer": issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    async with site(tmp_path_factory.mktemp("oidc"), **settings) as running:
        await running.claim_owner()
        yield running


async def sign_in(place: Site, subject: str) -> tuple[Person, int, Any]:
    """Walks a browser through the whole flow."""
    browser = place.person()
    begun = await browser.ask("GET", "/auth/oidc")
    assert begun.status == 302
    async with browser.session.post(
        begun.headers["Location"], data={"sub": subject}, allow_redirects=False
    ) as answered:
        assert answered.status == 302
        back = answered.headers["Location"]
    async with browser.session.get(back) as finished:
        return browser, finished.status, await finished.json(content_type=None)


async def test_an_invited_person_comes_in_with_the_role_they_were_given(place: Site) -> None:
    await place.owner.do("POST", "/tenants/default/members", {"email": "ada@example.org", "role": "auditor"})
    browser, status, me = await sign_in(place, "ada")
    assert (status, me["email"], [one["role"] for one in me["places"]]) == (200, "ada@example.org", ["auditor"])
    assert (await browser.ask("GET", "/tenants/default/acts")).status == 200
    _, again, same = await sign_in(place, "ada")
    assert (again, same["user"]) == (200, me["user"])


async def test_a_browser_goes_on_at_a_page(place: Site) -> None:
    """What follows signing in is a page, not a body of JSON with nowhere to go."""
    browser = place.person()
    begun = await browser.ask("GET", "/auth/oidc")
    there = begun.headers["Location"]
    async with browser.session.post(there, data={"sub": "owner"}, allow_redirects=False) as answered:
        back = answered.headers["Location"]
    async with browser.session.get(back, headers={"Accept": "text/html"}, allow_redirects=False) as finished:
        assert (finished.status, finished.headers["Location"]) == (303, "/sign-in")
    assert (await browser.do("GET", "/auth/session"))["email"] == "owner@example.org"


async def test_a_browser_whose_sign_in_failed_goes_on_at_a_page_too(place: Site) -> None:
    page = {"Accept": "text/html"}
    browser = place.person()
    begun = await browser.ask("GET", "/auth/oidc")
    async with browser.session.post(begun.headers["Location"], data={"sub": "bob"}, allow_redirects=False) as answered:
        back = answered.headers["Location"]
    for code in ("not_invited", "login_over"):
        async with browser.session.get(back, headers=page, allow_redirects=False) as finished:
            assert (finished.status, finished.headers["Location"]) == (303, f"/sign-in#{code}")
    denied = f"{back.partition('?')[0]}?error=access_denied"
    async with browser.session.get(denied, headers=page, allow_redirects=False) as finished:
        assert (finished.status, finished.headers["Location"]) == (303, "/sign-in#login_refused")
    async with browser.session.get(f"{place.admin}/docs/account.js") as script:
        text = await script.text()
    assert all(f"{code}:" in text for code in ("not_invited", "login_over", "login_refused")), "the page knows them"


async def test_nobody_comes_in_uninvited(place: Site) -> None:
    _, status, problem = await sign_in(place, "bob")
    assert (status, problem["code"]) == (403, "not_invited")


async def test_an_unverified_address_is_nobodys(place: Site) -> None:
    await place.owner.do("POST", "/tenants/default/members", {"email": "eve@example.org", "role": "admin"})
    _, status, problem = await sign_in(place, "eve")
    assert (status, problem["code"]) == (403, "email_unverified")


async def test_an_account_with_a_password_is_linked(place: Site) -> None:
    _, status, me = await sign_in(place, "owner")
    assert (status, me["places"][0]["role"]) == (200, "owner")
    login = await place.person().ask("POST", "/auth/login", {"email": "owner@example.org", "password": PASSWORD})
    assert login.body["user"] == me["user"]


async def test_another_browser_cannot_finish_a_login(place: Site) -> None:
    mine, theirs = place.person(), place.person()
    begun = await mine.ask("GET", "/auth/oidc")
    async with mine.session.post(begun.headers["Location"], data={"sub": "owner"}, allow_redirects=False) as answered:
        back = answered.headers["Location"]
    async with theirs.session.get(back) as stolen:
        assert stolen.status == 403
    async with mine.session.get(back) as late:  # the attempt used it up
        assert (await late.json(content_type=None))["code"] == "login_over"


@dataclass
class Liar:
    """A provider that follows the standard (it checks PKCE) but for the lies it is told to tell."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1", "use": "sig"}))
    published: RSAKey | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    discovered: dict[str, Any] = field(default_factory=dict)
    code: str = "the-code"
    challenge: str = ""
    nonce: str = ""

    async def discovery(self, _: web.Request) -> web.Response:
        endpoints = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        return web.json_response({"issuer": self.url, **endpoints, **self.discovered})

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([self.published or self.key]).as_dict(private=False))

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        made = base64.urlsafe_b64encode(sha256(str(form["code_verifier"]).encode()).digest()).decode().rstrip("=")
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if made != self.challenge or request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        honest = {"iss": self.url, "aud": CLIENT, "sub": "s", "iat": now, "exp": now + 60, "nonce": self.nonce}
        claims = {**honest, "email": "s@example.org", "email_verified": True, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return web.json_response({"id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)})


@contextlib.asynccontextmanager
async def liar(lies: Liar) -> AsyncIterator[OidcClient]:
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", lies.discovery)
    app.router.add_get("/jwks_uri", lies.keys)
    app.router.add_post("/token_endpoint", lies.token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    lies.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        yield OidcClient(OidcSettings(lies.url, CLIENT, SECRET), session)
    await runner.cleanup()


async def finish(client: OidcClient, lies: Liar, *, issuer: str = "", state: str = "", browser: str = "") -> str:
    url, cookie = await client.begin(CALLBACK)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (query["code_challenge_method"], query["response_type"]) == ("S256", "code")
    lies.challenge, lies.nonce = query["code_challenge"], query["nonce"]
    return (await client.finish(state or query["state"], lies.code, browser or cookie, issuer, CALLBACK)).id


async def test_the_truth_is_believed() -> None:
    lies = Liar()
    async with liar(lies) as client:
        assert await finish(client, lies) == f"{lies.url}|s"
        assert await finish(client, lies, issuer=lies.url) == f"{lies.url}|s"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "somebody-else"},
        {"aud": [CLIENT, "somebody-else"], "azp": "somebody-else"},
        {"iss": "http://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
    ],
)
async def test_lies_in_claims(claims: dict[str, Any]) -> None:
    lies = Liar(claims=claims)
    async with liar(lies) as client:
        with pytest.raises(ForbiddenError):
            await finish(client, lies)


async def test_a_signature_by_another_key() -> None:
    lies = Liar(published=RSAKey.generate_key(2048, {"kid": "1", "use": "sig"}))
    async with liar(lies) as client:
        with pytest.raises(ForbiddenError):
            await finish(client, lies)


async def test_keys_that_were_rotated_are_read_again() -> None:
    lies = Liar()
    async with liar(lies) as client:
        await finish(client, lies)
        lies.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})
        assert await finish(client, lies) == f"{lies.url}|s"


@pytest.mark.parametrize("wrong", [{"issuer": "http://evil.example"}, {"state": "other"}, {"browser": "other"}])
async def test_mix_ups(wrong: dict[str, str]) -> None:
    lies = Liar()
    async with liar(lies) as client:
        with pytest.raises(ControlError):
            await finish(client, lies, **wrong)


async def test_a_configuration_of_somebody_else() -> None:
    lies = Liar(discovered={"issuer": "http://evil.example"})
    async with liar(lies) as client:
        with pytest.raises(ForbiddenError):
            await client.begin(CALLBACK)
