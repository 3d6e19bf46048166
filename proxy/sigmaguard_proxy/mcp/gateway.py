"""`/mcp/{server}`: MCP over streamable HTTP and over the older HTTP+SSE, in front of declared servers.

Knows paths, methods and sessions' owners; what may pass is the conversation's affair.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from sigmaguard.errors import WireError
from sigmaguard.model import Fault, FaultSource, Mode
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.encoding import decode_body, encoding_of
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import client_fault
from sigmaguard_proxy.mcp.conversing import SESSION, VERSION, Conversation
from sigmaguard_proxy.mcp.endpoint import Endpoint, begin_exchange, describe
from sigmaguard_proxy.mcp.federation import Federation
from sigmaguard_proxy.mcp.guard import Guard
from sigmaguard_proxy.mcp.message import (
    INVALID_REQUEST,
    MODERN,
    PARSE_ERROR,
    UPSTREAM,
    Kind,
    Message,
    encode,
    error_message,
    parse_messages,
)
from sigmaguard_proxy.mcp.oauth import WELL_KNOWN, metadata
from sigmaguard_proxy.mcp.older import OlderTransport
from sigmaguard_proxy.mcp.out import HttpOut, Out
from sigmaguard_proxy.mcp.pins import PinBook
from sigmaguard_proxy.mcp.reading import Reading
from sigmaguard_proxy.mcp.refuse import refusal_message
from sigmaguard_proxy.mcp.schemas import Schemas
from sigmaguard_proxy.mcp.sessions import Session, Sessions
from sigmaguard_proxy.mcp.settings import McpSettings, ServerSettings
from sigmaguard_proxy.mcp.stdio_server import StdioServer
from sigmaguard_proxy.mcp.upstream import HttpServer, Server
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.door import identify, limit, read_body, through
from sigmaguard_proxy.tooling.tooling import Tooling, scope

OWNERS = 20_000  # sessions whose owner is remembered; older ones are their server's to know
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Gateway:
    """Every declared server behind the firewall."""

    def __init__(
        self,
        services: Services,
        settings: McpSettings,
        tooling: Tooling,
        record: Callable[[Exchange], None],
        pins: Path | None = None,
    ) -> None:
        self.services = services
        self.settings = settings
        self.tooling = tooling
        self.record = record
        self.book = PinBook(pins)
        self._schemas = Schemas()
        self.endpoints: dict[str, Endpoint] = {
            name: self._endpoint(name, one) for name, one in settings.servers.items()
        }
        self._older = OlderTransport(self)
        self._federation = Federation(self)
        self._owners: OrderedDict[str, str] = OrderedDict()

    def _endpoint(self, name: str, settings: ServerSettings) -> Endpoint:
        server: Server = (
            HttpServer(name, settings, self.services) if settings.url else StdioServer(name, settings, self.services)
        )
        guard = Guard(name, settings, self.services, self.tooling, self.book, self._schemas)
        return Endpoint(name, settings, server, guard, Sessions())

    def failing(self) -> list[str]:
        """The programs whose last start failed; what they offer is missing."""
        return [
            name
            for name, one in self.endpoints.items()
            if isinstance(one.server, StdioServer) and one.server.is_failing
        ]

    async def close(self) -> None:
        """Ends every server process."""
        for endpoint in self.endpoints.values():
            await endpoint.server.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request to `/mcp` or `/mcp/{server}`."""
        if request.path.rstrip("/") == "/mcp":
            return await self._federation.handle(request, lambda: check_origin(request, self.settings.origins))
        name, _, below = request.path.removeprefix("/mcp").strip("/").partition("/")
        exchange = Exchange(request)
        begin_exchange(exchange, name)
        out = HttpOut(request)
        reading = Reading()

        async def stages() -> web.StreamResponse:
            check_origin(request, self.settings.origins)
            identify(self.services, exchange)
            endpoint = self.find(name)
            await limit(self.services, exchange)
            match below:
                case "":
                    await self._streamable(exchange, endpoint, out, reading)
                case "sse":
                    return await self._older.open(exchange, endpoint)
                case "messages":
                    return await self._older.post(exchange, endpoint, reading)
                case _:
                    raise client_fault("unknown_path", "there are /mcp/{server}, its /sse and its /messages", 404)
            assert out.response is not None
            return out.response

        def refuse(refusal: Refusal) -> web.StreamResponse:
            return self.refused(exchange, refusal, reading.messages, out)

        return await through(self.services, self.record, exchange, stages, refuse)

    async def any(self, request: web.BaseRequest) -> web.StreamResponse:
        """Whatever another worker hands over."""
        return await (self.describe(request) if request.path.startswith("/.well-known/") else self.handle(request))

    async def describe(self, request: web.BaseRequest) -> web.StreamResponse:
        """`/.well-known/oauth-protected-resource/mcp/{server}`: public, as the standard wants it."""
        name = request.path.removeprefix(f"{WELL_KNOWN}/mcp/").strip("/")
        endpoint = self.endpoints.get(name)
        if endpoint is None or not endpoint.settings.url or not endpoint.settings.pass_authorization:
            return web.json_response({"error": "not_found"}, status=404)
        return await metadata(self.services.session, endpoint.settings, request, name)

    def refused(
        self, exchange: Exchange, refusal: Refusal, messages: list[Message], out: HttpOut
    ) -> web.StreamResponse:
        """A fault as an answer; where one is under way already, that is all the client gets."""
        started = out.response
        return started if started is not None and started.prepared else _refused(exchange, refusal, messages)

    async def _streamable(self, exchange: Exchange, endpoint: Endpoint, out: Out, reading: Reading) -> None:
        headers = CIMultiDict(exchange.request.headers)
        match exchange.request.method:
            case "POST":
                await self.post(exchange, endpoint, headers, out, reading)
            case "GET":
                await self._get(exchange, endpoint, headers, out)
            case "DELETE":
                await self._delete(exchange, endpoint, headers, out)
            case _:
                raise client_fault("method_not_allowed", "use POST, GET or DELETE", 405)

    def find(self, name: str) -> Endpoint:
        """A declared server. Raises FaultError."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            known = ", ".join(self.endpoints) or "none; declare one under `mcp.servers` in sigmaguard.yaml"
            raise client_fault("unknown_server", f"there is no MCP server `{name[:64]}`; there are: {known}", 404)
        return endpoint

    async def post(
        self, exchange: Exchange, endpoint: Endpoint, headers: CIMultiDict[str], out: Out, reading: Reading
    ) -> None:
        """Messages of a client."""
        raw = await read_body(exchange.request, endpoint.settings.message_bytes)
        await self.send(exchange, endpoint, headers, out, reading, raw)

    async def send(
        self,
        exchange: Exchange,
        endpoint: Endpoint,
        headers: CIMultiDict[str],
        out: Out,
        reading: Reading,
        raw: bytes,
    ) -> None:
        """Messages of a client whose bytes are known. Raises FaultError."""
        exchange.raw = raw
        session = self._session(exchange, endpoint, headers)
        conversation = Conversation(self.services, self.record, exchange, endpoint, session, headers, out)
        try:
            plain = decode_body(raw, encoding_of(headers), endpoint.settings.message_bytes)
            reading.messages, reading.batch = parse_messages(plain)
        except WireError as error:
            if exchange.mode is Mode.ENFORCE or isinstance(endpoint.server, StdioServer):
                raise client_fault(error.kind, str(error)) from error
            exchange.faults.append(Fault(FaultSource.CLIENT, error.kind, str(error)))
            await conversation.pass_on(raw)
            return
        if plain is not raw:
            del headers["Content-Encoding"]
            raw = plain
        describe(exchange, endpoint.name, reading.messages)
        if isinstance(endpoint.server, StdioServer):  # a program knows no headers: for it, we are the HTTP server
            wrong = await endpoint.server.refused(headers, reading.messages[0])
            if wrong is not None:
                await conversation.answer(wrong[0], [wrong[1]], batch=reading.batch)
                return
        await conversation.post(raw, reading.messages, batch=reading.batch)
        self._note_owner(exchange, session)

    async def _get(self, exchange: Exchange, endpoint: Endpoint, headers: CIMultiDict[str], out: Out) -> None:
        exchange.method = "listen"
        session = self._session(exchange, endpoint, headers)
        await Conversation(self.services, self.record, exchange, endpoint, session, headers, out).listen()

    async def _delete(self, exchange: Exchange, endpoint: Endpoint, headers: CIMultiDict[str], out: Out) -> None:
        exchange.method = "end"
        self._session(exchange, endpoint, headers)
        owner = scope(exchange.who.subject)
        answer = await endpoint.server.delete(headers, owner)
        identifier = headers.get(SESSION, "")
        endpoint.sessions.forget(owner, identifier)
        self._owners.pop(identifier, None)
        exchange.status = answer.status
        await answer.close()
        await out.whole(answer.status, exchange.headers(), b"")

    def _session(self, exchange: Exchange, endpoint: Endpoint, headers: Mapping[str, str]) -> Session:
        """The session a request names. Raises FaultError where it is known to be another caller's."""
        identifier = headers.get(SESSION, "")
        owner = scope(exchange.who.subject)
        if identifier and self._owners.get(identifier, owner) != owner:
            raise client_fault("session_unknown", "no such session; initialize again", 404)
        if headers.get(VERSION, "") in MODERN:
            identifier = ""
        return endpoint.sessions.get(owner, identifier)

    def _note_owner(self, exchange: Exchange, session: Session) -> None:
        if session.id and session.id not in self._owners:
            self._owners[session.id] = scope(exchange.who.subject)
            if len(self._owners) > OWNERS:
                self._owners.popitem(last=False)


