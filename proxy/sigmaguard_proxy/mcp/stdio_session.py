"""One client's session with a server that speaks stdio: a process of its own, its messages sorted into streams.

Stdio says of no message which request it belongs to. Answers go where their request came from, progress where
its token came from, and what the server says on its own to the client's open stream, else to whatever request
is under way, else it waits.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from sigmaguard.errors import WireError
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.mcp.message import UPSTREAM, Id, Kind, Message, encode, error_message, message_of
from sigmaguard_proxy.mcp.outbox import Outbox, split_event_id
from sigmaguard_proxy.mcp.process import ServerProcess
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.tasks import Tasks

STREAMS = 64  # finished streams kept for resuming
OWN = "own"  # the stream of what the server says on its own


class StdioSession:
    """A process and its streams. `on_end` is called once, when the process has ended."""

    def __init__(
        self, name: str, settings: ServerSettings, tasks: Tasks, log: Log, on_end: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._on_end = on_end
        self._process = ServerProcess(name, settings, tasks, log, self._arrived, self._ended)
        self._streams: OrderedDict[str, Outbox] = OrderedDict()
        self._waiting: dict[Id, Outbox] = {}
        self._tokens: dict[Id, Outbox] = {}
        self._own = Outbox(OWN, set(), settings.message_bytes * 2)
        self._listening = 0
        self._count = 0
        self.idle_since = 0.0
        self.busy = 0

    async def start(self) -> None:
        """Starts the process. Raises FaultError."""
        await self._process.start()

    async def send(self, messages: Sequence[Message]) -> Outbox | None:
        """Writes messages; the stream of their answers, None where there is nothing to answer."""
        requests = [one for one in messages if one.kind is Kind.REQUEST]
        outbox = self._open({one.id for one in requests}) if requests else None
        for one in requests:
            assert outbox is not None
            self._waiting[one.id] = outbox
            if one.progress_token is not None:
                self._tokens[one.progress_token] = outbox
        for message in messages:
            await self._process.send(encode(message.body))
        return outbox

    def _open(self, waiting: set[Id]) -> Outbox:
        self._count += 1
        outbox = Outbox(f"r{self._count}", waiting, self._settings.message_bytes * 2)
        self._streams[outbox.id] = outbox
        for name, old in list(self._streams.items()):
            if len(self._streams) <= STREAMS:
                break
            if old.closed:
                del self._streams[name]
        return outbox

    def listen(self) -> Outbox:
        """The stream of what the server says on its own."""
        self._listening += 1
        return self._own

    def unlisten(self) -> None:
        """One connection fewer reads the server's own stream."""
        self._listening -= 1

    def find(self, event_id: str) -> tuple[Outbox, int] | None:
        """The stream and place an event id stands for, None where it is gone."""
        stream, number = split_event_id(event_id)
        outbox = self._own if stream == OWN else self._streams.get(stream)
        return None if outbox is None else (outbox, number)

    async def cancel(self, outbox: Outbox, reason: str) -> None:
        """Tells the server that nobody waits for these answers any more."""
        for number in list(outbox.waiting):
            self._waiting.pop(number, None)
            note = {"requestId": number, "reason": reason}
            body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": note}
            await self._process.send(encode(body))
        outbox.waiting.clear()
        outbox.close()

    async def stop(self) -> None:
        """Ends the process."""
        await self._process.stop()

    def _arrived(self, body: object) -> None:
        for one in body if isinstance(body, list) else [body]:
            try:
                message = message_of(one)
            except WireError:
                continue
            if not self._place(message).put(message.body):
                self._ended("flooded")
                return
            self._settle(message)

    def _place(self, message: Message) -> Outbox:
        if message.is_answer:
            return self._waiting.get(message.id, self._own)
        if message.method == "notifications/progress":
            token = message.params.get("progressToken")
            if isinstance(token, str | int) and token in self._tokens:
                return self._tokens[token]
        if self._listening or not self._waiting:
            return self._own
        return next(reversed(self._waiting.values()))

    def _settle(self, message: Message) -> None:
        outbox = self._waiting.pop(message.id, None) if message.is_answer else None
        if outbox is None:
            return
        outbox.waiting.discard(message.id)
        if not outbox.waiting:
            outbox.close()
            self._tokens = {token: one for token, one in self._tokens.items() if one is not outbox}

    def _ended(self, reason: str) -> None:
        """Every request under way is answered: a client must never wait for a process that is gone."""
        for number, outbox in list(self._waiting.items()):
            outbox.put(_gone(number, reason))
            outbox.waiting.discard(number)
            outbox.close()
        self._waiting.clear()
        self._own.close()
        self._on_end(reason)


def _gone(number: Id, reason: str) -> dict[str, Any]:
    return error_message(number, UPSTREAM, f"the tool server ended ({reason})", {"code": f"upstream_{reason}"})
