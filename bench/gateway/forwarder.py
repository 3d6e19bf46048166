"""The bare forwarder: aiohttp server and client on uvloop, bytes in, bytes out. The yardstick.

It is as lean as aiohttp gets (the low-level server, no router, no decompression, no access log), so
that a ratio to it flatters nobody.

    python -m gateway.forwarder PORT UPSTREAM_URL
"""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

DROPPED = {"host", "content-length", "connection", "transfer-encoding", "keep-alive"}


async def serve(port: int, upstream: str) -> None:
    """Serves until killed."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in DROPPED)
        url = URL(upstream + request.rel_url.raw_path_qs, encoded=True)
        async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
            back = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in DROPPED)
            if answer.content_length is not None:
                return web.Response(status=answer.status, headers=back, body=await answer.content.read())
            out = web.StreamResponse(status=answer.status, headers=back)
            await out.prepare(request)
            async for chunk in answer.content.iter_any():
                await out.write(chunk)
            await out.write_eof()
            return out

    server = web.Server(handle, access_log=None, auto_decompress=False)
    runner = web.ServerRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