def check_origin(request: web.BaseRequest, allowed: tuple[str, ...]) -> None:
    """Refuses pages of other origins: a browser must not be led to local tools (MCP, "Transports", DNS rebinding)."""
    origin = request.headers.get("Origin")
    if origin is None or origin in allowed:
        return
    host = urlsplit(origin).hostname or ""
    own = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    if host in LOCAL and own in LOCAL:
        return
    raise client_fault("origin_not_allowed", "pages of this origin may not call tools; see `mcp.origins`", 403)


def _refused(exchange: Exchange, refusal: Refusal, messages: list[Message]) -> web.Response:
    """A fault as MCP says it: with an id where a request was read, as HTTP status where the transport means one."""
    request = next((one for one in messages if one.kind is Kind.REQUEST), None)
    body = (
        refusal_message(refusal, request.id, request.method)
        if request is not None
        else error_message(None, _code(refusal), refusal.message, {"code": refusal.code, "exchange": exchange.id})
    )
    # clients read a JSON-RPC answer only from a status of success; sessions and access are the transport's
    status = 200 if request is not None and refusal.status >= 500 else refusal.status
    exchange.status = refusal.status
    headers = {**exchange.headers(), "Content-Type": "application/json"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_s)))
    if refusal.status == 405:
        headers["Allow"] = "POST, GET, DELETE"
    return web.Response(status=status, body=encode(body), headers=headers)


def _code(refusal: Refusal) -> int:
    if refusal.code in ("not_json", "not_utf8", "lone_surrogate"):
        return PARSE_ERROR
    return UPSTREAM if refusal.status >= 500 else INVALID_REQUEST
