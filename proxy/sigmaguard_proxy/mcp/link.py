"""A federated session's way to one server: opened when first needed, in the revision both sides know."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from sigmaguard.errors import WireError
from sigmaguard.mask import Vault
from sigmaguard.wire.sse import SseDecoder, SseEvent
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, upstream_fault
from sigmaguard_proxy.mcp.conversing import SESSION, VERSION, Conversation, with_data
from sigmaguard_proxy.mcp.endpoint import Endpoint, child
from sigmaguard_proxy.mcp.message import MODERN, PAGES, Id, Kind, Message, encode, message_of, parse_messages
from sigmaguard_proxy.mcp.out import CollectingOut, Out
from sigmaguard_proxy.mcp.sessions import Session
from sigmaguard_proxy.mcp.stdio_server import StdioServer
from sigmaguard_proxy.tooling.door import through

if TYPE_CHECKING:
    from sigmaguard_proxy.mcp.gateway import Gateway

URIS = 5_000  # resources whose server is remembered in one session
COMPLETE: dict[str, Any] = {"resultType": "complete"}
UNCACHED: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"}
_META = "io.modelcontextprotocol/"


class Peer:
    """One caller's federated session: what it said of itself, and its links to servers."""

    def __init__(self, identifier: str, version: str, greeting: Mapping[str, Any]) -> None:
        self.id = identifier
        self.version = version
        self.greeting = greeting
        self.links: dict[str, Link] = {}
        self.under_way: dict[Id, str] = {}
        self.vault = Vault(())
        self.news = asyncio.Event()
        self._uris: OrderedDict[str, str] = OrderedDict()

    @property
    def is_modern(self) -> bool:
        """Whether the caller speaks the stateless revision."""
        return self.version in MODERN

    def note_uri(self, uri: str, server: str) -> None:
        """Remembers which server offers a resource; the first to offer it keeps it."""
        self._uris.setdefault(uri, server)
        if len(self._uris) > URIS:
            self._uris.popitem(last=False)

    def server_of(self, uri: str) -> str:
        """The server that offers a resource, by its URI or by a template it fits; empty where none does."""
        known = self._uris.get(uri)
        if known is not None:
            return known
        fitting = [
            (len(template.partition("{")[0]), server)
            for template, server in self._uris.items()
            if "{" in template and uri.startswith(template.partition("{")[0])
        ]
        return max(fitting)[1] if fitting else ""

    async def end(self, owner: str) -> None:
        """Ends every server's session."""
        await asyncio.gather(*(link.end(owner) for link in self.links.values()))


