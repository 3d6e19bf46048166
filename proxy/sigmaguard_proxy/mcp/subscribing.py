"""`subscriptions/listen` (MCP 2026-07-28) over several servers as one stream. Knows the filter, no verdicts.

Every event is a level trigger: "this has changed, fetch it again if you care". A server whose stream ends is
listened to again, and what it may have announced in between is announced then. Servers of older revisions are
heard too: their own stream says the same in the same words.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sigmaguard.errors import WireError
from sigmaguard.wire.sse import SseDecoder
from sigmaguard_proxy.mcp.message import Id, Kind, Message, message_of, parse_messages, sse_event

RETRY_S = (0.5, 2.0, 5.0, 15.0, 60.0)  # before a server is listened to again, and again
MOST_URIS = 500  # resources one stream may watch
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_UPDATED = "notifications/resources/updated"
_FLAGS: Mapping[str, str] = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}

Write = Callable[[bytes], Awaitable[None]]


class Wanted:
    """What a client asked to hear: kinds of lists, and resources by the server that offers them."""

    def __init__(self, message: Message, server_of: Callable[[str], str]) -> None:
        self.id: Id = message.id
        asked = message.params.get("notifications")
        asked = asked if isinstance(asked, dict) else {}
        self.flags = tuple(flag for flag in _FLAGS if asked.get(flag) is True)
        given = asked.get("resourceSubscriptions")
        uris = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        self.uris: dict[str, list[str]] = {}
        for uri in uris[:MOST_URIS]:
            server = server_of(uri)
            if server:
                self.uris.setdefault(server, []).append(uri)

    def filter(self, server: str | None = None) -> dict[str, Any]:
        """The filter as one server is asked for it; without a server, what all of them together were asked for."""
        chosen = self.uris if server is None else {server: self.uris.get(server, [])}
        uris = [uri for one in chosen.values() for uri in one]
        return {**dict.fromkeys(self.flags, True), **({"resourceSubscriptions": uris} if uris else {})}

    def request(self, server: str, message: Message) -> Message:
        """The request as one server is sent it."""
        params = {**message.params, "notifications": self.filter(server)}
        return Message(message.kind, message.id, message.method, {**message.body, "params": params})

    def subscribing(self, server: str) -> list[Message]:
        """What a server with a handshake is told first, so that it announces these resources."""
        return [
            message_of({"jsonrpc": "2.0", "id": f"watch-{at}", "method": "resources/subscribe", "params": {"uri": uri}})
            for at, uri in enumerate(self.uris.get(server, []))
        ]

    def stamped(self, method: str, params: Mapping[str, Any]) -> bytes:
        """An event of this subscription."""
        meta = params.get("_meta")
        meta = {**(meta if isinstance(meta, dict) else {}), _SUBSCRIPTION: self.id}
        return sse_event({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}})

    def acknowledgement(self) -> bytes:
        """The first event: what will be told."""
        return self.stamped("notifications/subscriptions/acknowledged", {"notifications": self.filter()})


class ChangesOut:
    """Takes one server's stream and lets through what was asked for, stamped as one subscription."""

    def __init__(self, wanted: Wanted, server: str, write: Write) -> None:
        self._wanted = wanted
        self._write = write
        self._methods = {_FLAGS[flag] for flag in wanted.flags}
        self._uris = wanted.uris.get(server, [])
        self._decoder = SseDecoder()
        self._was_heard = False

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A refusal: there is nothing to hear."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The server listens; after a gap, all that it may have announced meanwhile is announced."""
        self._decoder = SseDecoder()
        if status >= 400:
            return
        if self._was_heard:
            for method in sorted(self._methods):
                await self._write(self._wanted.stamped(method, {}))
            for uri in self._uris:
                await self._write(self._wanted.stamped(_UPDATED, {"uri": uri}))
        self._was_heard = True

    async def write(self, data: bytes) -> None:
        """Events that were asked for; acknowledgements and results are this side's own affair."""
        for event in self._decoder.feed(data):
            try:
                messages, _ = parse_messages(event.data)
            except WireError:
                continue  # a comment, or in shadow what no client could read either
            for one in messages:
                if one.kind is Kind.NOTIFICATION and self._is_wanted(one):
                    await self._write(self._wanted.stamped(one.method, one.params))

    async def end(self) -> None:
        """The stream has ended; whoever reads decides what then."""

    def _is_wanted(self, message: Message) -> bool:
        return message.method in self._methods or (message.method == _UPDATED and bool(self._uris))


async def keep_listening(listen: Callable[[], Awaitable[None]]) -> None:
    """Listens to a server for as long as the client does: again after each end, less often where it ends at once."""
    clock = asyncio.get_running_loop().time
    ends = 0
    while True:
        began = clock()
        await listen()
        if clock() - began > RETRY_S[-1]:
            ends = 0
        await asyncio.sleep(RETRY_S[min(ends, len(RETRY_S) - 1)])
        ends += 1
