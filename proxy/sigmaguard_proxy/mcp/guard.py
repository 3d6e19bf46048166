"""Inspects one MCP message either way and edits or refuses it. Knows methods and verdicts, no transport."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sigmaguard.actions.call import ToolCall
from sigmaguard.actions.compiled import HELD, SCHEMA, Names, finding
from sigmaguard.decide import decide, masked_findings
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Action, Direction, Fault, FaultSource, Finding, Mode, Outcome, Segment, Timing, Verdict
from sigmaguard.wire import pointer
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.mcp.definitions import Definitions
from sigmaguard_proxy.mcp.message import Kind, Message
from sigmaguard_proxy.mcp.pins import Held, PinBook, held_now
from sigmaguard_proxy.mcp.schemas import Schemas
from sigmaguard_proxy.mcp.sessions import Session
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.mcp.texts import GREETINGS, LISTS, shape_of, texts_to_client, texts_to_server
from sigmaguard_proxy.refusing import blocked
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.tooling.tooling import Tooling, may_call, spread_masks

WITHHELD = "[withheld by Sigmaguard]"  # in place of a server's instructions


@dataclass(slots=True)
class Ruling:
    """What happens to a message: refused, or passed on, edited in place where `edited`.

    `method` is the message's own or that of the request it answers.
    """

    refusal: Refusal | None = None
    edited: bool = False
    method: str = ""


@dataclass(slots=True)
class _Seen:
    """What inspecting found, before anything is decided."""

    findings: list[Finding] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    score: float = 0.0


class Guard:
    """The firewall in front of one server."""

    def __init__(
        self, name: str, settings: ServerSettings, services: Services, tooling: Tooling, book: PinBook, schemas: Schemas
    ) -> None:
        self.name = name
        self._services = services
        self._tooling = tooling
        self._book = book
        self._schemas = schemas
        self._definitions = Definitions(name, book)
        self._masks_results = settings.mask_results
        self._allowed = Names(settings.allow_tools)
        self._denied = Names(settings.deny_tools)

    # what the client sends

    async def from_client(self, exchange: Exchange, message: Message, session: Session) -> Ruling:
        """Judges a request, notification or answer on its way to the server."""
        asked = session.asked(message, by_client=False).method if message.is_answer else ""
        session.note(message, from_client=True)
        call = _call_of(self.name, message)
        if call is not None:
            refusal = self._not_allowed(exchange, call)
            if refusal is not None:
                return Ruling(refusal, method=message.method)
        edited = exchange.mode is Mode.ENFORCE and self._restore(message, session, asked)
        segments = texts_to_server(message.method, message.body, asked)
        seen = await self._look(exchange, segments, Direction.OUTPUT)
        if call is not None:
            call = _call_of(self.name, message) or call
            await self._judge_call(exchange, call, session, seen)
            seen.findings = spread_masks(exchange.policy, seen.findings, segments)
        verdict = self._decide(exchange, seen, Direction.OUTPUT)
        exchange.output = _stronger(exchange.output, verdict)
        if verdict.action is Action.BLOCK:
            return Ruling(blocked(exchange, verdict), method=message.method)
        if verdict.action is Action.MASK:
            edited |= self._mask(exchange, message, verdict, segments, Direction.OUTPUT, Vault(()))
        return Ruling(edited=edited)

    def _not_allowed(self, exchange: Exchange, call: ToolCall) -> Refusal | None:
        """Access is no matter of inspection: it holds in every mode."""
        allowed = not self._allowed or self._allowed.has(call)
        if allowed and not self._denied.has(call) and may_call(exchange.who, call):
            return None
        message = f"tool `{call.tool}` of `{self.name}` may not be called with this key"
        exchange.refuse(Fault(FaultSource.CLIENT, "tool_not_allowed", message), exchange.mode)
        return Refusal(403, "permission_error", "tool_not_allowed", message, exchange.id)

    async def _judge_call(self, exchange: Exchange, call: ToolCall, session: Session, seen: _Seen) -> None:
        """Adds what rules, taint, schema and pins say of a call, and asks a person where they may lift it."""
        if self._definitions.is_held(call.tool):
            seen.findings.append(finding(HELD, "/params/name"))
        if not self._schemas.fits(self.name, call.tool, call.args):
            seen.findings.append(finding(SCHEMA, call.path))
        tainted = self._tooling.is_tainted(exchange, call, _federation(session))
        seen.findings += self._tooling.judge(exchange, call, tainted=tainted)
        seen.findings = await self._tooling.approved(exchange, call, seen.findings)

    def _restore(self, message: Message, session: Session, asked: str) -> bool:
        """Placeholders that this session's results were masked with become values again: tools need them."""
        if not session.vault:
            return False
        edited = False
        for segment in texts_to_server(message.method, message.body, asked):
            text = session.vault.restore(segment.text)
            if text != segment.text:
                pointer.put(message.body, segment.path, text)
                edited = True
        return edited

    # what the server sends

    async def from_server(self, exchange: Exchange, message: Message, session: Session) -> Ruling:
        """Judges a request, notification or answer on its way to the client."""
        asked = session.asked(message, by_client=True) if message.is_answer else None
        session.note(message, from_client=False)
        method = asked.method if asked else ""
        if message.kind is Kind.RESULT and not method:
            method = shape_of(message.body["result"])
        segments = texts_to_client(message.method, message.body, method)
        seen = await self._look(exchange, segments, Direction.INPUT)
        if message.kind is Kind.RESULT and method in LISTS:
            return await self._list(exchange, message, LISTS[method], segments, seen, session)
        if message.is_answer and method not in GREETINGS:
            self._note_taint(exchange, method, asked.tool if asked else "", session)
        verdict = self._decide(exchange, seen, Direction.INPUT)
        if not self._masks_results and verdict.intended is Action.MASK:
            verdict = msgspec.structs.replace(verdict, action=Action.ALLOW, intended=Action.ALLOW)
        exchange.input.append(verdict)
        if verdict.action is Action.BLOCK:
            if method in GREETINGS and _withhold(message, verdict):
                return Ruling(edited=True, method=method)
            return Ruling(blocked(exchange, verdict), method=method or message.method)
        if verdict.action is Action.MASK:
            vault = session.masking_vault()
            edited = self._mask(exchange, message, verdict, segments, Direction.INPUT, vault)
            return Ruling(edited=edited, method=method)
        return Ruling(method=method)

    def _note_taint(self, exchange: Exchange, method: str, tool: str, session: Session) -> None:
        trusted = method == "tools/call" and exchange.policy.tools.trusted.has(ToolCall(tool, None, self.name))
        if not trusted and method in ("tools/call", "resources/read", "prompts/get"):
            self._tooling.mark_tainted(exchange, _federation(session))

    async def _list(
        self,
        exchange: Exchange,
        message: Message,
        key: str,
        segments: Sequence[Segment],
        seen: _Seen,
        session: Session,
    ) -> Ruling:
        """A list is judged item by item: what is wrong with one tool is no reason to hide the others."""
        result = message.body["result"]
        items: list[Any] = result[key] if isinstance(result, dict) and isinstance(result.get(key), list) else []
        by_item: dict[int, list[Finding]] = {}
        if key == "tools":
            seen.findings += await self._judge_definitions(exchange, items, seen)
        for one in seen.findings:
            by_item.setdefault(_item_of(one.path, key), []).append(one)
        verdict = self._decide(exchange, seen, Direction.INPUT)
        exchange.input.append(verdict)
        if exchange.mode is not Mode.ENFORCE:
            return Ruling()
        if verdict.rule.startswith("fault.") or self._blocks(exchange, by_item.get(-1, [])):
            return Ruling(blocked(exchange, verdict), method=message.method)
        dropped = {at for at, found in by_item.items() if at >= 0 and self._blocks(exchange, found)}
        kept = [one for one in seen.findings if _item_of(one.path, key) not in dropped]
        edited = bool(dropped)
        if masked_findings(exchange.policy, Direction.INPUT, kept):
            masked = Verdict(Action.MASK, Action.MASK, Mode.ENFORCE, findings=tuple(kept))
            edited |= self._mask(exchange, message, masked, segments, Direction.INPUT, session.masking_vault())
        if key == "tools":
            dropped |= {at for at, item in enumerate(items) if not self._shown(exchange, item)}
        if dropped:
            message.body["result"][key] = [item for at, item in enumerate(items) if at not in dropped]
        return Ruling(edited=edited or bool(dropped))

    async def _judge_definitions(self, exchange: Exchange, items: list[Any], seen: _Seen) -> list[Finding]:
        """Pins what is new and harmless, holds what is not; a definition a person approved has no findings."""
        await self._book.refresh()
        tools = exchange.policy.tools
        own = frozenset(str(item.get("name", "")) for item in items if isinstance(item, dict))
        neighbours = self._definitions.neighbours(own)
        findings: list[Finding] = []
        pinned: dict[str, str] = {}
        held: dict[str, Held] = {}
        for at, item in enumerate(items):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                continue
            path = f"/result/tools/{at}"
            digest, rules = self._definitions.judge(item, tools, neighbours)
            if self._definitions.is_approved(item):
                seen.findings[:] = [one for one in seen.findings if not _is_under(one.path, path)]
            texts = [one for one in seen.findings if _is_under(one.path, path)]
            findings += [finding(rule, path) for rule in rules]
            reasons = [one.rule for one in texts if self._blocks(exchange, [one])] + rules
            if reasons:
                held[item["name"]] = held_now(digest, reasons, str(item.get("description", "")))
            else:
                pinned[item["name"]] = digest
                self._schemas.learn(self.name, item, digest)
        await self._learn(pinned, held)
        return findings

    async def _learn(self, pinned: dict[str, str], held: dict[str, Held]) -> None:
        """Writes the book only where it would change."""
        known = {tool: self._book.get(self.name, tool) for tool in (*pinned, *held)}
        news = {tool: one for tool, one in pinned.items() if not known[tool].digest or known[tool].held}
        waiting: dict[str, Held] = {}
        for tool, one in held.items():
            before = known[tool].held
            if before is None or before.digest != one.digest:
                waiting[tool] = one
        if news or waiting:
            await self._book.learn(self.name, news, waiting)

    def _shown(self, exchange: Exchange, item: Any) -> bool:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            return True
        call = ToolCall(name, None, self.name)
        return (
            (not self._allowed or self._allowed.has(call))
            and not self._denied.has(call)
            and may_call(exchange.who, call)
        )

    # what both ways share

    async def _look(self, exchange: Exchange, segments: Sequence[Segment], direction: Direction) -> _Seen:
        since = time.perf_counter()
        if len(segments) > exchange.policy.limits.segments:
            fault = Fault(FaultSource.UPSTREAM, "too_many_texts", "the message holds more texts than the policy allows")
            return _Seen(faults=[fault])
        inspecting, tenant = self._services.inspecting, exchange.who.subject.tenant
        timings = tuple(Timing) if direction is Direction.INPUT else (Timing.BEFORE,)
        verdicts = await asyncio.gather(
            *(
                inspecting.inspected(exchange.policy, direction, one, segments, tenant, mode=exchange.mode)
                for one in timings
            )
        )
        exchange.clock("inspect", since)
        return _Seen(
            [one for verdict in verdicts for one in verdict.findings],
            [one for verdict in verdicts for one in verdict.faults],
            {name: outcome for verdict in verdicts for name, outcome in verdict.outcomes},
            max(verdict.score for verdict in verdicts),
        )

    def _decide(self, exchange: Exchange, seen: _Seen, direction: Direction) -> Verdict:
        return decide(
            exchange.policy,
            exchange.mode,
            direction,
            seen.findings,
            faults=seen.faults,
            outcomes=seen.outcomes,
            score=seen.score,
        )

    def _blocks(self, exchange: Exchange, findings: Sequence[Finding]) -> bool:
        policy = exchange.policy
        return any(policy.action(one.rule, one.detector, Direction.INPUT) is Action.BLOCK for one in findings)

    def _mask(
        self,
        exchange: Exchange,
        message: Message,
        verdict: Verdict,
        segments: Sequence[Segment],
        direction: Direction,
        vault: Vault,
    ) -> bool:
        """Masks in place; whether anything was changed."""
        policy = exchange.policy
        by_path: dict[str, list[Finding]] = {}
        for one in masked_findings(policy, direction, verdict.findings):
            by_path.setdefault(one.path, []).append(one)
        edited = False
        for segment in segments:
            found = by_path.get(segment.path)
            if not found:
                continue
            edits = mask_segment(segment, found, policy.masks, vault, self._services.mask_key, direction)
            if edits:
                pointer.put(message.body, segment.path, apply_edits(segment.text, edits))
                edited = True
        return edited


