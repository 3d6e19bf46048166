"""Tool sessions live in one worker; the others hand their requests to it over a Unix socket. Knows bytes only.

A session with a program, a federated session and an older client's stream are held in a process's memory,
while the system spreads a client's connections over all workers. LLM traffic is not concerned.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sigmaguard_proxy.control.link import SOCKET_PATH_BYTES
from sigmaguard_proxy.upstreams import HOP_BY_HOP

REMOTE = "x-sigmaguard-remote"  # the caller's address; believed on the socket alone, dropped everywhere else
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def socket_file(data: Path, name: str) -> Path:
    """Where the socket lies: as a short relative path where the folder's own is too long for one."""
    path = data.resolve() / name
    return path if len(str(path).encode()) <= SOCKET_PATH_BYTES else data / name


class Keeper:
    """The worker that keeps the sessions: serves its own port and the socket."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Opens the socket; one that a killed worker left behind is replaced."""
        self._path.unlink(missing_ok=True)
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._path)).start()
        self._path.chmod(0o600)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._handler(request.clone(remote=request.headers.get(REMOTE, "")))

    async def close(self) -> None:
        """Closes the socket."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._path.unlink(missing_ok=True)


class Forwarder:
    """Every other worker: takes requests to the keeper and brings answers back as they come."""

    def __init__(self, path: Path) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(path), limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in HOP_BY_HOP and name.lower() != REMOTE
        )
        headers[REMOTE] = request.remote or ""
        url = URL(f"http://keeper{request.rel_url.raw_path_qs}", encoded=True)
        body = request.content if request.can_read_body else None
        try:
            answer = await self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except (TimeoutError, aiohttp.ClientError, OSError):
            error = {"code": -32091, "message": "the worker that keeps tool sessions is starting; try again"}
            body_of_error = {"jsonrpc": "2.0", "id": None, "error": error}
            return web.json_response(body_of_error, status=503, headers={"Retry-After": "1"})
        async with answer:
            kept = CIMultiDict((n, v) for n, v in answer.headers.items() if n.lower() not in HOP_BY_HOP)
            out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            await out.prepare(request)
            async for chunk in answer.content.iter_any():
                await out.write(chunk)
            await out.write_eof()
            return out

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()