class Link:
    """The way to one server. It is the gateway's own session there, inspected like any other."""

    def __init__(self, gateway: "Gateway", endpoint: Endpoint, peer: Peer) -> None:
        self.name = endpoint.name
        self._gateway = gateway
        self._endpoint = endpoint
        self._peer = peer
        self._session = Session(peer.id or "stateless", spans_servers=bool(peer.id))
        self._session.vault = peer.vault  # what one server's result was masked with, another's tool may need
        self._remote = ""
        self._version = ""
        self._opening = asyncio.Lock()
        self.is_missing = False  # the last list it was asked for did not come

    @property
    def has_session(self) -> bool:
        """Whether the server keeps a session that may have something to say."""
        return bool(self._remote)

    async def send(self, exchange: Exchange, message: Message, out: Out) -> None:
        """A request and everything it brings back. Raises FaultError."""
        await self._open(exchange)
        if self._peer.is_modern and self._version not in MODERN:
            out = StatelessOut(out, message.method)
        conversation = self._conversation(exchange, message, out)
        body = message.body if self._version in MODERN else _without_envelope(message.body)
        exchange.raw = encode(body)
        exchange.method = message.method
        if message.method == "tools/call":
            exchange.tool = f"{self.name}/{message.params.get('name', '')}"
        server = self._endpoint.server
        if isinstance(server, StdioServer):  # a program knows no headers: for it, we are the HTTP server
            wrong = await server.unmirrored(self._headers(exchange), message)
            if wrong is not None:
                await conversation.answer(wrong[0], [wrong[1]], batch=False)
                return
        await conversation.post(exchange.raw, [message_of(body)], batch=False)

    async def post(self, exchange: Exchange, message: Message) -> None:
        """A message that brings nothing back; one that fails is recorded and otherwise lost."""
        exchange.method = message.method or "answer"
        await self._guarded(exchange, message, CollectingOut())

    async def collect(self, exchange: Exchange, message: Message, key: str) -> list[dict[str, Any]]:
        """Every item of a list, over all its pages; empty where the server fails."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(PAGES):
            params = {name: value for name, value in message.params.items() if name != "cursor"}
            body = {**message.body, "params": {**params, "cursor": cursor} if cursor else params}
            out = CollectingOut()
            page = child(exchange, self.name)
            page.method = message.method
            await self._guarded(page, Message(message.kind, message.id, message.method, body), out)
            self.is_missing = not out.messages
            result = _result(out.messages)
            found = result.get(key)
            items += [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
            following = result.get("nextCursor")
            if not isinstance(following, str) or following == cursor:
                break
            cursor = following
        exchange.recorded = True  # each page was an exchange of its own
        return items

    async def listen(self, exchange: Exchange, out: Out, event_id: str) -> None:
        """The server's own stream, until it ends or the client leaves."""
        exchange.method = "listen"
        await self._through(exchange, self._hear(exchange, out, event_id))

    async def subscribe(self, exchange: Exchange, message: Message, before: Sequence[Message], out: Out) -> None:
        """What the server announces, until its stream ends or the client leaves.

        A server with a handshake does not know the request `message`: it is sent `before`, and its own stream is heard.
        """
        exchange.method = message.method

        async def hear() -> None:
            await self._open(exchange)
            if self._version in MODERN:
                await self.send(exchange, message, out)
                return
            for one in before:
                await self.post(child(exchange, self.name), one)
            await self._hear(exchange, out, "")

        await self._through(exchange, hear())

    async def _hear(self, exchange: Exchange, out: Out, event_id: str) -> None:
        headers = self._headers(exchange)
        headers["Accept"] = "text/event-stream"
        if event_id:
            headers["Last-Event-ID"] = event_id
        gateway = self._gateway
        conversation = Conversation(
            gateway.services, gateway.record, exchange, self._endpoint, self._session, headers, out
        )
        await conversation.listen()

    async def end(self, owner: str) -> None:
        """Ends the server's session."""
        if self._remote:
            headers = {SESSION: self._remote, VERSION: self._version}
            self._remote = ""
            with contextlib.suppress(FaultError):  # a server that is gone has ended its sessions too
                answer = await self._endpoint.server.delete(headers, owner)
                await answer.close()

    async def _guarded(self, exchange: Exchange, message: Message, out: CollectingOut) -> None:
        await self._through(exchange, self.send(exchange, message, out))

    async def _through(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Work whose failure is recorded and answered to nobody."""
        gateway = self._gateway

        async def stages() -> web.StreamResponse:
            await work
            return web.Response()

        await through(gateway.services, gateway.record, exchange, stages, lambda _: web.Response())

    async def _open(self, exchange: Exchange) -> None:
        """Agrees on a revision with the server, once. Raises FaultError."""
        async with self._opening:
            if self._version:
                return
            if self._peer.is_modern and await self._is_modern(exchange):
                self._version = self._peer.version
                return
            await self._initialize(exchange)

    async def _is_modern(self, exchange: Exchange) -> bool:
        body = {"jsonrpc": "2.0", "id": "discover", "method": "server/discover", "params": {"_meta": _envelope()}}
        out = CollectingOut()
        own = child(exchange, self.name)
        self._version = self._peer.version
        try:
            message = message_of(body)
            await self._conversation(own, message, out).post(encode(body), [message], batch=False)
        except FaultError:
            return False
        finally:
            self._version = ""
        supported = _result(out.messages).get("supportedVersions")
        return isinstance(supported, list) and self._peer.version in supported

    async def _initialize(self, exchange: Exchange) -> None:
        greeting = dict(self._peer.greeting)
        greeting["protocolVersion"] = self._peer.version if not self._peer.is_modern else "2025-11-25"
        greeting.pop("_meta", None)
        body = {"jsonrpc": "2.0", "id": "initialize", "method": "initialize", "params": greeting}
        out, message, own = CollectingOut(), message_of(body), child(exchange, self.name)
        own.method = "initialize"
        conversation = self._conversation(own, message, out)
        await conversation.post(encode(body), [message], batch=False)
        version = _result(out.messages).get("protocolVersion")
        if not isinstance(version, str):
            raise upstream_fault("upstream_handshake", f"tool server `{self.name}` refused the handshake")
        self._remote, self._version = out.headers.get(SESSION, ""), version
        ready = message_of({"jsonrpc": "2.0", "method": "notifications/initialized"})
        own = child(exchange, self.name)
        own.method = ready.method
        await self._conversation(own, ready, CollectingOut()).post(encode(ready.body), [ready], batch=False)
        self._peer.news.set()

    def _conversation(self, exchange: Exchange, message: Message, out: Out) -> Conversation:
        headers = self._headers(exchange)
        if self._version in MODERN:
            headers["Mcp-Method"] = message.method
            name = message.params.get("name") or message.params.get("uri")
            if isinstance(name, str) and message.kind is Kind.REQUEST:
                headers["Mcp-Name"] = name
        gateway = self._gateway
        return Conversation(gateway.services, gateway.record, exchange, self._endpoint, self._session, headers, out)

    def _headers(self, exchange: Exchange) -> CIMultiDict[str]:
        headers = CIMultiDict(exchange.request.headers)
        for name in (SESSION, VERSION, "Mcp-Method", "Mcp-Name", "Last-Event-ID", "Content-Encoding"):
            headers.popall(name, None)
        headers["Accept"] = "application/json, text/event-stream"
        headers["Content-Type"] = "application/json"
        if self._remote:
            headers[SESSION] = self._remote
        if self._version:
            headers[VERSION] = self._version
        return headers


class LinkOut:
    """An answer on its way to a federated client: servers' own requests and event ids say whose they are."""

    def __init__(self, inner: Out, server: str) -> None:
        self._inner = inner
        self._server = server
        self._decoder = SseDecoder()

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer, without the server's session."""
        await self._inner.whole(status, _without_session(headers), body)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """A stream, without the server's session."""
        await self._inner.begin(status, _without_session(headers))

    async def write(self, data: bytes) -> None:
        """Events with their ids and requests marked."""
        for event in self._decoder.feed(data):
            await self._inner.write(self._marked(event))

    async def end(self) -> None:
        """The stream is complete."""
        await self._inner.end()

    def _marked(self, event: SseEvent) -> bytes:
        lines = event.raw.replace(b"\r\n", b"\n").split(b"\n")
        marked = [
            b"id: " + self._server.encode() + b"~" + line[3:].strip() if line.startswith(b"id:") else line
            for line in lines
        ]
        if b'"method"' in event.data and b'"id"' in event.data:
            body = orjson.loads(event.data)
            if isinstance(body, dict) and "method" in body and "id" in body:
                body["id"] = f"{self._server}:{orjson.dumps(body['id']).decode()}"
                marked = [line for line in marked if line and not line.startswith(b"data:")]
                marked += [b"data: " + orjson.dumps(body), b"", b""]
        return b"\n".join(marked)


class StatelessOut:
    """Answers of a server with a handshake, told as the stateless revision tells them: with the kind of result."""

    def __init__(self, inner: Out, method: str) -> None:
        self._inner = inner
        self._fields = COMPLETE | (UNCACHED if method == "resources/read" else {})
        self._decoder = SseDecoder()

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""
        await self._inner.whole(status, headers, self._told(body) if body.strip() else body)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """A stream begins."""
        await self._inner.begin(status, headers)

    async def write(self, data: bytes) -> None:
        """Events; the result among them is completed."""
        for event in self._decoder.feed(data):
            told = self._told(event.data) if b'"result"' in event.data else event.data
            await self._inner.write(event.raw if told == event.data else with_data(event, told))

    async def end(self) -> None:
        """The stream is complete."""
        await self._inner.end()

    def _told(self, data: bytes) -> bytes:
        try:
            body = parse_messages(data)[0][0].body
        except WireError:
            return data
        result = body.get("result")
        return encode({**body, "result": self._fields | result}) if isinstance(result, dict) else data


def _without_session(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    kept.popall(SESSION, None)
    return kept


def _without_envelope(body: dict[str, Any]) -> dict[str, Any]:
    """A request as servers with a handshake know it: without the stateless revision's envelope."""
    params = body.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(params, dict) or not isinstance(meta, dict):
        return body
    kept = {name: value for name, value in meta.items() if not name.startswith(_META)}
    rest = {name: value for name, value in params.items() if name != "_meta"}
    return {**body, "params": {**rest, "_meta": kept} if kept else rest}


def _envelope() -> dict[str, Any]:
    return {
        _META + "protocolVersion": "2026-07-28",
        _META + "clientInfo": {"name": "sigmaguard", "version": "1"},
        _META + "clientCapabilities": {},
    }


def _result(messages: list[bytes]) -> dict[str, Any]:
    """The result among the messages of an answer, empty where there is none."""
    for raw in messages:
        try:
            for one in parse_messages(raw)[0]:
                result = one.body.get("result")
                if isinstance(result, dict):
                    return result
        except WireError:
            continue
    return {}
