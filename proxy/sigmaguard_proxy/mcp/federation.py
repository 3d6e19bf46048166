"""`/mcp`: the tools of many servers behind one address, under `server__tool` names. Knows routes, no verdicts.

Every message still goes through the one conversation with the one server it concerns.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from sigmaguard.actions.call import ToolCall
from sigmaguard.errors import WireError
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import client_fault
from sigmaguard_proxy.mcp.conversing import SESSION, VERSION
from sigmaguard_proxy.mcp.endpoint import Endpoint, begin_exchange, child
from sigmaguard_proxy.mcp.link import COMPLETE, UNCACHED, Link, LinkOut, Peer
from sigmaguard_proxy.mcp.message import (
    INVALID_PARAMS,
    LISTEN,
    METHOD_NOT_FOUND,
    MODERN,
    Kind,
    Message,
    encode,
    error_message,
    parse_messages,
)
from sigmaguard_proxy.mcp.out import ForwardingOut, HttpOut
from sigmaguard_proxy.mcp.reading import Reading
from sigmaguard_proxy.mcp.subscribing import ChangesOut, Wanted, keep_listening
from sigmaguard_proxy.mcp.texts import LISTS
from sigmaguard_proxy.tooling.door import identify, limit, read_body, through
from sigmaguard_proxy.tooling.tooling import may_call, scope

if TYPE_CHECKING:
    from sigmaguard_proxy.mcp.gateway import Gateway

NAME = "sigmaguard"
HANDSHAKES = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
PEERS = 2_000  # callers' sessions kept; the one idle longest goes first
BODY_BYTES = 4 * 1024 * 1024
PING_S = 15.0
PING = b": ping\n\n"
BETWEEN = "__"  # `.` and `/` are not allowed in the tool names of some model providers
UNAVAILABLE = "sigmaguard/unavailable"  # in a list's `_meta`: servers whose part of it is missing
CAPABILITIES = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "completions": {},
    "logging": {},
}


class Federation:
    """One address for every declared server that the caller's key may use."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._peers: OrderedDict[tuple[str, str], Peer] = OrderedDict()

    async def handle(self, request: web.BaseRequest, check_origin: Callable[[], None]) -> web.StreamResponse:
        """One request to `/mcp`."""
        gateway = self._gateway
        exchange = Exchange(request)
        begin_exchange(exchange, "")
        out, reading = HttpOut(request), Reading()

        async def stages() -> web.StreamResponse:
            check_origin()
            identify(gateway.services, exchange)
            await limit(gateway.services, exchange)
            if request.method == "POST":
                return await self._post(exchange, out, reading)
            if request.method == "GET":
                return await self._listen(exchange)
            if request.method == "DELETE":
                return await self._end(exchange)
            raise client_fault("method_not_allowed", "use POST, GET or DELETE", 405)

        def refuse(refusal: Refusal) -> web.StreamResponse:
            return gateway.refused(exchange, refusal, reading.messages, out)

        return await through(gateway.services, gateway.record, exchange, stages, refuse)

    async def _post(self, exchange: Exchange, out: HttpOut, reading: Reading) -> web.StreamResponse:
        exchange.raw = await read_body(exchange.request, BODY_BYTES)
        try:
            reading.messages, batch = parse_messages(exchange.raw)
        except WireError as error:
            raise client_fault(error.kind, str(error)) from error
        if batch:
            raise client_fault("batch_unsupported", "send one message at a time to the federated endpoint")
        message = reading.messages[0]
        exchange.method = message.method or "answer"
        if message.method == "initialize":
            return self._initialize(exchange, message)
        peer = self._peer(exchange)
        if message.kind is not Kind.REQUEST:
            await self._pass_back(exchange, peer, message)
            exchange.status = 202
            return web.Response(status=202, headers=exchange.headers())
        own = self._own_answer(message)
        if own is not None:
            return self._answer(exchange, own)
        if message.method in LISTS:
            return self._answer(exchange, await self._list(exchange, peer, message))
        if message.method == LISTEN and peer.is_modern:
            return await self._subscribe(exchange, peer, message)
        if message.method == "logging/setLevel":
            await self._everywhere(exchange, peer, message)
            return self._answer(exchange, {"jsonrpc": "2.0", "id": message.id, "result": {}})
        return await self._route(exchange, peer, message, out)

    # who asks

    def _initialize(self, exchange: Exchange, message: Message) -> web.StreamResponse:
        asked = message.params.get("protocolVersion")
        version = asked if asked in HANDSHAKES else HANDSHAKES[0]
        peer = Peer(secrets.token_urlsafe(24), str(version), message.params)
        self._keep((scope(exchange.who.subject), peer.id), peer)
        result = {
            "protocolVersion": version,
            "capabilities": CAPABILITIES,
            "serverInfo": {"name": NAME, "version": "1"},
        }
        return self._answer(exchange, {"jsonrpc": "2.0", "id": message.id, "result": result}, {SESSION: peer.id})

    def _peer(self, exchange: Exchange) -> Peer:
        """The caller's session; for stateless callers the one their key has. Raises FaultError."""
        headers, owner = exchange.request.headers, scope(exchange.who.subject)
        version = headers.get(VERSION, "")
        identifier = "" if version in MODERN else headers.get(SESSION, "")
        peer = self._peers.get((owner, identifier))
        if peer is None and version in MODERN:
            peer = Peer("", version, {"capabilities": {}, "clientInfo": {"name": NAME, "version": "1"}})
            self._keep((owner, ""), peer)
        if peer is None:
            known = "no such session; initialize again" if identifier else f"send `{SESSION}`, or initialize first"
            raise client_fault("session_unknown", known, 404 if identifier else 400)
        self._peers.move_to_end((owner, identifier))
        return peer

    def _keep(self, key: tuple[str, str], peer: Peer) -> None:
        self._peers[key] = peer
        if len(self._peers) > PEERS:
            (owner, _), old = self._peers.popitem(last=False)
            self._gateway.services.tasks.spawn(old.end(owner), name="mcp-end")

    async def _end(self, exchange: Exchange) -> web.StreamResponse:
        peer, owner = self._peer(exchange), scope(exchange.who.subject)
        self._peers.pop((owner, peer.id), None)
        exchange.method, exchange.status = "end", 200
        await peer.end(owner)
        return web.Response(status=200, headers=exchange.headers())

    def _link(self, peer: Peer, endpoint: Endpoint) -> Link:
        link = peer.links.get(endpoint.name)
        if link is None:
            link = peer.links[endpoint.name] = Link(self._gateway, endpoint, peer)
        return link

    def _allowed(self, exchange: Exchange) -> list[Endpoint]:
        """The servers of which the caller's key may use anything at all."""
        patterns = exchange.who.tools
        return [
            one
            for name, one in self._gateway.endpoints.items()
            if not patterns or any("/" not in p or p.partition("/")[0] in ("*", name) for p in patterns)
        ]

    # lists

    async def _list(self, exchange: Exchange, peer: Peer, message: Message) -> dict[str, Any]:
        key = LISTS[message.method]
        endpoints = self._allowed(exchange)
        lists = await asyncio.gather(*(self._one_list(exchange, peer, one, message, key) for one in endpoints))
        items = [
            self._renamed(one.name, key, item) for one, found in zip(endpoints, lists, strict=True) for item in found
        ]
        result: dict[str, Any] = {key: items}
        missing = [one.name for one in endpoints if self._link(peer, one).is_missing]
        if missing:
            result["_meta"] = {UNAVAILABLE: missing}
        if peer.is_modern:
            result |= COMPLETE | UNCACHED
        return {"jsonrpc": "2.0", "id": message.id, "result": result}

    async def _one_list(
        self, exchange: Exchange, peer: Peer, endpoint: Endpoint, message: Message, key: str
    ) -> list[dict[str, Any]]:
        """One server's items; a server that fails is left out, and its own record says why."""
        items = await self._link(peer, endpoint).collect(child(exchange, endpoint.name), message, key)
        if key == "tools":
            items = [one for one in items if may_call(exchange.who, _call(endpoint.name, one))]
        for one in items:
            if key in ("resources", "resourceTemplates"):
                peer.note_uri(str(one.get("uri") or one.get("uriTemplate", "")), endpoint.name)
        return items

    def _renamed(self, server: str, key: str, item: dict[str, Any]) -> dict[str, Any]:
        if key in ("tools", "prompts"):
            return {**item, "name": f"{server}{BETWEEN}{item.get('name', '')}"}
        return item

    # single requests

    async def _route(self, exchange: Exchange, peer: Peer, message: Message, out: HttpOut) -> web.StreamResponse:
        found = self._destination(peer, message)
        endpoint = self._gateway.endpoints.get(found[0]) if found else None
        if found is None or endpoint is None or endpoint not in self._allowed(exchange):
            code = METHOD_NOT_FOUND if found is None else INVALID_PARAMS
            text = f"`{message.method}` is not federated" if found is None else "there is no such tool or resource here"
            return self._answer(exchange, error_message(message.id, code, text), status=404 if found is None else 200)
        begin_exchange(exchange, endpoint.name)
        peer.under_way[message.id] = endpoint.name
        link = self._link(peer, endpoint)
        try:
            await link.send(
                exchange, Message(message.kind, message.id, message.method, found[1]), LinkOut(out, endpoint.name)
            )
        finally:
            peer.under_way.pop(message.id, None)
        assert out.response is not None
        return out.response

    def _destination(self, peer: Peer, message: Message) -> tuple[str, dict[str, Any]] | None:
        """The server a request is for, and the request in its words; None where the method has no destination."""
        params = dict(message.params)
        if message.method in ("tools/call", "prompts/get"):
            server, _, params["name"] = str(params.get("name", "")).partition(BETWEEN)
        elif message.method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
            server = peer.server_of(str(params.get("uri", "")))
        elif message.method == "completion/complete" and isinstance(params.get("ref"), dict):
            ref = dict(params["ref"])
            if "uri" in ref:
                server = peer.server_of(str(ref["uri"]))
            else:
                server, _, ref["name"] = str(ref.get("name", "")).partition(BETWEEN)
            params["ref"] = ref
        else:
            return None
        return server, {**message.body, "params": params}

    def _own_answer(self, message: Message) -> dict[str, Any] | None:
        if message.method == "ping":
            return {"jsonrpc": "2.0", "id": message.id, "result": {}}
        if message.method == "server/discover":
            result = {
                "supportedVersions": sorted(MODERN),
                "capabilities": CAPABILITIES,
                **COMPLETE,
                **UNCACHED,
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": NAME, "version": "1"}},
            }
            return {"jsonrpc": "2.0", "id": message.id, "result": result}
        return None

    async def _pass_back(self, exchange: Exchange, peer: Peer, message: Message) -> None:
        """A notification or an answer of the client, to whom it concerns."""
        if message.is_answer:
            server, _, number = str(message.id).partition(":")
            link = peer.links.get(server)
            if link is not None:
                body = {**message.body, "id": orjson.loads(number)}
                await link.post(child(exchange, server), Message(message.kind, body["id"], "", body))
        elif message.method == "notifications/cancelled":
            link = peer.links.get(peer.under_way.get(message.params.get("requestId"), ""))
            if link is not None:
                await link.post(child(exchange, link.name), message)
        elif message.method != "notifications/initialized":
            await self._everywhere(exchange, peer, message)

    async def _everywhere(self, exchange: Exchange, peer: Peer, message: Message) -> None:
        await asyncio.gather(*(one.post(child(exchange, one.name), message) for one in list(peer.links.values())))

    # the servers' own streams

    async def _listen(self, exchange: Exchange) -> web.StreamResponse:
        """All servers' own streams as one; each is opened once the session reaches its server."""
        peer = self._peer(exchange)
        exchange.method = "listen"
        response = await _stream(exchange)
        last = exchange.request.headers.get("Last-Event-ID", "")
        listening: dict[str, asyncio.Task[Any]] = {}
        try:
            while True:
                peer.news.clear()
                for name, link in list(peer.links.items()):
                    if name not in listening and link.has_session:
                        event_id = last.partition("~")[2] if last.partition("~")[0] == name else ""
                        out = LinkOut(ForwardingOut(response), name)
                        work = link.listen(child(exchange, name), out, event_id)
                        listening[name] = self._gateway.services.tasks.spawn(_quietly(work), name="mcp-listen")
                try:
                    async with asyncio.timeout(PING_S):
                        await peer.news.wait()
                except TimeoutError:
                    await response.write(PING)
        except ConnectionError:
            return response
        finally:
            for task in listening.values():
                task.cancel()

    async def _subscribe(self, exchange: Exchange, peer: Peer, message: Message) -> web.StreamResponse:
        """What any of the caller's servers announces, as one subscription."""
        allowed = self._allowed(exchange)
        names = {one.name for one in allowed}
        wanted = Wanted(message, lambda uri: server if (server := peer.server_of(uri)) in names else "")
        response = await _stream(exchange)
        await response.write(wanted.acknowledgement())

        def listening(endpoint: Endpoint) -> Coroutine[Any, Any, None]:
            link, name = self._link(peer, endpoint), endpoint.name
            out = ChangesOut(wanted, name, response.write)
            request, before = wanted.request(name, message), wanted.subscribing(name)
            return keep_listening(lambda: link.subscribe(child(exchange, name), request, before, out))

        tasks = [self._gateway.services.tasks.spawn(_quietly(listening(one)), name="mcp-subscribe") for one in allowed]
        try:
            while True:
                await asyncio.sleep(PING_S)
                await response.write(PING)
        except ConnectionError:
            return response
        finally:
            for task in tasks:
                task.cancel()

    def _answer(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> web.StreamResponse:
        exchange.status = status
        head = {"Content-Type": "application/json", **exchange.headers(), **(headers or {})}
        return web.Response(status=status, body=encode(body), headers=head)


def _call(server: str, item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(str(item.get("name", "")), None, server)


async def _stream(exchange: Exchange) -> web.StreamResponse:
    """An event stream of our own, its head sent."""
    exchange.streamed, exchange.status = True, 200
    headers = {**exchange.headers(), "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(exchange.request)
    return response


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ConnectionError:
        return  # the client has gone; the stream that served it ends with it
