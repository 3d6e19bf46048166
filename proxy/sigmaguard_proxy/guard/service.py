"""The stages of a question: identity, limits, body, verdict, masks, record, answer. Knows no dialect."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Direction, Fault, FaultSource, Mode, OnFault, Outcome, Segment, Timing, Verdict
from sigmaguard.restore import Issued, restore_text
from sigmaguard.wire.body import apply_edits, parse_body
from sigmaguard.wire.codec import Edit, Refusal
from sigmaguard_proxy.accepting import go_on, whole_body
from sigmaguard_proxy.acting import mask_answer, mask_request
from sigmaguard_proxy.encoding import decode_body, encoding_of
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault
from sigmaguard_proxy.guard.envoy import EnvoyAdapter
from sigmaguard_proxy.guard.lakera import LakeraAdapter
from sigmaguard_proxy.guard.litellm import LiteLlmAdapter
from sigmaguard_proxy.guard.native import NativeAdapter
from sigmaguard_proxy.guard.question import Adapter, Judged, Question
from sigmaguard_proxy.guard.restoring import Kept, Sealer
from sigmaguard_proxy.refusing import blocked, error_response
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.door import identify, limit, through
from sigmaguard_proxy.upstreams import Target

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class GuardService:
    """Serves every dialect in one worker. `mounts` maps a whole path, or a path's first part, to its handler."""

    def __init__(self, services: Services, record: Callable[[Exchange], None]) -> None:
        self._services = services
        self._record = record
        self._kept = Kept()
        sealer = Sealer(services.mask_key)
        adapters: tuple[Adapter, ...] = (NativeAdapter(sealer), LakeraAdapter(), LiteLlmAdapter(self._kept))
        self._envoy = EnvoyAdapter(services.registry)
        self.mounts: Mapping[str, Handler] = {
            **{one.protocol.endpoint: self._handler(one) for one in adapters},
            "envoy": self._handler(self._envoy),
        }

    def _handler(self, adapter: Adapter) -> Handler:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            exchange = Exchange(request)
            exchange.codec = adapter.protocol
            exchange.target = Target("guard", "", request.path)
            if self._services.tracer is not None:
                exchange.trace = self._services.tracer.begin(request.headers)

            async def stages() -> web.StreamResponse:
                return await self._stages(exchange, adapter)

            def refuse(refusal: Refusal) -> web.StreamResponse:
                exchange.status = refusal.status
                return error_response(exchange, refusal)

            return await through(self._services, self._record, exchange, stages, refuse)

        return handle

    async def _stages(self, exchange: Exchange, adapter: Adapter) -> web.StreamResponse:
        self._identify(exchange, adapter)
        await go_on(exchange.request)
        await self._read(exchange, adapter)
        await limit(self._services, exchange)
        judged = await self._judge(exchange, self._ask(exchange, adapter))
        answer = adapter.answer(judged)
        exchange.status = answer.status
        exchange.response_bytes = len(answer.body) if isinstance(answer.body, bytes) else 0
        self._record(exchange)
        return answer

    def _identify(self, exchange: Exchange, adapter: Adapter) -> None:
        if adapter is self._envoy:
            self._envoy.place(exchange)
        elif exchange.request.method != "POST":
            raise client_fault("method_not_allowed", "use POST", 405)
        identify(self._services, exchange)

    async def _read(self, exchange: Exchange, adapter: Adapter) -> None:
        limit_bytes = exchange.policy.limits.request_bytes
        if adapter is self._envoy:
            await self._read_shown(exchange, limit_bytes)
            return
        exchange.raw = await whole_body(exchange.request, limit_bytes)
        try:
            encoding = encoding_of(exchange.request.headers)
            exchange.plain = decode_body(exchange.raw, encoding, limit_bytes)
            exchange.body = parse_body(exchange.plain) if exchange.plain.strip() else None
        except WireError as error:
            self._not_understood(exchange, adapter, error)

    async def _read_shown(self, exchange: Exchange, limit_bytes: int) -> None:
        """The body of a request that Envoy shows; its adapter decodes it, and only where the firewall is on."""
        try:
            exchange.raw = await whole_body(exchange.request, limit_bytes)
        except FaultError as error:
            if exchange.mode is Mode.ENFORCE:
                raise
            exchange.faults.append(error.fault)

    def _ask(self, exchange: Exchange, adapter: Adapter) -> Question:
        if adapter is self._envoy and (exchange.mode is Mode.OFF or exchange.faults):
            return Question()  # traffic that is not meant for us is not parsed while the firewall is off
        try:
            question = adapter.ask(exchange)
        except WireError as error:
            self._not_understood(exchange, adapter, error)
            return Question()
        if len(question.input) + len(question.output) > exchange.policy.limits.segments:
            too_many = WireError("too_many_texts", f"there are more than {exchange.policy.limits.segments} texts")
            self._not_understood(exchange, adapter, too_many)
        return question

    def _not_understood(self, exchange: Exchange, adapter: Adapter, error: WireError) -> None:
        """A body that is nobody's dialect is the caller's mistake; Envoy's caller may be let through by policy."""
        enforced = exchange.mode is Mode.ENFORCE and exchange.policy.on_fault is OnFault.CLOSED
        if adapter is not self._envoy or enforced:
            raise client_fault(error.kind, str(error), 413 if error.kind == "body_too_large" else 400) from error
        exchange.faults.append(Fault(FaultSource.CLIENT, error.kind, str(error)))

    async def _judge(self, exchange: Exchange, question: Question) -> Judged:
        judged = Judged(exchange, question)
        exchange.segments = question.input
        if exchange.mode is Mode.OFF:
            outcomes = tuple((name, Outcome.NOT_RUN) for name in exchange.policy.detectors)
            exchange.input.append(Verdict(Action.ALLOW, Action.ALLOW, Mode.OFF, outcomes=outcomes))
            return judged
        if question.input:
            exchange.input.append(await self._input(exchange, question.input))
        if question.output:
            exchange.output = await self._one(exchange, Direction.OUTPUT, Timing.BEFORE, question.output)
        deciding = judged.deciding()
        if judged.action is Action.BLOCK and deciding is not None:
            judged.refusal = blocked(exchange, deciding)
            return judged
        self._mask(judged)
        return judged

    async def _input(self, exchange: Exchange, segments: list[Segment]) -> Verdict:
        """What the proxy asks before and beside forwarding is asked at once: the caller waits for all of it."""
        before, parallel = await asyncio.gather(
            *(self._one(exchange, Direction.INPUT, timing, segments) for timing in (Timing.BEFORE, Timing.PARALLEL))
        )
        order = list(Action)
        first, second = sorted((before, parallel), key=lambda one: order.index(one.intended), reverse=True)
        return msgspec.structs.replace(
            first,
            score=max(first.score, second.score),
            findings=(*before.findings, *parallel.findings),
            faults=(*before.faults, *parallel.faults),
            outcomes=(*before.outcomes, *parallel.outcomes),
        )

    async def _one(self, exchange: Exchange, direction: Direction, timing: Timing, segments: list[Segment]) -> Verdict:
        inspecting = self._services.inspecting
        tenant = exchange.who.subject.tenant
        inspection = await inspecting.begun(exchange.policy, direction, timing, segments, tenant)
        since = asyncio.get_running_loop().time()
        verdict = await inspecting.verdict(inspection, exchange.mode)
        elapsed_ms = (asyncio.get_running_loop().time() - since) * 1000.0
        stage = "inspect" if direction is Direction.INPUT else "relay"
        exchange.timings[stage] = max(exchange.timings.get(stage, 0.0), elapsed_ms)
        return verdict

    def _mask(self, judged: Judged) -> None:
        exchange, question = judged.exchange, judged.question
        for verdict in exchange.input:
            if verdict.action is Action.MASK:
                judged.edits += mask_request(exchange, verdict, self._services.mask_key)
        if exchange.vault:
            judged.issued = exchange.vault.issued()
            if question.call:
                self._kept.keep(exchange.who.subject, question.call, judged.issued)
        output = exchange.output
        edits: list[Edit] = []
        if output is not None and output.action is Action.MASK:
            edits = mask_answer(exchange.policy, output, question.output, self._services.mask_key)
        if question.issued and question.output and exchange.mode is Mode.ENFORCE:
            edits = _restored(question.output, edits, question.issued)
        judged.edits += edits


def _restored(segments: list[Segment], edits: list[Edit], issued: Issued) -> list[Edit]:
    """The edits with placeholders put back as well: one whole-string edit a changed text."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    result: list[Edit] = []
    for segment in segments:
        own = by_path.get(segment.path, [])
        text = apply_edits(segment.text, own) if own else segment.text
        text = restore_text(text, issued, is_json=segment.is_json)
        if text != segment.text:
            result.append(Edit(segment.path, 0, len(segment.text), text))
    return result
