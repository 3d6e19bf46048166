"""OAuth through the gateway: a server's protected-resource metadata, told for the address clients use.

The token is the client's own and goes through (`pass_authorization`); the gateway takes no part in the flow.
A client checks that the metadata's `resource` is the address it calls (RFC 9728, 3.3), so that is rewritten.
"""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp import web

from sigmaguard_proxy.mcp.settings import ServerSettings

WELL_KNOWN = "/.well-known/oauth-protected-resource"
LIMIT_BYTES = 65_536
_METADATA = re.compile(r'resource_metadata="[^"]*"')


def own_base(request: web.BaseRequest) -> str:
    """The address the caller uses, as far as a proxy in front of us tells it. Only ever told to that caller."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0].strip()
    return f"{'https' if scheme == 'https' else 'http'}://{request.host}"


def challenge(headers: Mapping[str, str], request: web.BaseRequest, server: str) -> dict[str, str]:
    """The `WWW-Authenticate` of a 401 with our metadata in place of the server's; empty where there is none."""
    value = headers.get("WWW-Authenticate", "")
    if not value:
        return {}
    own = f'resource_metadata="{own_base(request)}{WELL_KNOWN}/mcp/{server}"'
    if _METADATA.search(value):
        return {"WWW-Authenticate": _METADATA.sub(own, value)}
    return {"WWW-Authenticate": f"{value}, {own}" if value.lower().startswith("bearer ") else f"{value} {own}"}


async def metadata(
    session: aiohttp.ClientSession, settings: ServerSettings, request: web.BaseRequest, server: str
) -> web.Response:
    """A server's metadata with `resource` rewritten; 404 where it has none."""
    parts = urlsplit(settings.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    try:
        async with asyncio.timeout(settings.start_timeout_s):  # for both places: a caller waits for the answer
            for place in dict.fromkeys((f"{origin}{WELL_KNOWN}{parts.path.rstrip('/')}", f"{origin}{WELL_KNOWN}")):
                found = await _fetch(session, place)
                if found is not None:
                    return web.json_response({**found, "resource": f"{own_base(request)}/mcp/{server}"})
    except TimeoutError:
        return web.json_response({"error": "upstream_timeout"}, status=504)
    return web.json_response({"error": "not_found"}, status=404)


async def _fetch(session: aiohttp.ClientSession, url: str) -> dict[str, object] | None:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    raw = bytearray()
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                return None
            async for chunk in answer.content.iter_any():  # `read(n)` gives what has come so far, not all
                raw += chunk
                if len(raw) > LIMIT_BYTES:
                    return None
        body = orjson.loads(raw)
    except (aiohttp.ClientError, OSError, orjson.JSONDecodeError):
        return None
    return body if isinstance(body, dict) else None
