"""A streamed answer through the guard: server-sent events in, the same events out, edited where they must be.

Knows frames and channels; what may leave is the guard's decision.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec

from sigmaguard.decide import decide
from sigmaguard.errors import WireError
from sigmaguard.mask import Vault
from sigmaguard.model import Action, Direction, Fault, FaultSource, Finding, OnFault, Segment
from sigmaguard.policy.bound import bound
from sigmaguard.restore import Restorer, Span
from sigmaguard.stream import Closing, Stop, StreamGuard
from sigmaguard.wire.codec import Delta, Edit, Frame
from sigmaguard.wire.generic import GenericCodec
from sigmaguard.wire.lines import LineDecoder, is_lines_type
from sigmaguard.wire.sse import SseDecoder, SseEvent
from sigmaguard.wire.stream_shape import Run, Shape
from sigmaguard_proxy.acting import allowed_hosts, kept_findings, mask, with_kept
from sigmaguard_proxy.answering import Outgoing
from sigmaguard_proxy.encoding import Decoder
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, internal_fault, upstream_fault
from sigmaguard_proxy.inspecting import is_light
from sigmaguard_proxy.outbound import Answer
from sigmaguard_proxy.receiving import chunks
from sigmaguard_proxy.refusing import blocked
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.answers import answer_tools

SHAPES = 4  # told apart at a time: the choices of an answer may come in turn
LESSONS = 16  # frames a stream may teach without any that follows: each costs several times a plain decode
KEPT_BYTES = 4 * 1024 * 1024  # of a stream whose content is kept for the audit log


def is_line_stream(exchange: Exchange, answer: Answer) -> bool:
    """Whether an answer of an endpoint nobody knows is a stream of lines; one with a length is a file of them."""
    return (
        isinstance(exchange.codec, GenericCodec)
        and exchange.request.method == "POST"
        and answer.content_length is None
        and is_lines_type(answer.content_type)
    )


class GuardedStream:
    """One streamed answer on its way back."""

    def __init__(
        self,
        services: Services,
        exchange: Exchange,
        answer: Answer,
        record: Callable[[Exchange], None],
    ) -> None:
        assert exchange.codec is not None
        self._services = services
        self._exchange = exchange
        self._answer = answer
        self._record = record
        self._codec = exchange.codec
        self._sse: SseDecoder | LineDecoder = SseDecoder()
        self._frames = exchange.codec.stream()
        if isinstance(exchange.codec, GenericCodec) and is_line_stream(exchange, answer):
            self._sse, self._frames = LineDecoder(), exchange.codec.line_stream()
        self._encoding = answer.header(b"content-encoding")
        self._decoder: Decoder | None = None
        policy = bound(exchange.policy, exchange.segments)
        self._guard = StreamGuard(policy, self._mask, services.inspecting.digest_key)
        self._tools = answer_tools(services.tooling, exchange)
        self._shapes: list[Shape] = []
        self._lessons = LESSONS if self._tools is None else 0  # calls are judged frame by frame
        self._vault = exchange.vault if exchange.vault else None
        self._allows = allowed_hosts(exchange.policy) if self._vault else None
        self._restorers: dict[str, Restorer] = {}
        self._kept: list[Finding] = []  # placeholders that stay, inside URLs
        self._pieces: list[bytes] = []
        self._content: list[bytes] = []
        self._since = perf_counter()
        self._busy_s = 0.0

    def _mask(self, segment: Segment, findings: Sequence[Finding]) -> list[Edit]:
        policy, key = self._exchange.policy, self._services.mask_key
        return mask(segment, findings, policy, Vault(()), key, Direction.OUTPUT)

    # shadow

    async def observe(self, out: Outgoing) -> None:
        """Shadow: every byte as it came, at once; the guard looks at a copy."""
        is_watching = True
        async for chunk in chunks(self._exchange, self._answer):
            frames = self._seen(chunk) if is_watching else []
            if frames is None or any(frame.ends for frame in frames):
                # clients hang up after the last event, so it leaves once the record is kept
                is_watching = is_watching and await self._watch(frames)
                self._end()
                await out.write(chunk)
            else:
                await out.write(chunk)
                is_watching = is_watching and await self._watch(frames)
        if is_watching:
            await self._watch(self._seen(b"", last=True))
        self._end()

    def _seen(self, chunk: bytes, *, last: bool = False) -> list[Frame] | None:
        """The frames of a chunk; None where they cannot be read."""
        frames: list[Frame] = []
        try:
            self._push(chunk, last=last)
            while True:
                if (run := self._run()) is not None:
                    frames.append(Frame(run.raw, deltas=(run.delta(),)))
                elif (event := self._sse.next(last=last)) is not None:
                    frame = self._frame(event)
                    self._frames.keep(frame)
                    frames.append(frame)
                else:
                    break
        except WireError as error:
            self._exchange.faults.append(Fault(FaultSource.UPSTREAM, f"upstream_{error.kind}", str(error)))
            return None
        return frames

    async def _watch(self, frames: list[Frame] | None) -> bool:
        """Shows frames to the guard; whether to go on."""
        try:
            for frame in frames or ():
                if self._tools is not None:
                    await self._tools.streamed(frame)
                for delta in frame.deltas:
                    self._guard.feed(delta)
                for channel in frame.closes:
                    await self._settle(self._guard.close(channel))
                for segment in frame.wholes:
                    await self._settle(self._guard.arrived(segment))
        except Exception as error:  # the shadow's door: a fault of ours must not change what passes
            fault = internal_fault("internal_error", f"{type(error).__name__} while watching a stream")
            self._exchange.faults.append(fault.fault)
            return False
        return frames is not None and self._guard.stopped is None

    # enforce

    async def guard(self, out: Outgoing) -> None:
        """Enforce: frames leave as far as the guard lets their text go."""
        pieces = self._pieces
        try:
            async for chunk in chunks(self._exchange, self._answer):
                ends = await self._pass(out, chunk)
                if self._guard.stopped:
                    return await self._stop(out)
                if ends:
                    self._end()
                if pieces and not self._answer.is_exhausted:  # the last ones leave together with the end
                    await out.write(b"".join(pieces))
                    pieces.clear()
            await self._flush(out)
            if self._guard.stopped:
                return await self._stop(out)
            self._end()
            await out.write_eof(b"".join(pieces))
        except WireError as error:
            await self._break(out, upstream_fault(f"upstream_{error.kind}", f"the upstream's stream broke: {error}"))
        except FaultError as error:
            await self._break(out, error)

    async def _pass(self, out: Outgoing, chunk: bytes) -> bool:
        """Puts what of a chunk may leave into `_pieces`; whether the answer ends with it."""
        since = perf_counter()
        ends = False
        self._push(chunk)
        while not self._guard.stopped:
            if (run := self._run()) is not None:
                self._pieces.append(self._ran(run))
                continue
            event = self._sse.next()
            if event is None:
                break
            frame = self._frame(event)
            ends = ends or frame.ends
            if self._tools is not None and await self._stops(out, frame):
                break
            if frame.closes or frame.wholes:
                self._pieces.append(await self._ending(out, frame))
            elif frame.deltas:
                self._pieces.append(self._growing(frame))
            else:
                self._pieces.append(self._frames.keep(frame))
        self._busy_s += perf_counter() - since
        return ends

    def _run(self) -> Run | None:
        """The next events as one, where they are of a shape that is known."""
        for shape in self._shapes:
            run = self._sse.run(shape)
            if run is not None:
                self._lessons = min(LESSONS, self._lessons + 1)
                return run
        return None

    def _learn(self, frame: Frame, data: bytes) -> None:
        """Keeps the shape of a frame that only adds text; any other frame may have changed what shapes mean."""
        if len(frame.deltas) != 1 or frame.closes or frame.wholes:
            self._shapes.clear()
        elif self._lessons > 0:
            self._lessons -= 1
            shape = self._frames.shape(frame, data)
            if shape is not None:
                self._shapes = [shape, *self._shapes[: SHAPES - 1]]

    def _ran(self, run: Run) -> bytes:
        """Events that only add text to one channel, as far as it may leave."""
        delta = run.delta()
        text = self._fed(delta)
        if self._guard.stopped:
            self._frames.ran(run.number - len(run.texts))  # none of them leaves
            return self._remains((delta,), {}, text)
        self._frames.ran(run.number)
        return run.raw if text == delta.text else run.rewrite(text, self._guard.held(delta.channel))

    async def _stops(self, out: Outgoing, frame: Frame) -> bool:
        """Whether a tool call that is complete with this frame stops the answer."""
        assert self._tools is not None
        if self._pieces and self._tools.waits(frame):
            await out.write(b"".join(self._pieces))  # a person may have to be asked
            self._pieces.clear()
        rule = await self._tools.streamed(frame)
        if rule:
            self._guard.stopped = Stop(rule)
        return bool(rule)

    def _push(self, chunk: bytes, *, last: bool = False) -> None:
        exchange = self._exchange
        if exchange.who.keep_content and exchange.response_bytes <= KEPT_BYTES:
            self._content.append(chunk)
        if self._encoding:
            if self._decoder is None:
                self._decoder = Decoder(self._encoding, exchange.policy.limits.response_bytes)
            chunk = self._decoder.feed(chunk)
            if last:
                self._decoder.finish()
        self._sse.push(chunk)

    def _frame(self, event: SseEvent) -> Frame:
        """An event decoded. What cannot be read passes only where the policy fails open, and is noted."""
        exchange = self._exchange
        try:
            frame = self._frames.decode(event.raw, event.event, event.data)
        except WireError as error:
            if exchange.policy.on_fault is OnFault.CLOSED:
                raise
            fault = Fault(FaultSource.UPSTREAM, f"upstream_{error.kind}", str(error))
            if fault not in exchange.faults:
                exchange.faults.append(fault)
            self._shapes.clear()
            return Frame(event.raw)
        self._learn(frame, event.data)
        if frame.body is not None and not frame.deltas:
            usage = self._codec.usage(frame.body)
            if usage.input_tokens >= 0 or usage.output_tokens >= 0:
                exchange.usage = type(usage)(
                    max(usage.input_tokens, exchange.usage.input_tokens),
                    max(usage.output_tokens, exchange.usage.output_tokens),
                )
        return frame

    def _growing(self, frame: Frame) -> bytes:
        """A frame that only adds text: unchanged, or with as much of it as may leave now."""
        texts: dict[str, str] = {}
        changed = False
        for delta in frame.deltas:
            text = self._fed(delta)
            if self._guard.stopped:
                return self._remains(frame.deltas, texts, text)
            changed = changed or text != delta.text
            texts[delta.path] = text
        return self._frames.rewrite(frame, texts) if changed else self._frames.keep(frame)

    async def _ending(self, out: Outgoing, frame: Frame) -> bytes:
        """A frame that ends channels or brings complete texts: held text goes before it or into it."""
        texts: dict[str, str] = {}
        paths: dict[str, str] = {}
        changed = False
        for delta in frame.deltas:
            text = self._fed(delta)
            if self._guard.stopped:
                return self._remains(frame.deltas, texts, text)
            changed = changed or text != delta.text
            texts[delta.path] = text
            paths[delta.channel] = delta.path
        before: list[bytes] = []
        for channel in frame.closes:
            tail = await self._close(out, channel)
            if channel in paths and not self._guard.stopped:
                texts[paths[channel]] += tail
                changed = changed or bool(tail)
            elif tail:
                before.append(self._frames.fragment(channel, tail))
            if self._guard.stopped:
                return b"".join(before) + self._remains(frame.deltas, texts, "")
        for segment in frame.wholes:
            text = await self._settle(self._guard.arrived(segment), out)
            if self._guard.stopped:
                return b"".join(before)
            if self._vault:
                kept: list[Span] = []
                text = self._vault.restore(text, is_json=segment.is_json, allows=self._allows, kept=kept)
                self._kept += kept_findings(segment.path, kept)
            if text != segment.text:
                texts[segment.path] = text
                changed = True
        before.append(self._frames.rewrite(frame, texts) if changed else self._frames.keep(frame))
        return b"".join(before)

    def _remains(self, deltas: Sequence[Delta], texts: dict[str, str], last: str) -> bytes:
        """What of a frame in which the answer was stopped may still leave: text alone, no reason to finish."""
        pieces: list[bytes] = []
        for delta in deltas:
            text = texts.get(delta.path, last)
            if text:
                pieces.append(self._frames.fragment(delta.channel, text))
            if delta.path not in texts:
                break
        return b"".join(pieces)

    def _fed(self, delta: Delta) -> str:
        text = self._guard.feed(delta)
        if self._vault is None:
            return text
        restorer = self._restorers.get(delta.channel)
        if restorer is None:
            restorer = self._vault.restorer(is_json=delta.is_json, allows=self._allows)
            self._restorers[delta.channel] = restorer
        text = restorer.feed(text)
        if self._guard.stopped:
            text += restorer.finish()
        self._note(delta.channel, restorer)
        return text

    async def _close(self, out: Outgoing, channel: str) -> str:
        tail = await self._settle(self._guard.close(channel), out)
        restorer = self._restorers.pop(channel, None)
        if restorer is None:
            return tail
        tail = restorer.feed(tail) + restorer.finish()
        self._note(channel, restorer)
        return tail

    def _note(self, channel: str, restorer: Restorer) -> None:
        if restorer.kept:
            self._kept += kept_findings(channel, restorer.kept)
            restorer.kept.clear()

    async def _settle(self, closing: Closing | None, out: Outgoing | None = None) -> str:
        """Runs what the end of a channel asks for; the text it lets go."""
        if closing is None:
            return ""
        if closing.known is None and closing.work:
            if out is not None and self._pieces and not all(is_light(work) for work in closing.work):
                await out.write(b"".join(self._pieces))  # what may leave does not wait for the pool
                self._pieces.clear()
            await self._services.inspecting.run(closing, closing.work)
        return closing.release()

    async def _flush(self, out: Outgoing) -> None:
        """What was still held when the upstream ended without saying so."""
        self._push(b"", last=True)
        while (event := self._sse.next(last=True)) is not None:
            frame = self._frame(event)
            if self._tools is not None and await self._stops(out, frame):
                return
            self._pieces.append(await self._ending(out, frame))
        for channel in dict.fromkeys((*self._guard.open_channels(), *self._restorers)):
            tail = await self._close(out, channel)
            if tail:
                self._pieces.append(self._frames.fragment(channel, tail))

    # both

    def judge(self) -> None:
        """What is known of the answer so far, as the exchange's verdict on it."""
        exchange, guard = self._exchange, self._guard
        decided = decide(
            exchange.policy,
            exchange.mode,
            Direction.OUTPUT,
            [*guard.findings, *(self._tools.findings if self._tools else ())],
            faults=guard.faults,
            outcomes=guard.outcomes,
            score=guard.score,
        )
        exchange.output = with_kept(decided, self._kept)
        exchange.timings["relay"] = self._busy_s * 1000.0
        exchange.upstream_s += max(0.0, perf_counter() - self._since - self._busy_s)
        self._since, self._busy_s = perf_counter(), 0.0
        if self._content:
            exchange.content = b"".join(self._content)

    def _end(self) -> None:
        if not self._exchange.recorded:
            self.judge()
            self._record(self._exchange)

    async def _stop(self, out: Outgoing) -> None:
        """Cuts the answer with a proper final frame and leaves the upstream."""
        exchange, stopped = self._exchange, self._guard.stopped
        assert isinstance(stopped, Stop)
        self._answer.close()
        self.judge()
        verdict = exchange.output
        assert verdict is not None
        if verdict.action is not Action.BLOCK:  # a bound that was met closes, whatever the policy says of faults
            verdict = msgspec.structs.replace(verdict, action=Action.BLOCK, intended=Action.BLOCK, rule=stopped.rule)
            exchange.output = verdict
        final = self._frames.refuse(blocked(exchange, verdict))
        self._record_quietly()
        await out.write_eof(b"".join((*self._pieces, final)))

    async def _break(self, out: Outgoing, error: FaultError) -> None:
        """The stream cannot go on, or nothing more of it can be inspected: says so as the protocol does."""
        self._exchange.faults.append(error.fault)
        self._answer.close()
        self.judge()
        self._record_quietly()
        await out.write_eof(b"".join((*self._pieces, self._frames.refuse(error.refusal(self._exchange.id)))))

    def _record_quietly(self) -> None:
        """Records an answer that is being cut anyway."""
        try:
            self._record(self._exchange)
        except FaultError as error:
            self._exchange.faults.append(error.fault)
