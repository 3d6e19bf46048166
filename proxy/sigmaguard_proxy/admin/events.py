"""Live events: what happens, as it happens, to whoever may see it. A slow listener loses events, never costs memory.

Events are made only while somebody listens.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import msgspec
from aiohttp import web

from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.ports import ExchangeRecord

WAITING = 1_000  # events a listener may be behind
HEARTBEAT_S = 15.0  # proxies close what is silent for long


class LiveEvent(msgspec.Struct, frozen=True):
    """One exchange as a console shows it. `at` in Unix seconds; `rules` are those of its findings."""

    type: str
    at: float
    tenant: str
    exchange: str
    agent: str = ""
    key: str = ""
    protocol: str = ""
    endpoint: str = ""
    model: str = ""
    mode: str = ""
    action: str = ""
    intended: str = ""
    rule: str = ""
    score: float = 0.0
    status: int = 0
    rules: tuple[str, ...] = ()
    added_ms: float = 0.0
    total_ms: float = 0.0
    input_tokens: int = -1
    output_tokens: int = -1
    tool: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LiveEvent).decode


def exchange_event(record: ExchangeRecord) -> LiveEvent:
    """What a console is told of an exchange: no content, no digest."""
    return LiveEvent(
        type="exchange",
        at=record.at,
        tenant=record.subject.tenant,
        exchange=record.exchange,
        agent=record.subject.agent,
        key=record.subject.key,
        protocol=record.protocol,
        endpoint=record.endpoint,
        model=record.model,
        mode=record.mode.value,
        action=record.action,
        intended=record.intended,
        rule=record.rule,
        score=round(record.score, 4),
        status=record.status,
        rules=tuple(dict.fromkeys(one.rule for one in (*record.input_findings, *record.output_findings)))[:20],
        added_ms=round(record.added_ms, 3),
        total_ms=round(record.total_ms, 3),
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        tool=record.tool,
    )


class Listener:
    """One stream's queue. `lost` counts events that came too fast for it."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.lost = 0
        self.queue: asyncio.Queue[LiveEvent] = asyncio.Queue(WAITING)

    def offer(self, event: LiveEvent) -> None:
        """Takes an event of its tenant; the oldest goes where there is no room."""
        if self.tenant not in (EVERYWHERE, event.tenant):
            return
        if self.queue.full():
            self.queue.get_nowait()
            self.lost += 1
        self.queue.put_nowait(event)


class EventHub:
    """Passes events from workers to listeners. `on_wanted` hears whether anybody listens."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._wanted: list[Callable[[bool], None]] = []

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def on_wanted(self, hear: Callable[[bool], None]) -> None:
        """Calls `hear` when the first listener comes and when the last one goes."""
        self._wanted.append(hear)

    def observe(self, record: ExchangeRecord) -> None:
        """Takes an exchange of this process."""
        if self._listeners:
            self.publish(exchange_event(record))

    def receive(self, data: bytes) -> None:
        """Takes an event that a worker sent."""
        with contextlib.suppress(msgspec.MsgspecError):
            self.publish(_decode(data))

    def publish(self, event: LiveEvent) -> None:
        """Offers an event to everyone."""
        for listener in self._listeners:
            listener.offer(event)

    @contextlib.contextmanager
    def listen(self, tenant: str) -> Iterator[Listener]:
        """A listener for one tenant (`*` for all) while the block runs."""
        listener = Listener(tenant)
        self._listeners.add(listener)
        if len(self._listeners) == 1:
            self._tell(True)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._tell(False)

    def _tell(self, wanted: bool) -> None:
        for hear in self._wanted:
            hear(wanted)


def encode_event(record: ExchangeRecord) -> bytes:
    """An exchange as a worker sends it to the supervisor."""
    return _encode(exchange_event(record))


async def stream_events(request: web.Request, hub: EventHub, tenant: str) -> web.StreamResponse:
    """Server-sent events (WHATWG HTML 9.2) until the client goes."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    with hub.listen(tenant) as listener:
        await response.write(b": listening\n\n")
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    event = await listener.queue.get()
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            lost, listener.lost = listener.lost, 0
            if lost:
                await response.write(b'event: lost\ndata: {"events":%d}\n\n' % lost)
            await response.write(
                b"event: %s\nid: %s\ndata: %s\n\n" % (event.type.encode(), event.exchange.encode(), _encode(event))
            )
