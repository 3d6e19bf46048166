"""The admin port's application: the API, its document and page, metrics and probes, and headers on everything."""

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from importlib.resources import files

import msgspec
from aiohttp import web

from sigmaguard_proxy.admin.door import BODY_LIMIT, Door
from sigmaguard_proxy.admin.endpoint import Endpoint
from sigmaguard_proxy.admin.endpoints.audit import AuditEndpoints
from sigmaguard_proxy.admin.endpoints.keys import KeyEndpoints
from sigmaguard_proxy.admin.endpoints.policies import PolicyEndpoints
from sigmaguard_proxy.admin.endpoints.signing_in import SigningIn
from sigmaguard_proxy.admin.endpoints.system import SystemEndpoints
from sigmaguard_proxy.admin.endpoints.tenants import TenantEndpoints
from sigmaguard_proxy.admin.endpoints.tools import ToolEndpoints
from sigmaguard_proxy.admin.openapi import openapi
from sigmaguard_proxy.admin.problems import problem
from sigmaguard_proxy.admin.services import AdminServices

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGES = {
    "/docs/": "docs.html",
    "/docs/docs.js": "docs.js",
    "/docs/docs.css": "docs.css",
    "/claim": "account.html",
    "/sign-in": "account.html",
    "/docs/account.js": "account.js",
}
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def all_endpoints(services: AdminServices, upstreams: Sequence[str]) -> list[Endpoint]:
    """The whole table."""
    return [
        *SigningIn(services).endpoints(),
        *TenantEndpoints(services).endpoints(),
        *KeyEndpoints(services).endpoints(),
        *PolicyEndpoints(services).endpoints(),
        *AuditEndpoints(services).endpoints(),
        *ToolEndpoints(services).endpoints(),
        *SystemEndpoints(services, tuple(upstreams)).endpoints(),
    ]


def admin_app(
    services: AdminServices, door: Door, endpoints: Sequence[Endpoint], metrics: Callable[[], bytes]
) -> web.Application:
    """The application. `metrics` gives the exposition text."""
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_one_shape])
    app.on_response_prepare.append(_harden)
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, f"/api/v1{endpoint.path}", door.handler(endpoint))
    document = msgspec.json.format(msgspec.json.encode(openapi(endpoints, version("sigmaguard"))))

    async def described(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    async def measured(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        degraded = services.degraded()
        if not services.is_ready():
            return web.json_response({"status": "starting", "degraded": degraded}, status=503)
        return web.json_response({"status": "degraded" if degraded else "ok", "degraded": degraded})

    async def to_docs(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/docs/"})

    app.router.add_get("/api/v1/openapi.json", described)
    app.router.add_get("/metrics", measured)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/", to_docs)
    app.router.add_get("/docs", to_docs)
    for path, name in PAGES.items():
        app.router.add_get(path, _page(name))
    return app


def _page(name: str) -> Handler:
    content = files("sigmaguard_proxy.admin").joinpath("pages", name).read_bytes()

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=TYPES[name.rpartition(".")[2]], charset="utf-8")

    return show


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    response.headers.popall("Server", None)


@web.middleware
async def _one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The router's own refusals in the same shape as everybody else's."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        code = error.reason.lower().replace(" ", "_")
        answer = problem(error.status, code, f"{request.method} {request.path}: {error.reason}", "")
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
