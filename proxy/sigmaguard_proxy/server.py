"""The inline server: the life of one exchange in ten named stages. Knows the order, not the details."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from sigmaguard.digests import Digests
from sigmaguard.errors import WireError
from sigmaguard.inspection import Inspection
from sigmaguard.model import Action, Direction, Fault, FaultSource, Mode, OnFault, Outcome, Timing, Verdict
from sigmaguard.wire.body import encode_edits
from sigmaguard.wire.codec import Refusal
from sigmaguard.wire.generic import GenericCodec
from sigmaguard_proxy.accepting import (
    continued,
    decode,
    go_on,
    is_heavy,
    large_binary,
    read_body,
    too_large,
    whole_body,
)
from sigmaguard_proxy.acting import mask_request
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault, internal_fault, overloaded
from sigmaguard_proxy.forwarding import abandon, send, send_unread
from sigmaguard_proxy.key_scopes import check_endpoint, check_model
from sigmaguard_proxy.ports import Caller
from sigmaguard_proxy.refusing import blocked, error_response
from sigmaguard_proxy.relay import Relay
from sigmaguard_proxy.services import Services


class Proxy:
    """Handles every request of the data port."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.relay = Relay(services, self.record)
        self.draining = False
        self.active = 0
        self.mounts: Mapping[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, whatever happens answered in the caller's protocol and recorded exactly once."""
        if request.path in ("/healthz", "/readyz"):
            return self._probe(request.path)
        mount = self.mounts.get(request.path) or self.mounts.get(request.path[1:].partition("/")[0])
        if mount is not None:
            return await self._mounted(mount, request)
        exchange = Exchange(request)
        if self.services.tracer is not None:
            exchange.trace = self.services.tracer.begin(request.headers)
        self.active += 1
        try:
            return await self._stages(exchange)
        except FaultError as error:
            exchange.refuse(error.fault, self.services.mode_for(exchange.identity))
            return self._refuse(exchange, error.refusal(exchange.id))
        except asyncio.CancelledError:
            exchange.status = 499  # the caller hung up; nginx's word for it
            raise
        except ConnectionError:  # seen while writing, before the server has told us
            exchange.status = 499
            return exchange.out or web.Response(status=499)
        except Exception as error:  # the exchange door: whatever it was, the caller gets a clear answer
            self.services.log.error("exchange_failed", exchange=exchange.id, error=type(error).__name__)
            fault = internal_fault("internal_error", "Sigmaguard failed on this exchange; nothing was let through")
            exchange.refuse(fault.fault, self.services.mode_for(exchange.identity))
            return self._refuse(exchange, fault.refusal(exchange.id))
        finally:
            self.active -= 1
            self._record_last(exchange)

    async def _mounted(
        self, mount: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], request: web.BaseRequest
    ) -> web.StreamResponse:
        """Tool traffic and the guard have stages of their own; they count as under way all the same."""
        if self.draining:
            return web.json_response({"error": {"code": "draining", "message": "shutting down"}}, status=503)
        self.active += 1
        try:
            return await mount(request)
        finally:
            self.active -= 1

    async def _stages(self, exchange: Exchange) -> web.StreamResponse:
        self._accept(exchange)
        self._identify(exchange)
        await go_on(exchange.request)
        if exchange.mode is Mode.OFF or exchange.codec is None:
            return await self._unread(exchange)
        if exchange.mode is Mode.SHADOW:
            return await self._shadow(exchange)
        return await self._enforce(exchange)

    async def _unread(self, exchange: Exchange) -> web.StreamResponse:
        """The firewall is off, or the endpoint is unknown and the policy lets it pass: nothing is looked at."""
        if exchange.mode is not Mode.OFF:
            outcomes = tuple((name, Outcome.NOT_RUN) for name in exchange.policy.detectors)
            exchange.input.append(Verdict(Action.ALLOW, Action.ALLOW, exchange.mode, outcomes=outcomes))
        if not exchange.who.models:
            await self._limit(exchange)
            return await self.relay.raw(exchange, await send_unread(self.services.outbound, exchange))
        await self._read_model(exchange)
        await self._limit(exchange)
        return await self.relay.raw(exchange, await send(self.services.outbound, exchange, exchange.raw))

    async def _read_model(self, exchange: Exchange) -> None:
        """The body, for the model that it names and nothing else: a key for some models only holds in every mode."""
        codec = exchange.codec
        exchange.codec = codec or self.services.registry.unknown(anthropic=False)
        await self._read(exchange)
        exchange.codec, exchange.segments = codec, []

    async def _enforce(self, exchange: Exchange) -> web.StreamResponse:
        if isinstance(exchange.codec, GenericCodec):
            start = await large_binary(exchange.request, exchange.policy.limits.request_bytes)
            if start:
                return await self._upload(exchange, start)
        await self._read(exchange)
        await self._limit(exchange)
        verdict = await self._judge(exchange, await self._begin(exchange, Timing.BEFORE))
        if verdict.action is Action.BLOCK:
            return self._refuse(exchange, blocked(exchange, verdict))
        body = await self._act(exchange, verdict)
        forward = partial(send, self.services.outbound, exchange, body, is_edited=body is not exchange.raw)
        if not exchange.policy.plan(Direction.INPUT, Timing.PARALLEL).detectors:
            return await self.relay.guarded(exchange, await forward())
        parallel = await self._begin(exchange, Timing.PARALLEL)
        if not parallel.fresh:
            verdict = await self._judge(exchange, parallel)
            if verdict.action is Action.BLOCK:
                return self._refuse(exchange, blocked(exchange, verdict))
            return await self.relay.guarded(exchange, await forward())
        task = self.services.tasks.spawn(forward(), name="forward")
        try:
            verdict = await self._judge(exchange, parallel)
            if verdict.action is Action.BLOCK:
                abandon(task)
                return self._refuse(exchange, blocked(exchange, verdict))
            answer = await task
        except BaseException:
            abandon(task)
            raise
        return await self.relay.guarded(exchange, answer)

    async def _upload(self, exchange: Exchange, start: bytes) -> web.StreamResponse:
        """An upload that holds no text and is too large to keep: it goes on as it comes, its answer is read."""
        outcomes = tuple((name, Outcome.NOT_RUN) for name in exchange.policy.detectors)
        exchange.input.append(Verdict(Action.ALLOW, Action.ALLOW, exchange.mode, outcomes=outcomes))
        await self._limit(exchange, has_body=True)
        body = continued(start, exchange.request)
        return await self.relay.guarded(exchange, await send(self.services.outbound, exchange, body))

    async def _shadow(self, exchange: Exchange) -> web.StreamResponse:
        request, limit = exchange.request, exchange.policy.limits.request_bytes
        exchange.raw, is_whole = await read_body(request, limit)
        if is_whole:
            await self._decode(exchange)
        else:
            exchange.faults.append(too_large(limit).fault)
        await self._limit(exchange, has_body=not is_whole)
        body = exchange.raw if is_whole else continued(exchange.raw, request)
        task = self.services.tasks.spawn(send(self.services.outbound, exchange, body), name="forward")
        try:
            await asyncio.sleep(0)  # let the request leave before any inspecting
            await self._observe(exchange)
            answer = await task
        except BaseException:
            abandon(task)
            raise
        return await self.relay.shadowed(exchange, answer)

    async def _observe(self, exchange: Exchange) -> None:
        """What enforce would have done with a request; whatever fails here changes nothing."""
        try:
            for timing in (Timing.BEFORE, Timing.PARALLEL):
                if timing is Timing.BEFORE or exchange.policy.plan(Direction.INPUT, timing).detectors:
                    await self._judge(exchange, await self._begin(exchange, timing))
        except Exception as error:  # the shadow's door: a fault of ours must not change what passes
            self.services.log.error("exchange_failed", exchange=exchange.id, error=type(error).__name__)
            exchange.faults.append(internal_fault("internal_error", f"{type(error).__name__} while inspecting").fault)

    def _accept(self, exchange: Exchange) -> None:
        request = exchange.request
        if self.draining:
            raise overloaded("draining", "this Sigmaguard is shutting down; send the request again")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            raise client_fault(
                "websocket_unsupported",
                "realtime WebSocket endpoints cannot be inspected and are refused; use the HTTP endpoints",
                status=501,
            )
        services = self.services
        anthropic = "anthropic-version" in request.headers
        exchange.target = services.upstreams.target(request.rel_url.raw_path, anthropic=anthropic)
        exchange.codec = services.registry.find(request.method, exchange.target.path)

    def _identify(self, exchange: Exchange) -> None:
        headers, target = exchange.request.headers, exchange.target
        assert target is not None
        credential = headers.get("x-api-key") or headers.get("api-key") or _bearer(headers.get("Authorization", ""))
        caller = Caller(
            credential=credential,
            remote=exchange.request.remote or "",
            endpoint=exchange.codec.endpoint if exchange.codec else target.path,
            upstream=target.name,
            agent=headers.get("x-sigmaguard-agent", ""),
        )
        answer = self.services.directory.identify(caller, exchange.id)
        if isinstance(answer, Refusal):
            raise FaultError(
                Fault(FaultSource.CLIENT, answer.code, answer.message),
                answer.status,
                answer.kind,
                answer.retry_after_s,
            )
        exchange.identity = answer
        check_endpoint(answer, caller.endpoint)
        if exchange.codec is None:
            self._unknown(exchange)

    def _unknown(self, exchange: Exchange) -> None:
        """An endpoint without a codec: what the policy says of those."""
        policy = exchange.policy
        if policy.unknown_endpoints == "inspect" and exchange.mode is not Mode.OFF:
            anthropic = "anthropic-version" in exchange.request.headers
            exchange.codec = self.services.registry.unknown(anthropic=anthropic)
        elif policy.unknown_endpoints == "refuse" and exchange.mode is Mode.ENFORCE:
            raise client_fault(
                "unknown_endpoint",
                f"policy `{policy.name}` refuses endpoints nobody knows; "
                "`unknown_endpoints: inspect` in it reads whatever they carry",
                status=403,
            )

    async def _read(self, exchange: Exchange) -> None:
        """Stage 3: the body, decoded into segments."""
        exchange.raw = await whole_body(exchange.request, exchange.policy.limits.request_bytes)
        await self._decode(exchange)

    async def _decode(self, exchange: Exchange) -> None:
        """What cannot be decoded is refused, or passes where the policy fails open or only watches."""
        since = time.perf_counter()
        try:
            if is_heavy(exchange.raw):
                await asyncio.to_thread(decode, exchange)
            else:
                decode(exchange)
        except WireError as error:
            if exchange.mode is Mode.ENFORCE and exchange.policy.on_fault is OnFault.CLOSED:
                raise client_fault(error.kind, str(error), 413 if error.kind == "body_too_large" else 400) from error
            exchange.faults.append(Fault(FaultSource.CLIENT, error.kind, str(error)))
            exchange.segments = []
        exchange.clock("decode", since)

    async def _limit(self, exchange: Exchange, *, has_body: bool = False) -> None:
        """Stage 4. `has_body` says that there is one although none of it was read."""
        identity = exchange.who
        check_model(identity, exchange.model, has_body=has_body or bool(exchange.raw))
        if identity.limits is None:
            return
        since = time.perf_counter()
        estimated = len(exchange.raw) // 4  # about four bytes a token in English
        answer = await self.services.limiter.admit(identity, exchange.model, estimated, exchange.id)
        exchange.clock("limit", since)
        if isinstance(answer, Refusal):
            raise FaultError(
                Fault(FaultSource.CLIENT, answer.code, answer.message),
                answer.status,
                answer.kind,
                answer.retry_after_s,
            )
        exchange.ticket = answer

    async def _begin(self, exchange: Exchange, timing: Timing) -> Inspection:
        segments, tenant = exchange.segments, exchange.who.subject.tenant
        digests = exchange.digests = exchange.digests or Digests(segments)
        inspecting = self.services.inspecting
        return await inspecting.begun(exchange.policy, Direction.INPUT, timing, segments, tenant, digests)

    async def _judge(self, exchange: Exchange, inspection: Inspection) -> Verdict:
        """Stage 5."""
        since = time.perf_counter()
        verdict = await self.services.inspecting.verdict(inspection, exchange.mode)
        exchange.input.append(verdict)
        exchange.clock("inspect", since)
        return verdict

    async def _act(self, exchange: Exchange, verdict: Verdict) -> bytes:
        """Stage 6: the body to send, masked where the verdict says so."""
        if verdict.action is not Action.MASK:
            return exchange.raw
        since = time.perf_counter()
        if is_heavy(exchange.raw):  # it may hold thousands of values
            body = await asyncio.to_thread(self._masked, exchange, verdict)
        else:
            body = self._masked(exchange, verdict)
        exchange.clock("act", since)
        return body

    def _masked(self, exchange: Exchange, verdict: Verdict) -> bytes:
        edits = mask_request(exchange, verdict, self.services.mask_key)
        if not edits:
            return exchange.raw
        try:
            return exchange.form.encode(edits) if exchange.form else encode_edits(exchange.plain, edits)
        except WireError as error:
            raise client_fault("cannot_mask", f"what must be masked cannot be edited: {error}") from error

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> web.StreamResponse:
        """The refusal as an answer; where one has begun already nothing can be said, so it breaks off."""
        if exchange.out is None:
            exchange.status = refusal.status
            return error_response(exchange, refusal)
        if exchange.request.transport is not None:
            exchange.request.transport.close()
        return exchange.out

    def record(self, exchange: Exchange) -> None:
        """Stage 10, before the answer's last byte leaves. Raises FaultError where nothing can be recorded."""
        if exchange.recorded:
            return
        exchange.recorded = True
        if exchange.ticket is not None:
            exchange.ticket.settle(exchange.usage.input_tokens, exchange.usage.output_tokens)
        record = exchange.to_record()
        for observer in self.services.observers:
            observer(record)
        trial = exchange.identity.trial if exchange.identity is not None else None
        if trial is not None and self.services.trials is not None and exchange.segments and not exchange.refused:
            self.services.trials.consider(trial, exchange.segments, record)
        try:
            self.services.recorder.record(record)
        except OSError as error:
            self.services.log.error("record_failed", exchange=exchange.id, error=type(error).__name__)
            closed = exchange.identity is None or exchange.policy.on_fault is OnFault.CLOSED
            if closed and exchange.identity is not None and exchange.mode is Mode.ENFORCE:
                raise overloaded(
                    "audit_unavailable", "the audit log cannot be written; nothing is let through"
                ) from error

    def _record_last(self, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        try:
            self.record(exchange)
        except FaultError:
            return  # the answer is a refusal already, or the caller is gone

    def _probe(self, path: str) -> web.Response:
        degraded = self.services.authority.degraded()
        ready = not self.draining
        status = 200 if path == "/healthz" or ready else 503
        state = "draining" if self.draining else "degraded" if degraded else "ok"
        return web.json_response({"status": state, "degraded": degraded}, status=status)


def _bearer(authorization: str) -> str:
    """The token of a bearer credential (RFC 6750; the scheme's case does not matter)."""
    return authorization[7:].strip() if authorization[:7].lower() == "bearer " else authorization
