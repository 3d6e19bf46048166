"""One HTTP exchange with a tool server: messages there, messages back, each judged. Knows modes and order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from multidict import CIMultiDict

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Fault, FaultSource, Mode, OnFault
from sigmaguard.wire.codec import Refusal
from sigmaguard.wire.sse import SseDecoder, SseEvent
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, upstream_fault
from sigmaguard_proxy.mcp.endpoint import Endpoint, child
from sigmaguard_proxy.mcp.guard import Ruling
from sigmaguard_proxy.mcp.headers import mirrored, mirrors_agree
from sigmaguard_proxy.mcp.message import (
    BLOCKED,
    HEADER_MISMATCH,
    MODERN,
    Id,
    Kind,
    Message,
    encode,
    error_message,
    parse_messages,
)
from sigmaguard_proxy.mcp.oauth import challenge
from sigmaguard_proxy.mcp.out import Out
from sigmaguard_proxy.mcp.process import Meter
from sigmaguard_proxy.mcp.refuse import refusal_message
from sigmaguard_proxy.mcp.sessions import Session
from sigmaguard_proxy.mcp.upstream import Answer
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.tooling import scope

SESSION = "Mcp-Session-Id"
VERSION = "Mcp-Protocol-Version"
Record = Callable[[Exchange], None]


class Conversation:
    """One exchange of one caller with one server."""

    def __init__(
        self,
        services: Services,
        record: Record,
        exchange: Exchange,
        endpoint: Endpoint,
        session: Session,
        headers: CIMultiDict[str],
        out: Out,
    ) -> None:
        self._services = services
        self._record = record
        self._exchange = exchange
        self._endpoint = endpoint
        self._guard = endpoint.guard
        self._session = session
        self._headers = headers
        self._out = out
        self._owner = scope(exchange.who.subject)
        self._waiting: dict[Id, str] = {}
        self._meter = Meter(endpoint.settings.messages_per_s)
        self.version = headers.get(VERSION, "")

    async def post(self, raw: bytes, messages: Sequence[Message], *, batch: bool) -> None:
        """The client's messages there, and everything they bring back."""
        for one in messages:
            if one.kind is Kind.REQUEST:
                self._waiting[one.id] = one.method
        match self._exchange.mode:
            case Mode.ENFORCE:
                await self._enforce(raw, messages, batch=batch)
            case Mode.SHADOW:
                await self._shadow(raw, messages)
            case Mode.OFF:
                await self._relay_raw(await self._send(raw, messages))

    async def pass_on(self, raw: bytes) -> None:
        """Bytes that are no messages, in shadow: the server's to refuse."""
        await self._relay(await self._send(raw, ()))

    async def listen(self) -> None:
        """The server's own stream, or one that is resumed."""
        answer = await self._endpoint.server.get(self._headers, self._owner)
        await self._relay(answer)

    async def _enforce(self, raw: bytes, messages: Sequence[Message], *, batch: bool) -> None:
        if self.version in MODERN and not mirrors_agree(self._headers, messages[0]):
            text = "an Mcp-Param header says something that the call's arguments do not"
            await self.answer(400, [error_message(messages[0].id, HEADER_MISMATCH, text)], batch=batch)
            return
        rulings = [await self._guard.from_client(self._exchange, one, self._session) for one in messages]
        refused = [(one, ruling) for one, ruling in zip(messages, rulings, strict=True) if ruling.refusal]
        if refused and any(one.kind is Kind.REQUEST for one in messages):
            refusal = refused[0][1].refusal
            assert refusal is not None
            answers = [refusal_message(refusal, one.id, one.method) for one in messages if one.kind is Kind.REQUEST]
            await self.answer(200, answers, batch=batch)
            return
        if refused:
            messages = [self._replaced(one, ruling) for one, ruling in zip(messages, rulings, strict=True)]
            messages = [one for one in messages if one.kind is not Kind.NOTIFICATION or one.method]
            if not any(one.is_answer for one in messages):
                await self._accepted()
                return
        if refused or any(ruling.edited for ruling in rulings):
            raw = encode([one.body for one in messages] if batch else messages[0].body)
            self._headers = mirrored(self._headers, messages[0])
        await self._relay(await self._send(raw, messages))

    def _replaced(self, message: Message, ruling: Ruling) -> Message:
        """A refused answer becomes an error, so that the server need not wait for it; a refused note is dropped."""
        if ruling.refusal is None:
            return message
        if message.is_answer:
            body = error_message(message.id, BLOCKED, ruling.refusal.message)
            return Message(Kind.ERROR, message.id, "", body)
        return Message(Kind.NOTIFICATION, None, "", {})

    async def _shadow(self, raw: bytes, messages: Sequence[Message]) -> None:
        sending = self._services.tasks.spawn(self._send(raw, messages), name="mcp-forward")
        try:
            for one in messages:
                ruling = await self._guard.from_client(self._exchange, one, self._session)
                if ruling.refusal is not None and ruling.refusal.kind == "permission_error":
                    await _abandon(sending)
                    await self.answer(200, [refusal_message(ruling.refusal, one.id, one.method)], batch=False)
                    return
            answer = await sending
        except asyncio.CancelledError:
            await _abandon(sending)
            raise
        await self._relay(answer)

    async def _send(self, raw: bytes, messages: Sequence[Message]) -> Answer:
        since = self._exchange.forwarded = time.perf_counter()
        server = self._endpoint.server
        answer = await server.post(self._headers, raw, messages, self._owner, version=self.version)
        self._exchange.upstream_s += time.perf_counter() - since
        return answer

    async def _relay(self, answer: Answer) -> None:
        try:
            self._exchange.status = answer.status
            self._note_session(answer)
            if self._exchange.mode is Mode.OFF:
                await self._relay_raw(answer)
            elif answer.content_type == "text/event-stream":
                await self._stream(answer)
            else:
                await self._whole(answer)
        finally:
            await answer.close()

    def _note_session(self, answer: Answer) -> None:
        identifier = answer.headers.get(SESSION, "")
        if identifier and not self._session.id:
            self._endpoint.sessions.adopt(self._owner, identifier, self._session)

    # whole answers

    async def _whole(self, answer: Answer) -> None:
        body = await self._read(answer)
        exchange, enforce = self._exchange, self._exchange.mode is Mode.ENFORCE
        if body.strip():
            try:
                messages, batch = parse_messages(body)
            except WireError as error:
                if enforce and answer.status < 400 and exchange.policy.on_fault is OnFault.CLOSED:
                    raise upstream_fault(f"upstream_{error.kind}", f"the tool server's answer: {error}") from error
                exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))
                if enforce:
                    body = b""  # an error page is nobody's message; its status says enough
            else:
                body = await self._judged(messages, body, batch=batch)
        self._record(exchange)
        await self._out.whole(answer.status, self._head(answer), body)

    async def _judged(self, messages: Sequence[Message], body: bytes, *, batch: bool) -> bytes:
        changed, kept = False, []
        for one in messages:
            ruling = await self._guard.from_server(self._exchange, one, self._session)
            self._waiting.pop(one.id, None)
            if ruling.refusal is not None:
                self._exchange.status = 200
                kept.append(refusal_message(ruling.refusal, one.id, ruling.method))
                changed = True
            else:
                kept.append(one.body)
                changed |= ruling.edited
        if not changed or self._exchange.mode is not Mode.ENFORCE:
            return body
        return encode(kept if batch else kept[0])

    async def _read(self, answer: Answer) -> bytes:
        pieces: list[bytes] = []
        size, limit = 0, self._endpoint.settings.message_bytes
        since = time.perf_counter()
        async for chunk in answer.chunks():
            pieces.append(chunk)
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
        self._exchange.upstream_s += time.perf_counter() - since
        self._exchange.response_bytes += size
        return b"".join(pieces)

    # streamed answers

    async def _stream(self, answer: Answer) -> None:
        self._exchange.streamed = True
        await self._out.begin(answer.status, self._head(answer))
        decoder = SseDecoder(self._endpoint.settings.message_bytes)
        try:
            if self._exchange.mode is Mode.ENFORCE:
                async for event in self._events(answer, decoder):
                    await self._out.write(await self._pass(event))
            else:
                await self._watch(answer, decoder)
        except FaultError as error:
            self._exchange.faults.append(error.fault)
            await self._break(error.refusal(self._exchange.id))
        except WireError as error:
            fault = upstream_fault(f"upstream_{error.kind}", f"the tool server's stream: {error}")
            self._exchange.faults.append(fault.fault)
            await self._break(fault.refusal(self._exchange.id))
        self._record_once()
        await self._out.end()

    async def _events(self, answer: Answer, decoder: SseDecoder) -> AsyncIterator[SseEvent]:
        async for chunk in answer.chunks():
            self._exchange.response_bytes += len(chunk)
            if not self._exchange.first_byte:
                self._exchange.first_byte = time.perf_counter()
            for event in decoder.feed(chunk):
                self._count()
                yield event
        for event in decoder.finish():
            yield event

    def _count(self) -> None:
        if not self._meter.admit():
            per_s = self._endpoint.settings.messages_per_s
            raise upstream_fault(
                "upstream_flooded", f"the tool server sends more than {per_s:g} messages a second", retryable=False
            )

    async def _watch(self, answer: Answer, decoder: SseDecoder) -> None:
        """Shadow: every byte as it came, then a look at it."""
        async for chunk in answer.chunks():
            self._exchange.response_bytes += len(chunk)
            events = decoder.feed(chunk)
            for _ in events:
                self._count()
            await self._out.write(chunk)
            for event in events:
                try:
                    await self._pass(event)
                except WireError as error:
                    self._exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))

    async def _pass(self, event: SseEvent) -> bytes:
        """One event as it may leave."""
        if not event.data.strip() or event.event not in ("", "message"):
            return event.raw
        messages, batch = parse_messages(event.data)
        kept: list[object] = []
        changed = False
        for one in messages:
            body, edited = await self._one(one)
            changed |= edited
            if body is not None:
                kept.append(body)
        if not self._waiting and any(one.is_answer for one in messages):
            self._record_once()
        if not changed:
            return event.raw
        if not kept:
            return _without_data(event)
        return with_data(event, encode(kept if batch else kept[0]))

    async def _one(self, message: Message) -> tuple[object, bool]:
        """A message as it may leave, None where it may not; and whether that changes the event."""
        if message.is_answer:
            ruling = await self._guard.from_server(self._exchange, message, self._session)
            method = self._waiting.pop(message.id, "") or ruling.method
            if ruling.refusal is not None:
                return refusal_message(ruling.refusal, message.id, method), True
            return message.body, ruling.edited
        own = child(self._exchange, self._endpoint.name)
        own.method, own.status = message.method, 200
        ruling = await self._guard.from_server(own, message, self._session)
        if message.kind is Kind.REQUEST or any(one.findings or one.faults for one in own.input):
            own.action = Action.BLOCK if ruling.refusal else Action.ALLOW
            self._record(own)
        if ruling.refusal is None:
            return message.body, ruling.edited
        if message.kind is Kind.REQUEST:
            self._services.tasks.spawn(self._tell(message, ruling.refusal), name="mcp-refuse")
        return None, True

    async def _tell(self, message: Message, refusal: Refusal) -> None:
        """Answers a server's own request that was not let through, so that it does not wait for ever."""
        body = error_message(message.id, BLOCKED, refusal.message)
        note = Message(Kind.ERROR, message.id, "", body)
        headers = CIMultiDict(self._headers)
        headers["Content-Type"] = "application/json"
        headers["Accept"] = "application/json, text/event-stream"
        if self._session.id:
            headers[SESSION] = self._session.id
        try:
            answer = await self._endpoint.server.post(headers, encode(body), [note], self._owner, version=self.version)
            await answer.close()
        except FaultError as error:
            self._services.log.warning("tool_server_not_told", server=self._endpoint.name, fault=error.fault.kind)

    async def _break(self, refusal: Refusal) -> None:
        """Answers every request that is still waiting: a client must not hang on a server that failed."""
        for number, method in list(self._waiting.items()):
            message = refusal_message(refusal, number, method)
            await self._out.write(b"event: message\ndata: " + encode(message) + b"\n\n")
        self._waiting.clear()

    def _record_once(self) -> None:
        try:
            self._record(self._exchange)
        except FaultError as error:
            self._exchange.faults.append(error.fault)
            raise

    # answers of our own

    async def _relay_raw(self, answer: Answer) -> None:
        try:
            await self._out.begin(answer.status, self._head(answer))
            async for chunk in answer.chunks():
                self._exchange.response_bytes += len(chunk)
                await self._out.write(chunk)
            self._record(self._exchange)
            await self._out.end()
        finally:
            await answer.close()

    async def answer(self, status: int, bodies: Sequence[Mapping[str, object]], *, batch: bool) -> None:
        """An answer of our own."""
        self._exchange.status = status
        self._record(self._exchange)
        headers = {"Content-Type": "application/json", **self._exchange.headers()}
        await self._out.whole(status, headers, encode(list(bodies) if batch else bodies[0]))

    async def _accepted(self) -> None:
        self._exchange.status = 202
        self._record(self._exchange)
        await self._out.whole(202, self._exchange.headers(), b"")

    def _head(self, answer: Answer) -> Mapping[str, str]:
        headers = CIMultiDict(answer.headers)
        headers.update(self._exchange.headers())
        if answer.status == 401:
            headers.update(challenge(answer.headers, self._exchange.request, self._endpoint.name))
        return headers


async def _abandon(sending: "asyncio.Task[Answer]") -> None:
    """Closes the way to the server, whether it has answered yet or not."""
    if sending.done() and not sending.cancelled() and sending.exception() is None:
        await sending.result().close()
    sending.cancel()


def _too_large(limit: int) -> FaultError:
    return upstream_fault("upstream_too_large", f"the tool server's answer is over {limit} bytes", retryable=False)


def _lines(event: SseEvent) -> list[bytes]:
    return event.raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def with_data(event: SseEvent, data: bytes) -> bytes:
    """The event with other data; its name, id and retry time stay."""
    kept = [line for line in _lines(event) if line and not line.startswith((b"data:", b":"))]
    return b"\n".join([*kept, b"data: " + data]) + b"\n\n"


def _without_data(event: SseEvent) -> bytes:
    """The event without data: clients note its id, so that resuming stays exact, and nothing else happens."""
    kept = [line for line in _lines(event) if line.startswith((b"id:", b"retry:"))]
    return b"\n".join(kept) + b"\n\n" if kept else b": withheld\n\n"
