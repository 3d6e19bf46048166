"""A streamed answer through the guard: server-sent events in, the same events out, edited where they must be.

Knows frames and channels; what may leave is the guard's decision.
"""

import time
from collections.abc import Callable, Sequence

import aiohttp
from aiohttp import web

from sigmaguard.decide import decide
from sigmaguard.errors import WireError
from sigmaguard.mask import Restorer, Vault, mask_segment
from sigmaguard.model import Action, Direction, Fault, FaultSource, Finding, Mode, Segment
from sigmaguard.stream import Stop, StreamGuard
from sigmaguard.wire.codec import Edit, Frame, Refusal
from sigmaguard.wire.sse import SseDecoder
from sigmaguard_proxy.encoding import Decoder
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.refusing import blocked
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.upstreams import returned_headers


class GuardedStream:
    """One streamed answer on its way back."""

    def __init__(
        self,
        services: Services,
        exchange: Exchange,
        answer: aiohttp.ClientResponse,
        record: Callable[[Exchange], None],
    ) -> None:
        assert exchange.codec is not None
        self._services = services
        self._exchange = exchange
        self._answer = answer
        self._record = record
        self._codec = exchange.codec
        self._frames = exchange.codec.stream()
        encoding = answer.headers.get("Content-Encoding", "")
        self._decoder = Decoder(encoding, exchange.policy.limits.response_bytes) if encoding else None
        self._sse = SseDecoder()
        self._guard = StreamGuard(exchange.policy, self._mask, services.inspecting.digest_key)
        self._vault = exchange.vault if exchange.vault else None
        self._restorers: dict[str, Restorer] = {}
        self._is_json: dict[str, bool] = {}
        self._no_vault = Vault(())
        self._busy_s = 0.0

    def _mask(self, segment: Segment, findings: Sequence[Finding]) -> list[Edit]:
        return mask_segment(
            segment,
            findings,
            self._exchange.policy.masks,
            self._no_vault,
            self._services.mask_key,
            Direction.OUTPUT,
        )

    async def observe(self) -> web.StreamResponse:
        """Shadow: every byte as it came, at once; the guard looks at a copy."""
        out = self._open()
        await out.prepare(self._exchange.request)
        watching, held = True, b""
        async for chunk in self._chunks():
            if held:
                await out.write(held)
            held = b""
            if watching:
                watching, ends = self._watch(chunk)
                if ends:
                    held = chunk
                    continue
            await out.write(chunk)
        self._finish_watch(watching)
        self._record(self._exchange)
        if held:
            await out.write(held)
        await out.write_eof()
        return out

    def _watch(self, chunk: bytes) -> tuple[bool, bool]:
        """Feeds the guard; whether to go on watching, and whether this chunk ends the answer."""
        ends = False
        try:
            for frame in self._decode(chunk):
                for delta in frame.deltas:
                    self._guard.feed(delta)
                for channel in frame.closes:
                    self._guard.finish(channel)
                for segment in frame.wholes:
                    self._guard.whole(segment)
                ends = ends or frame.ends
        except WireError as error:
            self._exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))
            return False, True
        return self._guard.stopped is None, ends

    def _finish_watch(self, watching: bool) -> None:
        if watching:
            self._guard.finish_all()
        self._judge()

    async def guard(self) -> web.StreamResponse:
        """Enforce: frames leave as far as the guard lets their text go."""
        out = self._open()
        out.headers.popall("Content-Encoding", None)
        await out.prepare(self._exchange.request)
        try:
            async for chunk in self._chunks():
                pieces, ends = self._pass(chunk)
                if self._guard.stopped:
                    return await self._stop(out, pieces)
                if ends:
                    self._end()
                if pieces:
                    await out.write(pieces)
            tail = self._flush()
        except WireError as error:
            return await self._break(out, error)
        if self._guard.stopped:
            return await self._stop(out, tail)
        self._end()
        if tail:
            await out.write(tail)
        await out.write_eof()
        return out

    def _pass(self, chunk: bytes) -> tuple[bytes, bool]:
        """What of a chunk may leave now, and whether the answer ends with it."""
        since = time.perf_counter()
        pieces: list[bytes] = []
        ends = False
        for frame in self._decode(chunk):
            ends = ends or frame.ends
            pieces.append(self._one(frame))
            if self._guard.stopped:
                break
        self._busy_s += time.perf_counter() - since
        return b"".join(pieces), ends

    def _decode(self, chunk: bytes) -> list[Frame]:
        data = self._decoder.feed(chunk) if self._decoder else chunk
        frames = [self._frames.decode(event.raw, event.event, event.data) for event in self._sse.feed(data)]
        for frame in frames:
            if frame.body is not None and not frame.deltas:
                usage = self._codec.usage(frame.body)
                if usage.input_tokens >= 0 or usage.output_tokens >= 0:
                    self._exchange.usage = type(usage)(
                        max(usage.input_tokens, self._exchange.usage.input_tokens),
                        max(usage.output_tokens, self._exchange.usage.output_tokens),
                    )
        return frames

    def _one(self, frame: Frame) -> bytes:
        """One frame as it may leave: unchanged, rewritten, or with held text sent before it."""
        if not frame.deltas and not frame.closes and not frame.wholes:
            return frame.raw
        texts: dict[str, str] = {}
        last: dict[str, str] = {}
        changed = False
        for delta in frame.deltas:
            text = self._restore(delta.channel, self._guard.feed(delta), is_json=delta.is_json)
            changed = changed or text != delta.text
            texts[delta.path] = text
            last[delta.channel] = delta.path
        before: list[bytes] = []
        for channel in frame.closes:
            tail = self._close(channel)
            if not tail:
                continue
            if channel in last:
                texts[last[channel]] += tail
                changed = True
            else:
                before.append(self._frames.fragment(channel, tail))
        for segment in frame.wholes:
            text = self._guard.whole(segment)
            if self._vault:
                text = self._vault.restore(text, is_json=segment.is_json)
            if text != segment.text:
                texts[segment.path] = text
                changed = True
        if self._guard.stopped and not any(texts.values()):
            return b"".join(before)
        if changed:
            before.append(self._frames.rewrite(frame, texts))
        else:
            before.append(frame.raw)
        return b"".join(before)

    def _restore(self, channel: str, text: str, *, is_json: bool) -> str:
        if self._vault is None:
            return text
        restorer = self._restorers.get(channel)
        if restorer is None:
            restorer = self._restorers[channel] = self._vault.restorer(is_json=is_json)
            self._is_json[channel] = is_json
        return restorer.feed(text)

    def _close(self, channel: str) -> str:
        tail = self._guard.finish(channel)
        if self._vault is None:
            return tail
        restorer = self._restorers.pop(channel, None)
        if restorer is None:
            return tail
        return restorer.feed(tail) + restorer.finish()

    def _flush(self) -> bytes:
        """What was still held when the upstream ended without saying so."""
        pieces = [self._one(self._frames.decode(event.raw, event.event, event.data)) for event in self._sse.finish()]
        for channel in {*self._guard.open_channels(), *self._restorers}:
            tail = self._close(channel)
            if tail:
                pieces.append(self._frames.fragment(channel, tail))
        return b"".join(pieces)

    def _judge(self) -> None:
        exchange, guard = self._exchange, self._guard
        verdict = decide(
            exchange.policy,
            exchange.mode,
            Direction.OUTPUT,
            guard.findings,
            faults=guard.faults,
            outcomes=guard.outcomes,
            score=guard.score,
        )
        exchange.output = verdict
        exchange.timings["relay"] = self._busy_s * 1000.0

    def _end(self) -> None:
        if not self._exchange.recorded:
            self._judge()
            self._record(self._exchange)

    async def _stop(self, out: web.StreamResponse, pieces: bytes) -> web.StreamResponse:
        """Cuts the answer with a proper final frame and leaves the upstream."""
        exchange = self._exchange
        self._answer.close()
        self._judge()
        verdict = exchange.output
        assert verdict is not None and isinstance(self._guard.stopped, Stop)
        if verdict.action is not Action.BLOCK:
            verdict = type(verdict)(Action.BLOCK, Action.BLOCK, Mode.ENFORCE, self._guard.stopped.rule)
        refusal = blocked(exchange, verdict)
        self._record(exchange)
        await out.write(pieces + self._frames.refuse(refusal))
        await out.write_eof()
        return out

    async def _break(self, out: web.StreamResponse, error: WireError) -> web.StreamResponse:
        """The upstream does not keep to its protocol, so nothing more of it can be inspected."""
        exchange = self._exchange
        exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))
        self._answer.close()
        self._judge()
        self._record(exchange)
        refusal = Refusal(502, "api_error", f"upstream_{error.kind}", str(error), exchange.id)
        await out.write(self._frames.refuse(refusal))
        await out.write_eof()
        return out

    def _open(self) -> web.StreamResponse:
        headers = returned_headers(self._answer.headers)
        headers.update(self._exchange.headers())
        return web.StreamResponse(status=self._answer.status, reason=self._answer.reason, headers=headers)

    async def _chunks(self):  # type: ignore[no-untyped-def]
        exchange = self._exchange
        try:
            async for chunk in self._answer.content.iter_any():
                if not exchange.first_byte:
                    exchange.first_byte = time.perf_counter()
                exchange.response_bytes += len(chunk)
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            kind = "upstream_timeout" if isinstance(error, TimeoutError) else "upstream_reset"
            raise WireError(
                kind.removeprefix("upstream_"), "the upstream broke off in the middle of its answer"
            ) from error
