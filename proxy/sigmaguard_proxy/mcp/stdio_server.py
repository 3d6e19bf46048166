"""A stdio server offered as streamable HTTP: sessions, streams, resumption, restarts. Inspects nothing."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson
from multidict import CIMultiDict

from sigmaguard_proxy.faults import FaultError, client_fault, overloaded, upstream_fault
from sigmaguard_proxy.mcp.headers import PREFIX
from sigmaguard_proxy.mcp.message import (
    HEADER_MISMATCH,
    LISTEN,
    METHOD_NOT_FOUND,
    MODERN,
    UPSTREAM,
    Kind,
    Message,
    encode,
    error_message,
    message_of,
)
from sigmaguard_proxy.mcp.modern import ENVELOPE, STATUS, refused_request
from sigmaguard_proxy.mcp.outbox import Outbox
from sigmaguard_proxy.mcp.params import disagreement
from sigmaguard_proxy.mcp.process import Backoff
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.mcp.stdio_session import StdioSession
from sigmaguard_proxy.mcp.stdio_shared import SharedProcess
from sigmaguard_proxy.mcp.upstream import Answer
from sigmaguard_proxy.services import Services

IDLE_S = 60.0  # a session nobody has used for this long may make room for a new one
EARLY_S = 0.5  # an error within it has its own HTTP status; after it the stream is begun
SESSION = "Mcp-Session-Id"
Leave = Callable[[], Coroutine[Any, Any, None]]


class WholeAnswer:
    """An answer whose body is known."""

    def __init__(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = CIMultiDict(headers or {})
        self.content_type = "application/json"
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        if self._body:
            yield self._body

    async def close(self) -> None:
        """Nothing to leave."""


class StreamAnswer:
    """An event stream read from an outbox; `leave` runs when the client has gone or everything was read."""

    def __init__(self, outbox: Outbox, after: int, silence_s: float | None, leave: Leave) -> None:
        self.status = 200
        self.headers = CIMultiDict({"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform"})
        self.content_type = "text/event-stream"
        self._outbox = outbox
        self._after = after
        self._silence_s = silence_s
        self._leave = leave
        self._left = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The events. Raises FaultError where the server says nothing for too long."""
        events = self._outbox.read(self._after)
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise upstream_fault("upstream_timeout", "the tool server fell silent", 504) from error
            yield event

    async def close(self) -> None:
        """Leaves the stream."""
        if not self._left:
            self._left = True
            await self._leave()


