"""One process that serves every caller of a stateless server (MCP 2026-07-28) over stdio.

Requests are told apart by ids and progress tokens of our own; what comes back gets the caller's again. A
server that does not know the revision is remembered as such, and its callers fall back to the handshake.
What its tools want mirrored in headers is learnt from every list that passes by.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.mcp.message import PAGES, UPSTREAM, Id, Message, encode, error_message, message_of
from sigmaguard_proxy.mcp.outbox import Outbox
from sigmaguard_proxy.mcp.params import Param, ToolParams
from sigmaguard_proxy.mcp.process import ServerProcess
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.tasks import Tasks

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
TOOLS, CHANGED = "tools/list", "notifications/tools/list_changed"
ASKED_S = 10.0  # a program is not asked for its tools more often than this


class _Under:
    """A request under way: the caller's id and token, where its answer goes, and whether it lists tools."""

    __slots__ = ("lists", "number", "outbox", "token")

    def __init__(self, message: Message, outbox: Outbox) -> None:
        self.number = message.id
        self.token = message.progress_token
        self.outbox = outbox
        self.lists = message.method == TOOLS


class SharedProcess:
    """The process and the requests under way in it. `on_end` is called once, when it has ended."""

    def __init__(
        self, name: str, settings: ServerSettings, tasks: Tasks, log: Log, on_end: Callable[[str], None]
    ) -> None:
        self._name = name
        self._settings = settings
        self._log = log
        self._on_end = on_end
        self._process = ServerProcess(name, settings, tasks, log, self._arrived, self._ended)
        self._under: dict[Id, _Under] = {}
        self._numbers = count(1)
        self._tools = ToolParams()
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Starts the process. Raises FaultError."""
        await self._process.start()

    async def send(self, message: Message) -> Outbox:
        """Writes a request; the stream of its answer. Raises FaultError."""
        number = next(self._numbers)
        outbox = Outbox(f"m{number}", {number}, self._settings.message_bytes * 2)
        self._under[number] = _Under(message, outbox)
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

    async def params(self, tool: str, meta: Mapping[str, Any], *, anew: bool = False) -> tuple[Param, ...]:
        """What a call of a tool has to mirror in headers; asks the program where no list has told, or `anew`.

        Nothing where the program does not say: a list that fails is no reason to break calls. Raises FaultError.
        """
        known = self._tools.get(tool)
        if known is None or anew:
            async with self._asking:
                if (anew or self._tools.get(tool) is None) and self._tools.is_old(ASKED_S):
                    await self._ask(meta)
            known = self._tools.get(tool)
        return known or ()

    async def _ask(self, meta: Mapping[str, Any]) -> None:
        """Every page of the program's tools; `_arrived` learns them."""
        self._tools.note_asked()
        cursor: str | None = None
        for _ in range(PAGES):
            params = {"_meta": dict(meta)} | ({"cursor": cursor} if cursor else {})
            body = {"jsonrpc": "2.0", "id": "tools", "method": TOOLS, "params": params}
            outbox = await self.send(message_of(body))
            try:
                async with asyncio.timeout(self._settings.start_timeout_s):
                    result = await _result(outbox)
            except TimeoutError:
                await self.cancel(outbox)
                result = None
            if result is None:
                self._log.warning("tool_list_failed", server=self._name)
                return
            following = result.get("nextCursor")
            if not isinstance(following, str) or following == cursor:
                return
            cursor = following

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
                if under.lists:
                    self._tools.learn(message.body.get("result"))
                under.outbox.put({**message.body, "id": under.number})
                under.outbox.waiting.clear()
                under.outbox.close()
            return
        if message.method == CHANGED:
            self._tools.forget()
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


async def _result(outbox: Outbox) -> dict[str, Any] | None:
    """The result that a stream ends with, None where it ends with an error or without any."""
    result: object = None
    async for event in outbox.read():
        result = orjson.loads(event.partition(b"data: ")[2]).get("result")
    return result if isinstance(result, dict) else None


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
