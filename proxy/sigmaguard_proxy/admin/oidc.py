"""Signing in with an OpenID Connect provider: authorization code flow with PKCE, `state` and `nonce`.

Signatures and claims are checked by joserfc (OpenID Connect Core 1.0, 3.1.3.7; RFC 7636; RFC 9207). Holds
logins that are under way in memory, a few minutes long; knows no account.
"""

import base64
import secrets
import time
from collections import OrderedDict
from hashlib import sha256
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from sigmaguard_proxy.control.errors import ForbiddenError, NotFoundError
from sigmaguard_proxy.control.permissions import Role

T = TypeVar("T")
TIMEOUT_S = 10.0
LOGIN_S = 600.0
LOGINS = 1_000
KEYS_FRESH_S = 300.0
SKEW_S = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


class OidcSettings(msgspec.Struct, frozen=True):
    """Which provider, and who we are to it. `default_role`: what a person nobody asked in becomes (None: refused)."""

    issuer: str
    client_id: str
    client_secret: str
    default_role: Role | None = None


class OidcIdentity(msgspec.Struct, frozen=True):
    """Whom the provider vouches for; `id` is issuer and subject."""

    id: str
    email: str
    name: str
    verified: bool


class _Discovered(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""


class _Login(msgspec.Struct, frozen=True):
    at: float
    nonce: str
    verifier: str
    browser: str


class OidcClient:
    """One provider. `redirect_uri` is our callback as the browser reaches it."""

    def __init__(self, settings: OidcSettings, session: aiohttp.ClientSession) -> None:
        self.settings = settings
        self._session = session
        self._discovered: _Discovered | None = None
        self._keys: KeySet | None = None
        self._keys_at = 0.0
        self._logins: OrderedDict[str, _Login] = OrderedDict()

    async def begin(self, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and a secret for its cookie that ties the answer to it. Raises OSError."""
        discovered = await self._discover()
        state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
        now = time.monotonic()
        self._logins[state] = _Login(now, nonce, verifier, browser)
        while len(self._logins) > LOGINS or next(iter(self._logins.values())).at < now - LOGIN_S:
            self._logins.popitem(last=False)
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in discovered.authorization_endpoint else "?"
        return f"{discovered.authorization_endpoint}{mark}{urlencode(query)}", browser

    async def finish(self, state: str, code: str, browser: str, issuer: str, redirect_uri: str) -> OidcIdentity:
        """Whom the provider's answer names. Raises NotFoundError, ForbiddenError, OSError."""
        login = self._logins.pop(state, None)
        if login is None or login.at < time.monotonic() - LOGIN_S:
            raise NotFoundError("this login was finished or took too long; begin again", "login_over")
        if not secrets.compare_digest(login.browser, browser):
            raise ForbiddenError("this login was begun in another browser")
        discovered = await self._discover()
        if issuer and issuer != discovered.issuer:
            raise ForbiddenError("the answer comes from another provider")
        tokens = await self._exchange(discovered, code, login.verifier, redirect_uri)
        claims = await self._verified(discovered, tokens.id_token, login.nonce)
        if "email" not in claims and discovered.userinfo_endpoint:
            claims = {**await self._userinfo(discovered, tokens.access_token, str(claims["sub"])), **claims}
        return OidcIdentity(
            id=f"{discovered.issuer}|{claims['sub']}",
            email=str(claims.get("email", "")),
            name=str(claims.get("name", "")),
            verified=claims.get("email_verified") is True,
        )

    async def _discover(self) -> _Discovered:
        if self._discovered is None:
            raw = await self._get(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            discovered = _decode(raw, _Discovered)
            if discovered.issuer.rstrip("/") != self.settings.issuer.rstrip("/"):
                raise ForbiddenError("the provider's configuration names another issuer")
            self._discovered = discovered
        return self._discovered

    async def _exchange(self, discovered: _Discovered, code: str, verifier: str, redirect_uri: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        client, secret = self.settings.client_id, self.settings.client_secret
        headers: dict[str, str] = {}
        if "client_secret_basic" in discovered.token_endpoint_auth_methods_supported:
            # form-encoded before they are joined (RFC 6749, 2.3.1)
            headers["Authorization"] = aiohttp.encode_basic_auth(quote(client, safe=""), quote(secret, safe=""))
        else:
            form |= {"client_id": client, "client_secret": secret}
        try:
            async with self._session.post(
                discovered.token_endpoint, data=form, headers=headers, timeout=aiohttp.ClientTimeout(TIMEOUT_S)
            ) as answer:
                raw = await answer.read()
                if answer.status != 200:
                    raise ForbiddenError(f"the provider refused the login ({answer.status})", "login_refused")
        except aiohttp.ClientError as error:
            raise OSError("the identity provider does not answer") from error
        return _decode(raw, _Tokens)

    async def _verified(self, discovered: _Discovered, token: str, nonce: str) -> dict[str, object]:
        registry = JWTClaimsRegistry(
            leeway=SKEW_S,
            iss={"essential": True, "value": discovered.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = self._checked(token, await self._key_set(discovered, fresh=False), registry)
        except (JoseError, ValueError):  # once more with keys just read: the provider may have rotated them
            try:
                claims = self._checked(token, await self._key_set(discovered, fresh=True), registry)
            except (JoseError, ValueError) as error:
                raise ForbiddenError("the provider's answer does not verify", "bad_id_token") from error
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.settings.client_id:
            raise ForbiddenError("the provider's answer is for someone else", "bad_id_token")
        return claims

    def _checked(self, token: str, keys: KeySet, registry: JWTClaimsRegistry) -> dict[str, object]:
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        registry.validate(decoded.claims)
        return dict(decoded.claims)

    async def _key_set(self, discovered: _Discovered, *, fresh: bool) -> KeySet:
        now = time.monotonic()
        if self._keys is None or fresh or now - self._keys_at > KEYS_FRESH_S:
            raw = await self._get(discovered.jwks_uri)
            self._keys, self._keys_at = KeySet.import_key_set(msgspec.json.decode(raw)), now
        return self._keys

    async def _userinfo(self, discovered: _Discovered, token: str, subject: str) -> dict[str, object]:
        raw = await self._get(discovered.userinfo_endpoint, {"Authorization": f"Bearer {token}"})
        found: dict[str, object] = _decode(raw, dict)
        # a mix-up here would sign in somebody else (OpenID Connect Core 5.3.2)
        return found if found.get("sub") == subject else {}

    async def _get(self, url: str, headers: dict[str, str] | None = None) -> bytes:
        try:
            async with self._session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as answer:
                if answer.status != 200:
                    raise OSError(f"the identity provider answered {answer.status}")
                return await answer.read()
        except aiohttp.ClientError as error:
            raise OSError("the identity provider does not answer") from error


def _decode(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise OSError("the identity provider's answer is not what it should be") from error
