"""One process that serves every caller of a stateless server (MCP 2026-07-28) over stdio.

Requests are told apart by ids and progress tokens of our own; what comes back gets the caller's again. A
server that does not know the revision is remembered as such, and its callers fall back to the handshake.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from sigmaguard.errors import WireError
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.mcp.message import UPSTREAM, Id, Message, encode, error_message, message_of
from sigmaguard_proxy.mcp.outbox import Outbox
from sigmaguard_proxy.mcp.process import ServerProcess
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.tasks import Tasks

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class _Under:
    """A request under way: the caller's id and token, and where its answer goes."""

    __slots__ = ("number", "outbox", "token")

    def __init__(self, number: Id, token: Id, outbox: Outbox) -> None:
        self.number = number
        self.token = token
        self.outbox = outbox


class SharedProcess:
    """The process and the requests under way in it. `on_end` is called once, when it has ended."""

    def __init__(
        self, name: str, settings: ServerSettings, tasks: Tasks, log: Log, on_end: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._on_end = on_end
        self._process = ServerProcess(name, settings, tasks, log, self._arrived, self._ended)
        self._under: dict[Id, _Under] = {}
        self._numbers = count(1)

    async def start(self) -> None:
        """Starts the process. Raises FaultError."""
        await self._process.start()

    async def send(self, message: Message) -> Outbox:
        """Writes a request; the stream of its answer. Raises FaultError."""
        number = next(self._numbers)
        outbox = Outbox(f"m{number}", {number}, self._settings.message_bytes * 2)
        self._under[number] = _Under(message.id, message.progress_token, outbox)
        body = {**message.body, "id": number}
        if message.progress_token is not None:
            params = dict(message.params)
            params["_meta"] = {**params["_meta"], "progressToken": number}
            body["params"] = params
        await self._process.send(encode(body))
        return outbox

    async def cancel(self, outbox: Outbox) -> None:
        """Nobody waits for this answer any more."""
        for number in list(outbox.waiting):
            self._under.pop(number, None)
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
            await self._process.send(encode(note))
        outbox.waiting.clear()
        outbox.close()

    async def stop(self) -> None:
        """Ends the process."""
        await self._process.stop()

    def _arrived(self, body: object) -> None:
        try:
            message = message_of(body)
        except WireError:
            return
        if message.is_answer:
            under = self._under.pop(message.id, None)
            if under is not None:
                under.outbox.put({**message.body, "id": under.number})
                under.outbox.waiting.clear()
                under.outbox.close()
            return
        under = self._under.get(_belongs_to(message))
        if under is not None and not under.outbox.put(_given_back(message, under)):
            self._ended("flooded")

    def _ended(self, reason: str) -> None:
        for under in self._under.values():
            details = {"code": f"upstream_{reason}"}
            under.outbox.put(error_message(under.number, UPSTREAM, f"the tool server ended ({reason})", details))
            under.outbox.close()
        self._under.clear()
        self._on_end(reason)


def _belongs_to(message: Message) -> Id:
    """The request a notification belongs to: by its progress token or its subscription."""
    token = message.params.get("progressToken")
    meta = message.params.get("_meta")
    if token is None and isinstance(meta, dict):
        token = meta.get(SUBSCRIPTION)
    if isinstance(token, str) and token.isdigit():
        return int(token)
    return token if isinstance(token, int) else None


def _given_back(message: Message, under: _Under) -> dict[str, Any]:
    params = dict(message.params)
    if "progressToken" in params:
        params["progressToken"] = under.token
    meta = params.get("_meta")
    if isinstance(meta, dict) and SUBSCRIPTION in meta:
        params["_meta"] = {**meta, SUBSCRIPTION: str(under.number)}
    return {**message.body, "params": params}