def _federation(session: Session) -> str:
    return session.id if session.spans_servers else ""


def _call_of(server: str, message: Message) -> ToolCall | None:
    if message.method != "tools/call":
        return None
    arguments = message.params.get("arguments")
    args = arguments if isinstance(arguments, dict) else {} if arguments is None else None
    return ToolCall(str(message.params.get("name", "")), args, server, "/params/arguments")


def _item_of(path: str, key: str) -> int:
    """The number of the item a pointer leads into, -1 where it leads elsewhere."""
    prefix = f"/result/{key}/"
    number = path[len(prefix) :].partition("/")[0] if path.startswith(prefix) else ""
    return int(number) if number.isdigit() else -1


def _is_under(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def _withhold(message: Message, verdict: Verdict) -> bool:
    """Takes a server's instructions out of its greeting; False where what is wrong stands elsewhere."""
    result = message.body.get("result")
    if verdict.rule.startswith("fault.") or not isinstance(result, dict) or "instructions" not in result:
        return False
    if any(not _is_under(one.path, "/result/instructions") for one in verdict.findings):
        return False
    result["instructions"] = WITHHELD
    return True


def _stronger(old: Verdict | None, new: Verdict) -> Verdict:
    """Both verdicts as one: a batch holds several messages, and its record one verdict a direction."""
    if old is None:
        return new
    order = [Action.ALLOW, Action.FLAG, Action.MASK, Action.BLOCK]
    best = max((old, new), key=lambda one: order.index(one.intended))
    return Verdict(
        best.action,
        best.intended,
        best.mode,
        best.rule,
        max(old.score, new.score),
        (*old.findings, *new.findings),
        (*old.faults, *new.faults),
        (*old.outcomes, *new.outcomes),
    )
