"""Calls that wait for a person. Bounded; lives in one worker's memory; knows no transport and no policy."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from sigmaguard.model import Subject

PENDING = 500  # calls waiting at once; one more is refused at once
REMEMBERED = 200  # settled calls kept for the list


class State(StrEnum):
    """Where a waiting call stands."""

    WAITING = "waiting"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    ABANDONED = "abandoned"


class PendingCall(msgspec.Struct, frozen=True):
    """A call and what became of it.

    `id` is the exchange's, `rule` why it waits, `arguments` what would be sent, for the person who
    decides and nobody else: it is never logged. `asked_at`, `expires_at`, `settled_at` in Unix seconds.
    """

    id: str
    exchange: str
    subject: Subject
    server: str
    tool: str
    rule: str
    arguments: object
    asked_at: float
    expires_at: float
    state: State = State.WAITING
    by: str = ""
    settled_at: float = 0.0


class Approvals:
    """The calls waiting in this worker. `observers` hear of every call that begins to wait and of its end."""

    def __init__(self, observers: tuple[Callable[[PendingCall], None], ...] = ()) -> None:
        self.observers = observers
        self.on_change: Callable[[PendingCall], None] | None = None  # hears of arguments, too: the line to the desk
        self._waiting: dict[str, tuple[PendingCall, asyncio.Future[tuple[State, str]]]] = {}
        self._settled: dict[str, PendingCall] = {}

    async def ask(self, call: PendingCall, timeout_s: float) -> State:
        """Waits for a person; GRANTED is the only answer that lets the call through."""
        if len(self._waiting) >= PENDING:
            return State.DENIED
        future: asyncio.Future[tuple[State, str]] = asyncio.get_running_loop().create_future()
        while call.id in self._waiting:  # an answer may ask for several calls
            call = msgspec.structs.replace(call, id=call.id + "x")
        self._waiting[call.id] = (call, future)
        self._tell(call)
        state, by = State.ABANDONED, ""
        try:
            async with asyncio.timeout(timeout_s):
                state, by = await future
        except TimeoutError:
            state = State.EXPIRED
        finally:
            del self._waiting[call.id]
            self._keep(msgspec.structs.replace(call, state=state, by=by, settled_at=time.time()))
        return state

    def decide(self, call_id: str, *, grant: bool, by: str) -> bool:
        """Settles a waiting call; False where none of that id waits here."""
        found = self._waiting.get(call_id)
        if found is None or found[1].done():
            return False
        found[1].set_result((State.GRANTED if grant else State.DENIED, by))
        return True

    def list(self) -> list[PendingCall]:
        """Calls that wait, the oldest first, then the latest settled ones without their arguments."""
        return [call for call, _ in self._waiting.values()] + list(reversed(self._settled.values()))

    def _keep(self, call: PendingCall) -> None:
        call = self._settled[call.id] = msgspec.structs.replace(call, arguments=None)
        while len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]
        self._tell(call)

    def _tell(self, call: PendingCall) -> None:
        if self.on_change is not None:
            self.on_change(call)
        for observer in self.observers:
            observer(msgspec.structs.replace(call, arguments=None))


def pending_call(exchange: str, subject: Subject, server: str, tool: str, rule: str, **what: object) -> PendingCall:
    """A call that begins to wait now; `arguments` and `timeout_s` as keywords."""
    now = time.time()
    timeout_s = what.get("timeout_s")
    assert isinstance(timeout_s, float | int)
    return PendingCall(
        id=f"apr_{exchange.removeprefix('exc_')}",
        exchange=exchange,
        subject=subject,
        server=server,
        tool=tool,
        rule=rule,
        arguments=what.get("arguments"),
        asked_at=now,
        expires_at=now + timeout_s,
    )
