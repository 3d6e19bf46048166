"""`/egress/{tool}`: one HTTP call of an agent, judged both ways. Knows the order; holds no address tricks."""

import asyncio
import time
from collections.abc import Callable, Sequence

from aiohttp import web

from sigmaguard.actions.call import ToolCall
from sigmaguard.decide import decide, masked_findings
from sigmaguard.errors import WireError
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import (
    Action,
    Direction,
    Fault,
    FaultSource,
    Finding,
    Mode,
    OnFault,
    Origin,
    Segment,
    Timing,
    Verdict,
)
from sigmaguard.wire.codec import Edit, Refusal
from sigmaguard.wire.errors import error_body
from sigmaguard_proxy.egress.address import Address, requested
from sigmaguard_proxy.egress.calling import Caller, Reply
from sigmaguard_proxy.egress.protocol import EgressProtocol
from sigmaguard_proxy.egress.settings import EgressSettings, EgressTool, Rules
from sigmaguard_proxy.egress.texts import Body, address_segments, edited_address
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import client_fault, upstream_fault
from sigmaguard_proxy.refusing import blocked
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.door import BlockedError, identify, limit, read_body, through
from sigmaguard_proxy.tooling.tooling import Tooling, may_call, spread_masks
from sigmaguard_proxy.upstreams import Target

SERVER = "egress"


