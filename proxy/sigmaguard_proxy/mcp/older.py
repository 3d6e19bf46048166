"""The HTTP+SSE transport of MCP 2024-11-05 towards clients; servers are reached as ever. Knows no verdicts.

One GET holds the stream that carries every answer; each message of the client is a POST of its own, accepted
at once. The session with the server behind is kept here, since such clients know of none.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault, overloaded
from sigmaguard_proxy.mcp.conversing import SESSION, VERSION, Conversation
from sigmaguard_proxy.mcp.endpoint import Endpoint, child
from sigmaguard_proxy.mcp.message import Kind, Message, parse_messages
from sigmaguard_proxy.mcp.out import ForwardingOut
from sigmaguard_proxy.mcp.reading import Reading
from sigmaguard_proxy.mcp.refuse import refusal_message
from sigmaguard_proxy.tooling.door import read_body, through
from sigmaguard_proxy.tooling.tooling import scope

if TYPE_CHECKING:
    from sigmaguard_proxy.mcp.gateway import Gateway

STREAMS = 1_000  # open streams of one worker
UNDER_WAY = 100  # requests of one stream under way
PING_S = 15.0  # proxies in between close streams that are silent for a minute


class _Stream:
    """An open stream and the session behind it."""

    def __init__(self, endpoint: Endpoint, owner: str, response: web.StreamResponse, exchange: Exchange) -> None:
        self.endpoint = endpoint
        self.owner = owner
        self.response = response
        self.exchange = exchange
        self.session = ""
        self.version = ""
        self.tasks: set[asyncio.Task[Any]] = set()


class OlderTransport:
    """`GET /mcp/{server}/sse` and `POST /mcp/{server}/messages`."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._streams: dict[str, _Stream] = {}

    async def open(self, exchange: Exchange, endpoint: Endpoint) -> web.StreamResponse:
        """Holds the stream open until the client leaves. Raises FaultError."""
        if exchange.request.method != "GET":
            raise client_fault("method_not_allowed", "the stream is opened with GET", 405)
        if len(self._streams) >= STREAMS:
            raise overloaded("too_many_streams", f"{STREAMS} streams are open")
        identifier = secrets.token_urlsafe(24)
        headers = {**exchange.headers(), "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        response = web.StreamResponse(status=200, headers=headers)
        exchange.status, exchange.method, exchange.streamed = 200, "listen", True
        await response.prepare(exchange.request)
        stream = _Stream(endpoint, scope(exchange.who.subject), response, exchange)
        self._streams[identifier] = stream
        place = f"/mcp/{endpoint.name}/messages?session_id={identifier}"
        try:
            await response.write(f"event: endpoint\ndata: {place}\n\n".encode())
            while True:
                await asyncio.sleep(PING_S)
                await response.write(b": ping\n\n")
        except ConnectionError:
            return response
        finally:
            del self._streams[identifier]
            await self._close(stream)

    async def _close(self, stream: _Stream) -> None:
        for task in list(stream.tasks):
            task.cancel()
        if stream.session:
            headers = {SESSION: stream.session, VERSION: stream.version}
            ending = self._end(stream, headers)
            self._gateway.services.tasks.spawn(ending, name="mcp-end")

    async def _end(self, stream: _Stream, headers: dict[str, str]) -> None:
        with contextlib.suppress(FaultError):  # a server that is gone has ended its sessions too
            answer = await stream.endpoint.server.delete(headers, stream.owner)
            await answer.close()

    async def post(self, exchange: Exchange, endpoint: Endpoint, reading: Reading) -> web.StreamResponse:
        """One message; accepted at once where it asks for an answer. Raises FaultError."""
        request = exchange.request
        stream = self._streams.get(request.rel_url.query.get("session_id", ""))
        if stream is None or stream.owner != scope(exchange.who.subject) or stream.endpoint is not endpoint:
            raise client_fault("session_unknown", "no such stream; open one with GET", 404)
        if request.method != "POST":
            raise client_fault("method_not_allowed", "messages are sent with POST", 405)
        raw = await read_body(request, endpoint.settings.message_bytes)
        out = ForwardingOut(stream.response)
        headers = _headers(request, stream)
        carry = self._carry(exchange, stream, headers, out, reading, raw)
        if b'"id"' in raw:
            if len(stream.tasks) >= UNDER_WAY:
                carry.close()
                raise overloaded("too_many_requests", f"{UNDER_WAY} requests of this stream are under way")
            exchange.recorded = True  # the task that carries it records it
            self._spawn(stream, carry)
        else:
            await carry  # order matters for notifications: they are passed on before the next message is read
        return web.Response(status=202, headers=exchange.headers())

    def _spawn(self, stream: _Stream, work: Coroutine[Any, Any, Any]) -> None:
        task = self._gateway.services.tasks.spawn(work, name="mcp-message")
        stream.tasks.add(task)
        task.add_done_callback(stream.tasks.discard)

    async def _carry(
        self,
        exchange: Exchange,
        stream: _Stream,
        headers: CIMultiDict[str],
        out: ForwardingOut,
        reading: Reading,
        raw: bytes,
    ) -> None:
        """Takes one message to the server and what it brings back to the stream."""
        exchange.recorded = False
        refused: list[Refusal] = []

        async def stages() -> web.StreamResponse:
            await self._gateway.send(exchange, stream.endpoint, headers, out, reading, raw)
            return web.Response(status=202)

        def refuse(refusal: Refusal) -> web.StreamResponse:
            refused.append(refusal)
            return web.Response(status=refusal.status)

        gateway = self._gateway
        try:
            await through(gateway.services, gateway.record, exchange, stages, refuse)
            for one in reading.messages:
                if refused and one.kind is Kind.REQUEST:
                    await out.message(refusal_message(refused[0], one.id, one.method))
        except ConnectionError:
            return  # the stream has gone; its end cleans up
        if not refused:
            self._follow(stream, out, reading.messages)

    def _follow(self, stream: _Stream, out: ForwardingOut, messages: list[Message]) -> None:
        """Notes the session that initialize began; listens to the server once the client is ready."""
        for one in messages:
            if one.method == "initialize":
                stream.session = out.headers.get(SESSION, "")
                stream.version = _version_of(out.answers)
            elif one.method == "notifications/initialized" and stream.session:
                self._spawn(stream, self._listen(stream))

    async def _listen(self, stream: _Stream) -> None:
        exchange = child(stream.exchange, stream.endpoint.name)
        exchange.method = "listen"
        gateway = self._gateway
        headers = _headers(exchange.request, stream)
        headers["Accept"] = "text/event-stream"
        session = stream.endpoint.sessions.get(stream.owner, stream.session)
        out = ForwardingOut(stream.response)

        async def stages() -> web.StreamResponse:
            conversation = Conversation(
                gateway.services, gateway.record, exchange, stream.endpoint, session, headers, out
            )
            await conversation.listen()
            return web.Response()

        with contextlib.suppress(ConnectionError):
            await through(gateway.services, gateway.record, exchange, stages, lambda _: web.Response())


def _headers(request: web.BaseRequest, stream: _Stream) -> CIMultiDict[str]:
    headers = CIMultiDict(request.headers)
    headers["Accept"] = "application/json, text/event-stream"
    headers["Content-Type"] = "application/json"
    for name, value in ((SESSION, stream.session), (VERSION, stream.version)):
        headers.popall(name, None)
        if value:
            headers[name] = value
    return headers


def _version_of(answers: list[bytes]) -> str:
    for one in answers:
        messages, _ = parse_messages(one)
        result = messages[0].body.get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        if isinstance(version, str):
            return version
    return ""
