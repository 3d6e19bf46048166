"""The inline server: the life of one exchange in ten named stages. Knows the order, not the details."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Direction, Fault, FaultSource, Mode, OnFault, Timing, Verdict
from sigmaguard.wire.body import encode_edits, parse_body
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.acting import mask_request
from sigmaguard_proxy.encoding import decode_body
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault, internal_fault, overloaded, upstream_fault
from sigmaguard_proxy.ports import Caller
from sigmaguard_proxy.refusing import blocked, error_response
from sigmaguard_proxy.relay import Relay
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.upstreams import forward_url, forwarded_headers

BODY_TIMEOUT_S = 60.0  # a caller that needs longer to send one body is not going to


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
        mount = self.mounts.get(request.path[1:].partition("/")[0])
        if mount is not None:
            return await self._mounted(mount, request)
        exchange = Exchange(request)
        if self.services.tracer is not None:
            exchange.trace = self.services.tracer.begin(request.headers)
        self.active += 1
        try:
            return await self._stages(exchange)
        except FaultError as error:
            exchange.faults.append(error.fault)
            return self._refuse(exchange, error.refusal(exchange.id))
        except asyncio.CancelledError:
            exchange.status = 499  # the caller hung up; nginx's word for it
            raise
        except Exception as error:  # the exchange door: whatever it was, the caller gets a clear answer
            self.services.log.error("exchange_failed", exchange=exchange.id, error=type(error).__name__)
            fault = internal_fault("internal_error", "Sigmaguard failed on this exchange; nothing was let through")
            exchange.faults.append(fault.fault)
            return self._refuse(exchange, fault.refusal(exchange.id))
        finally:
            self.active -= 1
            self._record_last(exchange)

    async def _mounted(
        self, mount: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], request: web.BaseRequest
    ) -> web.StreamResponse:
        """Tool traffic has stages of its own; it counts as under way all the same."""
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
        if exchange.mode is Mode.OFF:
            await self._limit(exchange)
            return await self.relay.raw(exchange, await self._send_unread(exchange))
        await self._read(exchange)
        await self._limit(exchange)
        if exchange.codec is None:
            return await self.relay.raw(exchange, await self._send(exchange, exchange.raw))
        if exchange.mode is Mode.SHADOW:
            return await self._shadow(exchange)
        return await self._enforce(exchange)

    async def _enforce(self, exchange: Exchange) -> web.StreamResponse:
        verdict = await self._inspect(exchange, Timing.BEFORE)
        if verdict.action is Action.BLOCK:
            return self._refuse(exchange, blocked(exchange, verdict))
        body = self._act(exchange, verdict)
        parallel = self._begin(exchange, Timing.PARALLEL)
        if not parallel.fresh:
            verdict = await self._judge(exchange, parallel)
            if verdict.action is Action.BLOCK:
                return self._refuse(exchange, blocked(exchange, verdict))
            return await self.relay.guarded(exchange, await self._send(exchange, body))
        sending = self.services.tasks.spawn(self._send(exchange, body), name="forward")
        try:
            verdict = await self._judge(exchange, parallel)
            if verdict.action is Action.BLOCK:
                self._abandon(sending)
                return self._refuse(exchange, blocked(exchange, verdict))
            answer = await sending
        except asyncio.CancelledError:
            self._abandon(sending)
            raise
        return await self.relay.guarded(exchange, answer)

    async def _shadow(self, exchange: Exchange) -> web.StreamResponse:
        sending = self.services.tasks.spawn(self._send(exchange, exchange.raw), name="forward")
        try:
            await asyncio.sleep(0)  # let the request leave before any inspecting
            await self._inspect(exchange, Timing.BEFORE)
            await self._judge(exchange, self._begin(exchange, Timing.PARALLEL))
            answer = await sending
        except asyncio.CancelledError:
            self._abandon(sending)
            raise
        return await self.relay.shadowed(exchange, answer)

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
        credential = headers.get("x-api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
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
        if answer.endpoints and caller.endpoint not in answer.endpoints:
            raise FaultError(
                Fault(FaultSource.CLIENT, "endpoint_not_allowed", "this key may not use this endpoint"),
                403,
                "permission_error",
            )
        if exchange.codec is None and answer.policy.refuse_unknown_endpoints and answer.mode is Mode.ENFORCE:
            raise client_fault(
                "unknown_endpoint",
                f"policy `{answer.policy.name}` refuses endpoints it cannot inspect",
                status=403,
            )

    async def _read(self, exchange: Exchange) -> None:
        """Stage 3: the body, decoded into segments. In shadow what cannot be decoded passes and is recorded."""
        since = time.perf_counter()
        request, limits = exchange.request, exchange.policy.limits
        enforce = exchange.mode is Mode.ENFORCE
        exchange.raw = await _read_body(request, limits.request_bytes)
        if exchange.codec is None or not exchange.raw:
            exchange.clock("decode", since)
            return
        try:
            encoding = request.headers.get("Content-Encoding", "")
            plain = decode_body(exchange.raw, encoding, limits.request_bytes)
            content_type = request.headers.get("Content-Type", "")
            if content_type.startswith("multipart/"):
                decode = getattr(exchange.codec, "decode_multipart", None)
                if decode is None:
                    raise WireError("multipart", "this endpoint takes JSON, not multipart form data")
                exchange.segments = decode(content_type, plain)
            else:
                exchange.body = parse_body(plain)
                exchange.segments = exchange.codec.decode_request(exchange.body)
                exchange.model = exchange.codec.model(exchange.body)
                exchange.streamed = exchange.codec.wants_stream(exchange.body)
            if len(exchange.segments) > limits.segments:
                raise WireError("too_many_texts", f"the body holds more than {limits.segments} texts")
            if encoding and plain is not exchange.raw:
                exchange.encoding, exchange.raw = (encoding, plain) if enforce else ("", exchange.raw)
        except WireError as error:
            if enforce and exchange.policy.on_fault is OnFault.CLOSED:
                raise client_fault(error.kind, str(error), 413 if error.kind == "body_too_large" else 400) from error
            exchange.faults.append(Fault(FaultSource.CLIENT, error.kind, str(error)))
            exchange.segments = []
        exchange.clock("decode", since)

    async def _limit(self, exchange: Exchange) -> None:
        """Stage 4."""
        identity = exchange.who
        if identity.models and exchange.model and exchange.model not in identity.models:
            raise FaultError(
                Fault(FaultSource.CLIENT, "model_not_allowed", "this key may not use this model"),
                403,
                "permission_error",
            )
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

    def _begin(self, exchange: Exchange, timing: Timing):  # type: ignore[no-untyped-def]
        return self.services.inspecting.begin(
            exchange.policy, Direction.INPUT, timing, exchange.segments, exchange.who.subject.tenant
        )

    async def _inspect(self, exchange: Exchange, timing: Timing) -> Verdict:
        return await self._judge(exchange, self._begin(exchange, timing))

    async def _judge(self, exchange: Exchange, inspection) -> Verdict:  # type: ignore[no-untyped-def]
        since = time.perf_counter()
        verdict: Verdict = await self.services.inspecting.verdict(inspection, exchange.mode)
        exchange.input.append(verdict)
        exchange.clock("inspect", since)
        return verdict

    def _act(self, exchange: Exchange, verdict: Verdict) -> bytes:
        """Stage 6: the body to send, masked where the verdict says so."""
        if verdict.action is not Action.MASK:
            return exchange.raw
        since = time.perf_counter()
        edits = mask_request(exchange, verdict, self.services.mask_key)
        if edits and exchange.body is None:
            raise client_fault("cannot_mask", "this upload holds what must be masked and cannot be edited in place")
        body = encode_edits(exchange.raw, exchange.body, edits)
        exchange.clock("act", since)
        return body

    async def _send_unread(self, exchange: Exchange) -> aiohttp.ClientResponse:
        """Stage 7 with the firewall off: small bodies in one piece, large ones as they come."""
        request = exchange.request
        length = request.content_length
        if length is not None and length <= 1_048_576:
            exchange.raw = await request.content.read() if length else b""
            return await self._send(exchange, exchange.raw)
        return await self._send(exchange, request.content if request.can_read_body else b"")

    async def _send(self, exchange: Exchange, body: bytes | aiohttp.StreamReader) -> aiohttp.ClientResponse:
        """Stage 7: the request to the provider. Raises FaultError."""
        request, target = exchange.request, exchange.target
        assert target is not None
        headers = forwarded_headers(request.headers)
        if exchange.encoding:
            headers.pop("Content-Encoding", None)
        if exchange.trace is not None:
            headers["traceparent"] = exchange.trace.header()
        key = exchange.who.upstream_key
        if key is not None:
            by_header = "x-api-key" in headers or target.name == "anthropic"
            # the virtual key never leaves; a provider that has no key here gets none
            headers.pop("x-api-key", None)
            headers.pop("Authorization", None)
            if key.reveal():
                if by_header:
                    headers["x-api-key"] = key.reveal()
                else:
                    headers["Authorization"] = f"Bearer {key.reveal()}"
        if isinstance(body, aiohttp.StreamReader) and request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        exchange.forwarded = time.perf_counter()
        try:
            answer = await self.services.session.request(
                request.method,
                forward_url(target, request.rel_url.raw_query_string),
                headers=headers,
                data=body if body != b"" else None,
                allow_redirects=False,
            )
        except aiohttp.ServerTimeoutError as error:
            raise upstream_fault("upstream_timeout", f"upstream `{target.name}` did not answer in time", 504) from error
        except aiohttp.ClientConnectorError as error:
            raise upstream_fault("upstream_unreachable", f"upstream `{target.name}` cannot be reached") from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_fault("upstream_failed", f"upstream `{target.name}` broke off before answering") from error
        exchange.upstream_s += time.perf_counter() - exchange.forwarded
        return answer

    def _abandon(self, sending: asyncio.Task[aiohttp.ClientResponse]) -> None:
        """Closes the way to the provider, whether it has answered yet or not."""

        def close(task: asyncio.Task[aiohttp.ClientResponse]) -> None:
            if not task.cancelled() and task.exception() is None:
                task.result().close()

        sending.add_done_callback(close)
        sending.cancel()

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> web.Response:
        exchange.status = refusal.status
        if exchange.raw and exchange.request.content_length is None:
            pass
        return error_response(exchange, refusal)

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


async def _read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The whole body. Raises FaultError where it is too large, too slow or cut short."""
    length = request.content_length
    if length is not None and length > limit_bytes:
        raise client_fault("body_too_large", f"the body is {length} bytes; this policy allows {limit_bytes}", 413)
    if not request.can_read_body:
        return b""
    content = request.content
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                piece = await content.readany()
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
                if size > limit_bytes:
                    raise client_fault("body_too_large", f"the body is over the {limit_bytes} bytes allowed", 413)
    except TimeoutError as error:
        raise client_fault("body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S:g} s", 408) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