class Egress:
    """Every declared HTTP tool."""

    def __init__(
        self, services: Services, settings: EgressSettings, tooling: Tooling, record: Callable[[Exchange], None]
    ) -> None:
        self._services = services
        self._tooling = tooling
        self._record = record
        self.tools: dict[str, tuple[EgressTool, Rules, Caller]] = {}
        for name, tool in settings.tools.items():
            rules = Rules(tool, f"egress.tools.{name}")
            self.tools[name] = (tool, rules, Caller(name, tool, rules))

    async def close(self) -> None:
        """Closes every connection."""
        for _, _, caller in self.tools.values():
            await caller.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One call."""
        name, slash, below = request.rel_url.raw_path.removeprefix("/egress/").partition("/")
        exchange = Exchange(request)
        exchange.codec = EgressProtocol(name)
        exchange.target = Target(name, "", request.path)
        exchange.method, exchange.tool = request.method, f"{SERVER}/{name}"

        async def stages() -> web.StreamResponse:
            return await self._stages(exchange, name, slash + below)

        return await through(
            self._services, self._record, exchange, stages, lambda refusal: _refused(exchange, refusal)
        )

    async def _stages(self, exchange: Exchange, name: str, below: str) -> web.StreamResponse:
        request = exchange.request
        identify(self._services, exchange)
        known = self.tools.get(name)
        if known is None:
            there = ", ".join(self.tools) or "none; declare one under `egress.tools` in sigmaguard.yaml"
            raise client_fault("unknown_tool", f"there is no HTTP tool `{name[:64]}`; there are: {there}", 404)
        tool, rules, caller = known
        if not may_call(exchange.who, ToolCall(name, None, SERVER)):
            fault = client_fault("tool_not_allowed", "this key may not use this tool", 403)
            fault.kind = "permission_error"
            raise fault
        await limit(self._services, exchange)
        # who may be reached is no matter of inspection: it holds in every mode
        address = requested(tool, rules, request.method, below, request.rel_url)
        exchange.raw = await read_body(request, tool.request_bytes)
        if exchange.mode is Mode.OFF:
            return self._answer(exchange, await self._call(exchange, caller, address, exchange.raw))
        call = _Call(self._services, self._tooling, exchange, name, tool)
        if exchange.mode is Mode.SHADOW:
            return await self._shadow(exchange, call, caller, address)
        address, body = await call.outward(address)
        reply = await self._call(exchange, caller, address, body)
        return self._answer(exchange, await call.inward(reply))

    async def _shadow(self, exchange: Exchange, call: "_Call", caller: Caller, address: Address) -> web.StreamResponse:
        sending = self._services.tasks.spawn(self._call(exchange, caller, address, exchange.raw), name="egress")
        try:
            await call.outward(address)
            reply: Reply = await sending
        except asyncio.CancelledError:
            sending.cancel()
            raise
        await call.inward(reply)
        return self._answer(exchange, reply)

    async def _call(self, exchange: Exchange, caller: Caller, address: Address, body: bytes) -> Reply:
        since = exchange.forwarded = time.perf_counter()
        try:
            return await caller.call(exchange.request.method, address, exchange.request.headers, body)
        finally:
            exchange.upstream_s += time.perf_counter() - since

    def _answer(self, exchange: Exchange, reply: Reply) -> web.StreamResponse:
        exchange.status, exchange.response_bytes = reply.status, len(reply.body)
        self._record(exchange)
        headers = {**reply.headers, **exchange.headers()}
        return web.Response(status=reply.status, body=reply.body, headers=headers)


class _Call:
    """One call being judged. In shadow nothing is edited and nothing is raised."""

    def __init__(self, services: Services, tooling: Tooling, exchange: Exchange, name: str, tool: EgressTool) -> None:
        self._services = services
        self._tooling = tooling
        self._exchange = exchange
        self._name = name
        self._tool = tool
        self._enforces = exchange.mode is Mode.ENFORCE

    async def outward(self, address: Address) -> tuple[Address, bytes]:
        """The address and body as they may leave. Raises FaultError where they may not."""
        exchange = self._exchange
        body = self._body(exchange.raw, exchange.request.headers.get("Content-Type", ""), Origin.TOOL_CALL)
        if body.is_opaque and not self._tool.binary and self._enforces:
            raise client_fault(
                "body_not_text",
                f"this body cannot be inspected; `egress.tools.{self._name}.binary` lets such bodies pass",
                415,
            )
        segments = [*address_segments(address), *body.segments()]
        findings, seen = await self._look(segments, Direction.OUTPUT)
        findings = await self._rules(address, body, findings)
        findings = spread_masks(exchange.policy, findings, segments)
        verdict = exchange.output = self._decided(findings, seen, Direction.OUTPUT)
        edits = self._edits(verdict, segments, Direction.OUTPUT)
        return edited_address(address, edits), body.edited(edits)

    async def inward(self, reply: Reply) -> Reply:
        """The answer as the agent may see it. Raises FaultError where it may not."""
        exchange = self._exchange
        body = self._body(reply.body, reply.content_type, Origin.TOOL_RESULT)
        segments = body.segments()
        if not self._tool.trusted and segments:
            self._tooling.mark_tainted(exchange)
        findings, seen = await self._look(segments, Direction.INPUT)
        verdict = self._decided(findings, seen, Direction.INPUT)
        exchange.input.append(verdict)
        edits = self._edits(verdict, segments, Direction.INPUT)
        if not edits:
            return reply
        headers = reply.headers.copy()
        headers.popall("ETag", None)  # it names other bytes than these
        return Reply(reply.status, headers, reply.content_type, body.edited(edits))

    def _body(self, raw: bytes, content_type: str, origin: Origin) -> Body:
        """A body parsed; one that is not what it says fails as the policy wants it."""
        try:
            return Body(raw, content_type, origin)
        except WireError as error:
            exchange = self._exchange
            if self._enforces and exchange.policy.on_fault is OnFault.CLOSED:
                if origin is Origin.TOOL_CALL:
                    raise client_fault(error.kind, str(error)) from error
                raise upstream_fault(f"upstream_{error.kind}", f"the answer: {error}") from error
            exchange.faults.append(Fault(FaultSource.CLIENT, error.kind, str(error)))
            return Body(raw, "text/plain", origin)

    async def _rules(self, address: Address, body: Body, found: Sequence[Finding]) -> list[Finding]:
        args: dict[str, object] = {
            "method": self._exchange.request.method,
            "host": address.host,
            "path": address.path,
            "query": {key: value for key, value in address.query if key not in self._tool.query},
            "body": body.value,
        }
        call = ToolCall(self._name, args, SERVER, "/")
        tainted = self._tooling.is_tainted(self._exchange, call)
        judged = self._tooling.judge(self._exchange, call, tainted=tainted)
        return await self._tooling.approved(self._exchange, call, [*found, *judged])

    async def _look(self, segments: Sequence[Segment], direction: Direction) -> tuple[list[Finding], list[Verdict]]:
        since = time.perf_counter()
        inspecting, exchange = self._services.inspecting, self._exchange
        timings = tuple(Timing) if direction is Direction.INPUT else (Timing.BEFORE,)
        tenant = exchange.who.subject.tenant
        verdicts = await asyncio.gather(
            *(
                inspecting.inspected(exchange.policy, direction, one, segments, tenant, mode=exchange.mode)
                for one in timings
            )
        )
        exchange.clock("inspect", since)
        return [one for verdict in verdicts for one in verdict.findings], list(verdicts)

    def _decided(self, findings: Sequence[Finding], seen: Sequence[Verdict], direction: Direction) -> Verdict:
        """The verdict on everything found. Raises FaultError where it blocks."""
        exchange = self._exchange
        verdict = decide(
            exchange.policy,
            exchange.mode,
            direction,
            findings,
            faults=[fault for one in seen for fault in one.faults],
            outcomes={name: outcome for one in seen for name, outcome in one.outcomes},
            score=max((one.score for one in seen), default=0.0),
        )
        if verdict.action is Action.BLOCK:
            if direction is Direction.INPUT:
                exchange.input.append(verdict)
            else:
                exchange.output = verdict
            raise BlockedError(blocked(exchange, verdict))
        return verdict

    def _edits(self, verdict: Verdict, segments: Sequence[Segment], direction: Direction) -> list[Edit]:
        if verdict.action is not Action.MASK:
            return []
        policy = self._exchange.policy
        by_path: dict[str, list[Finding]] = {}
        for one in masked_findings(policy, direction, verdict.findings):
            by_path.setdefault(one.path, []).append(one)
        key, vault = self._services.mask_key, Vault(())
        # nobody restores what an API's answer was masked with, so nothing in it is reversible
        return [
            edit
            for segment in segments
            if segment.path in by_path
            for edit in mask_segment(segment, by_path[segment.path], policy.masks, vault, key, Direction.OUTPUT)
        ]


def _refused(exchange: Exchange, refusal: Refusal) -> web.StreamResponse:
    exchange.status = refusal.status
    headers = {**exchange.headers(), "Content-Type": "application/json"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_s)))
    return web.Response(status=refusal.status, body=error_body(refusal), headers=headers)
