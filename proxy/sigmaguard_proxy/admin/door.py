"""The admin API's door: who it is, whether they may, whether it is right; then the handler; then the answer.

Every endpoint goes through the same steps in the same order, so none can forget one.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from sigmaguard.policy.explain import explain
from sigmaguard_proxy.admin.endpoint import Answer, Call, Endpoint
from sigmaguard_proxy.admin.idempotency import Idempotency, Kept
from sigmaguard_proxy.admin.paths import PATH_PATTERNS
from sigmaguard_proxy.admin.problems import ProblemError, problem, refusal
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.errors import ControlError, InvalidError, Wrong
from sigmaguard_proxy.control.signin import SignIn
from sigmaguard_proxy.control.signin_shapes import Principal
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import DatabaseDownError

COOKIE = "sigmaguard_session"
CSRF_HEADER = "X-CSRF-Token"
BODY_LIMIT = 2 * 1024 * 1024
SAFE = ("GET", "HEAD")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
ETAG = re.compile(r'"(\d{1,9})"')
TenantExists = Callable[[str], Awaitable[bool]]


class Door:
    """Turns endpoints into aiohttp handlers."""

    def __init__(
        self, signin: SignIn, idempotency: Idempotency, tenant_exists: TenantExists, log: Log, *, secure: bool
    ) -> None:
        self._signin = signin
        self._idempotency = idempotency
        self._tenant_exists = tenant_exists
        self._log = log
        self._secure = secure

    def handler(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The endpoint as aiohttp wants it. Whatever happens, the answer has one shape."""
        decode_body = msgspec.json.Decoder(endpoint.body).decode if endpoint.body is not None else None

        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = f"req_{secrets.token_hex(12)}"
            try:
                answer = await self._answer(endpoint, request, decode_body)
            except ProblemError as error:
                answer = problem(error.status, error.code, error.detail, request_id)
                answer.headers.update(error.headers)
            except ControlError as error:
                answer = refusal(error, request_id)
            except DatabaseDownError:
                detail = "the database does not answer; traffic goes on under the last good policy"
                answer = problem(503, "database_unavailable", detail, request_id)
                answer.headers["Retry-After"] = "1"
            except web.HTTPRequestEntityTooLarge:
                answer = problem(413, "body_too_large", f"a body has {BODY_LIMIT} bytes at most", request_id)
            except Exception as error:  # the admin door: whatever it was, the caller gets a clear answer
                self._log.error(
                    "admin_request_failed", request=request_id, error=type(error).__name__, name=endpoint.name
                )
                answer = problem(500, "internal_error", f"Sigmaguard failed; see the log for {request_id}", request_id)
            if not answer.prepared:
                answer.headers["X-Request-Id"] = request_id
            return answer

        return handle

    async def _answer(
        self, endpoint: Endpoint, request: web.Request, decode_body: Callable[[bytes], Any] | None
    ) -> web.StreamResponse:
        principal = await self._who(request)
        if endpoint.where != "public" and principal is None:
            raise ProblemError(
                401,
                "unauthenticated",
                "sign in, or send a personal token",
                {"WWW-Authenticate": 'Bearer realm="sigmaguard"'},
            )
        if request.method not in SAFE:
            # whoever signs in begins anew: the session their browser still has must not stand in the way
            _check_origin(request, principal if endpoint.where != "public" else None)
        tenant = _path(request)
        await self._check_permission(endpoint, principal, tenant)
        query = _query(endpoint, request)
        raw = await self._body(endpoint, request)
        body = _decoded(decode_body, endpoint.body, raw) if decode_body is not None else None
        call = Call(
            request=request,
            tenant=tenant,
            path=dict(request.match_info),
            query=query,
            body=body,
            principal=principal,
            expected=_expected(request) if endpoint.versioned else None,
            remote=request.remote or "",
            client=request.headers.get("User-Agent", ""),
        )
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method in SAFE or principal is None:
            return self._response(endpoint, request, await endpoint.handler(call))
        return await self._once(endpoint, request, call, key, raw)

    async def _once(
        self, endpoint: Endpoint, request: web.Request, call: Call[Any, Any], key: str, raw: bytes
    ) -> web.StreamResponse:
        if not IDEMPOTENCY_KEY.fullmatch(key):
            raise ProblemError(400, "bad_idempotency_key", "an Idempotency-Key has 1 to 255 printable characters")
        user = call.who.user
        kept = await self._idempotency.begin(user, key, request.method, request.path_qs, raw)
        if kept is not None:
            return web.Response(
                status=kept.status, body=kept.body, headers={**kept.headers, "Idempotency-Replayed": "true"}
            )
        try:
            response = self._response(endpoint, request, await endpoint.handler(call))
        except ControlError as error:
            response = refusal(error, f"req_{secrets.token_hex(12)}")
        except BaseException:
            await self._idempotency.finish(user, key, Kept(500, {}, b""))
            raise
        assert isinstance(response, web.Response)
        shown = {name: response.headers[name] for name in ("Content-Type", "ETag") if name in response.headers}
        await self._idempotency.finish(user, key, Kept(response.status, shown, bytes(response.body or b"")))  # type: ignore[arg-type]
        return response

    async def _who(self, request: web.Request) -> Principal | None:
        authorization = request.headers.get("Authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            principal = await self._signin.by_token(token.strip()) if scheme.lower() == "bearer" else None
            if principal is None:
                raise ProblemError(
                    401,
                    "bad_token",
                    "this token is not known or has expired",
                    {"WWW-Authenticate": 'Bearer realm="sigmaguard"'},
                )
            return principal
        cookie = request.cookies.get(COOKIE)
        return await self._signin.by_cookie(cookie) if cookie else None

    async def _check_permission(self, endpoint: Endpoint, principal: Principal | None, tenant: str) -> None:
        if endpoint.where in ("public", "self"):
            return
        assert principal is not None
        scope = tenant if endpoint.where == "tenant" else EVERYWHERE
        mine = principal.permissions(scope)
        if endpoint.where == "tenant" and (not mine or not await self._tenant_exists(tenant)):
            # to someone who does not belong there, a tenant that exists looks like one that does not
            raise ProblemError(404, "not_found", f"there is no tenant `{tenant}` that you belong to")
        if endpoint.permission is not None and endpoint.permission not in mine:
            raise ProblemError(403, "forbidden", f"this needs the permission `{endpoint.permission}`")

    async def _body(self, endpoint: Endpoint, request: web.Request) -> bytes:
        if endpoint.body is None:
            return await request.read() if request.can_read_body else b""
        if request.content_type != "application/json":
            raise ProblemError(415, "unsupported_media_type", "send application/json")
        return await request.read()

    def _response(self, endpoint: Endpoint, request: web.Request, result: Any) -> web.StreamResponse:
        if isinstance(result, web.StreamResponse):
            return result
        answer = result if isinstance(result, Answer) else Answer(result, endpoint.status)
        body = msgspec.json.encode(answer.body) if endpoint.answer is not None else b""
        headers = dict(answer.headers)
        if body:
            version = getattr(answer.body, "version", None)
            headers["ETag"] = f'"{version}"' if version is not None else f'W/"{sha256(body).hexdigest()[:32]}"'
            headers["Content-Type"] = endpoint.media
        if request.method in SAFE and headers.get("ETag") in _tags(request.headers.get("If-None-Match", "")):
            return web.Response(status=304, headers={"ETag": headers["ETag"]})
        response = web.Response(status=answer.status, body=body or None, headers=headers)
        if answer.cookie is not None:
            response.set_cookie(
                COOKIE,
                answer.cookie.value,
                max_age=answer.cookie.max_age_s,
                path="/",
                httponly=True,
                secure=self._secure,
                samesite="Strict",
            )
        return response


def _check_origin(request: web.Request, principal: Principal | None) -> None:
    """A browser must come from our own pages, and prove it with the session's token (OWASP CSRF cheat sheet)."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    if site not in ("none", "same-origin") or (origin not in (None, "null") and _host(origin) != request.host):
        raise ProblemError(403, "cross_site", "requests from other sites are refused")
    if principal is not None and principal.via == "session":
        sent = request.headers.get(CSRF_HEADER, "")
        if not secrets.compare_digest(sent.encode(), principal.csrf.encode()):
            raise ProblemError(403, "csrf", f"send the session's `csrf` in the header {CSRF_HEADER}")


def _host(origin: str | None) -> str:
    return (origin or "").partition("://")[2]


def _path(request: web.Request) -> str:
    """Checks every name in the path; returns the tenant, empty where there is none."""
    for name, value in request.match_info.items():
        pattern = PATH_PATTERNS[name]
        if not re.fullmatch(pattern, value):
            detail = f"there is nothing called that: `{name}` is not well-formed, it matches {pattern}"
            raise ProblemError(404, "not_found", detail)
    return request.match_info.get("tenant", "")


def _query(endpoint: Endpoint, request: web.Request) -> msgspec.Struct:
    pairs = request.query
    names = set(pairs.keys())
    if any(len(pairs.getall(name)) > 1 for name in names):
        raise InvalidError("a query parameter is given twice")
    try:
        return msgspec.convert(dict(pairs), endpoint.query, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, "query", dict(pairs), endpoint.query, strict=False) from error


def _decoded(decode: Callable[[bytes], Any], kind: Any, raw: bytes) -> Any:
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(error, "body", _given(raw), kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(400, "malformed_json", f"the body is not JSON: {error}") from error


def _given(raw: bytes) -> object:
    """The whole body: what does not fit may stand before what is no JSON at all."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(400, "malformed_json", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise ProblemError(400, "malformed_json", "the body is nested too deep") from error


def _invalid(
    error: msgspec.ValidationError, what: str, given: object, kind: Any, *, strict: bool = True
) -> InvalidError:
    """The refusal in the words that packs and settings are refused in: with the nearest name, choices and bounds."""
    message, _, place = str(error).partition(" - at `$")
    at = place.rstrip("`").lstrip(".")
    said = explain(given, kind, f"{message}{f' at `{at}`' if at else ''}", strict=strict)
    return InvalidError(f"{what}: {said}", Wrong(at, said))


def _expected(request: web.Request) -> int | None:
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    found = ETAG.fullmatch(header.strip())
    if found is None:
        raise ProblemError(412, "changed_meanwhile", 'If-Match is the ETag of what you saw, such as "3"')
    return int(found[1])


def _tags(header: str) -> Sequence[str]:
    return [tag.strip() for tag in header.split(",")] if header else ()