class StdioServer:
    """A program per session, or one for all where the server is stateless."""

    def __init__(self, name: str, settings: ServerSettings, services: Services) -> None:
        self._name = name
        self._settings = settings
        self._services = services
        self._backoff = Backoff()
        self._sessions: dict[str, tuple[str, StdioSession]] = {}
        self._shared: SharedProcess | None = None
        self._starting = asyncio.Lock()
        self._is_modern: bool | None = None
        self.is_failing = False  # its last start failed: what it offers is missing

    async def post(
        self, headers: Mapping[str, str], body: bytes, messages: Sequence[Message], owner: str, *, version: str
    ) -> Answer:
        """Sends messages to the session's process, a new one where they begin a session."""
        if version in MODERN:
            return await self._post_stateless(messages[0])
        first = messages[0]
        if first.kind is Kind.REQUEST and first.method == "initialize":
            return await self._initialize(first, owner)
        identifier, session = self._find(headers, owner)
        session.idle_since = time.monotonic()
        outbox = await session.send(messages)
        if outbox is None:
            return WholeAnswer(202)
        session.busy += 1

        async def leave() -> None:
            # a dropped connection is no cancellation (MCP, "Transports"): the answer waits to be resumed
            session.busy -= 1
            session.idle_since = time.monotonic()

        del identifier
        return StreamAnswer(outbox, 0, self._settings.timeout_s, leave)

    async def get(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Opens the server's own stream, or goes on with one after `Last-Event-ID`."""
        _, session = self._find(headers, owner)
        last = headers.get("Last-Event-ID", "")
        found = session.find(last) if last else None
        if found is not None:

            async def nothing() -> None:
                return None

            return StreamAnswer(found[0], found[1], None, nothing)
        outbox = session.listen()

        async def leave() -> None:
            session.unlisten()

        return StreamAnswer(outbox, 0, None, leave)

    async def delete(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Ends a session and its process."""
        identifier, session = self._find(headers, owner)
        self._sessions.pop(identifier, None)
        await session.stop()
        return WholeAnswer(200)

    async def close(self) -> None:
        """Ends every process."""
        sessions = [session for _, session in self._sessions.values()]
        self._sessions.clear()
        await asyncio.gather(*(one.stop() for one in sessions))
        if self._shared is not None:
            await self._shared.stop()

    async def refused(self, headers: CIMultiDict[str], message: Message) -> tuple[int, dict[str, Any]] | None:
        """What a request is refused with before the program hears of it: its HTTP server is us. Raises FaultError."""
        return refused_request(headers, message) or await self.unmirrored(headers, message)

    async def unmirrored(self, headers: CIMultiDict[str], message: Message) -> tuple[int, dict[str, Any]] | None:
        """What a call is refused with whose `Mcp-Param-*` headers are not what its tool wants. Raises FaultError."""
        tool, arguments = message.params.get("name"), message.params.get("arguments") or {}
        if message.method != "tools/call" or message.kind is not Kind.REQUEST or not isinstance(tool, str):
            return None
        if headers.get("Mcp-Protocol-Version", "").strip() not in MODERN or not isinstance(arguments, dict):
            return None
        if not arguments and not any(name.lower().startswith(PREFIX) for name in headers):
            return None  # nothing is there that could be missing or wrong
        if not await self._knows_modern():
            return None
        shared = await self._shared_process()
        meta = {key: value for key, value in message.params.get("_meta", {}).items() if key in ENVELOPE}
        wrong = disagreement(await shared.params(tool, meta), arguments, headers)
        if wrong:  # perhaps the tool is another one now, and nobody has told us
            wrong = disagreement(await shared.params(tool, meta, anew=True), arguments, headers)
        error = error_message(message.id, HEADER_MISMATCH, wrong)
        return (STATUS[HEADER_MISMATCH], error) if wrong else None

    @property
    def processes(self) -> int:
        """How many programs are running."""
        return len(self._sessions) + (self._shared is not None)

    def _find(self, headers: Mapping[str, str], owner: str) -> tuple[str, StdioSession]:
        identifier = headers.get(SESSION, "")
        if not identifier:
            raise client_fault("session_missing", f"send the `{SESSION}` that initialize answered with", 400)
        known = self._sessions.get(identifier)
        if known is None or known[0] != owner:
            raise client_fault("session_unknown", "no such session; initialize again", 404)
        return identifier, known[1]

    async def _initialize(self, message: Message, owner: str) -> Answer:
        self._backoff.check(self._name)
        await self._make_room()
        identifier = secrets.token_urlsafe(24)

        def ended(reason: str) -> None:
            self._sessions.pop(identifier, None)
            if reason != "ended":
                self._services.log.warning("tool_server_stopped", server=self._name, reason=reason)

        session = StdioSession(self._name, self._settings, self._services.tasks, self._services.log, ended)
        answer = await self._first_answer(session, message)
        session.idle_since = time.monotonic()
        self._sessions[identifier] = (owner, session)
        return WholeAnswer(200, answer, {"Content-Type": "application/json", SESSION: identifier})

    async def _first_answer(self, session: StdioSession, message: Message) -> bytes:
        """Starts a process and waits for what it says first. Raises FaultError; the start then counts as failed."""
        try:
            await session.start()
            outbox = await session.send([message])
            assert outbox is not None
            async with asyncio.timeout(self._settings.start_timeout_s):
                data = await _first_event(outbox)
        except TimeoutError as error:
            await session.stop()
            self._failed()
            raise self._slow() from error
        except FaultError:
            self._failed()
            raise
        if _is_gone(data):
            self._failed()
            raise upstream_fault("upstream_reset", f"tool server `{self._name}` ended before it answered")
        self._worked()
        return data

    def _failed(self) -> None:
        """Waits longer before the next start; the first failure of a row is told."""
        self._backoff.failed()
        if not self.is_failing:
            self.is_failing = True
            self._services.log.error(
                "tool_server_failing", server=self._name, remedy=f"see `mcp.servers.{self._name}` in sigmaguard.yaml"
            )

    def _worked(self) -> None:
        self._backoff.worked()
        self.is_failing = False

    def _slow(self) -> FaultError:
        waited = self._settings.start_timeout_s
        return upstream_fault(
            "upstream_timeout", f"tool server `{self._name}` did not answer within {waited:g} s of its start", 504
        )

    async def _make_room(self) -> None:
        """Ends the session idle longest where there are as many as allowed. Raises FaultError where none is idle."""
        if len(self._sessions) < self._settings.sessions:
            return
        now = time.monotonic()
        idle = [
            (session.idle_since, identifier)
            for identifier, (_, session) in self._sessions.items()
            if not session.busy and now - session.idle_since > IDLE_S
        ]
        if not idle:
            raise overloaded("too_many_sessions", f"tool server `{self._name}` has {self._settings.sessions} sessions")
        _, session = self._sessions.pop(min(idle)[1])
        await session.stop()

    async def _post_stateless(self, message: Message) -> Answer:
        if message.kind is not Kind.REQUEST:
            return WholeAnswer(202)  # the revision has no notifications from clients over HTTP
        if not await self._knows_modern():
            return _not_modern(message)
        shared = await self._shared_process()
        outbox = await shared.send(message)

        async def leave() -> None:
            if outbox.waiting:  # closing the answer is how this revision cancels
                await shared.cancel(outbox)

        status, data = await _early_error(outbox)
        if status:
            await leave()
            return WholeAnswer(status, data, {"Content-Type": "application/json"})
        silence_s = None if message.method == LISTEN else self._settings.timeout_s
        return StreamAnswer(outbox, 0, silence_s, leave)

    async def _knows_modern(self) -> bool:
        """Whether the program knows the revision without a handshake; asked once. Raises FaultError."""
        async with self._starting:
            if self._is_modern is None:
                self._is_modern = await self._probe()
        return self._is_modern

    async def _shared_process(self) -> SharedProcess:
        """The process of all stateless callers, started where it is not running. Raises FaultError."""
        shared = self._shared
        if shared is None:
            self._backoff.check(self._name)

            def ended(reason: str) -> None:
                self._shared = None
                if reason != "ended":
                    self._services.log.warning("tool_server_stopped", server=self._name, reason=reason)
                if self._is_modern:
                    self._backoff.failed()

            services = self._services
            shared = self._shared = SharedProcess(self._name, self._settings, services.tasks, services.log, ended)
            try:
                await shared.start()
            except FaultError:
                self._shared = None
                self._failed()
                raise
            if self._is_modern:  # whether one that is still to be asked works, its answer tells
                self.is_failing = False
        return shared

    async def _probe(self) -> bool:
        """Asks the program whether it knows the revision; one that does not is ended again. Raises FaultError."""
        shared = await self._shared_process()
        outbox = await shared.send(_PROBE)
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                data = await _first_event(outbox)
        except TimeoutError:
            data = b""
        if b"2026-07-28" in data and "result" in message_of(orjson.loads(data)).body:
            self._worked()
            return True
        self._shared = None
        await shared.stop()
        return False


_META = "io.modelcontextprotocol/"
_PROBE = message_of(
    {
        "jsonrpc": "2.0",
        "id": "probe",
        "method": "server/discover",
        "params": {
            "_meta": {
                _META + "protocolVersion": "2026-07-28",
                _META + "clientInfo": {"name": "sigmaguard", "version": "1"},
                _META + "clientCapabilities": {},
            }
        },
    }
)


async def _first_event(outbox: Outbox) -> bytes:
    """The data of a stream's first event, empty where it ends without one."""
    async for event in outbox.read():
        return event.partition(b"data: ")[2].strip()
    return b""


async def _early_error(outbox: Outbox) -> tuple[int, bytes]:
    """The status and body of an error that a program answers at once; 0 where it does not."""
    try:
        async with asyncio.timeout(EARLY_S):
            data = await _first_event(outbox)
    except TimeoutError:
        return 0, b""
    error = orjson.loads(data).get("error") if data else None
    code = error.get("code") if isinstance(error, dict) else None
    return (STATUS.get(code, 0), data) if isinstance(code, int) else (0, b"")


def _is_gone(data: bytes) -> bool:
    """Whether an answer is ours, saying that the process has ended."""
    if not data:
        return True
    error = orjson.loads(data).get("error")
    return isinstance(error, dict) and error.get("code") == UPSTREAM


def _not_modern(message: Message) -> Answer:
    body = error_message(message.id, METHOD_NOT_FOUND, "this server speaks the revisions with a handshake: initialize")
    return WholeAnswer(404, encode(body), {"Content-Type": "application/json"})
