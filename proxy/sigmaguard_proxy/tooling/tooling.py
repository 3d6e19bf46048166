"""Judges one call of a tool, wherever it is made: rules, taint, rates, approvals. Knows no protocol."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from fnmatch import fnmatchcase

from sigmaguard.actions.call import ToolCall, call_digest
from sigmaguard.actions.compiled import GRANTED, RATE, finding
from sigmaguard.actions.rates import CallRates
from sigmaguard.actions.taint import TaintMemory
from sigmaguard.decide import STRENGTH
from sigmaguard.model import Action, Direction, Finding, Mode, Segment, Subject
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.pointer import KEY
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.ports import Identity
from sigmaguard_proxy.tooling.approvals import Approvals, State, pending_call

GRANT_S = 300.0  # a call that was granted is made within this time, or asked about again
GRANTS = 10_000
STATELESS_S = 1_800  # without a session a conversation is what one caller does within this time (and the next)


class Tooling:
    """What every call of one worker shares."""

    def __init__(self, approvals: Approvals | None = None) -> None:
        self.taint = TaintMemory()
        self.rates = CallRates()
        self.approvals = approvals or Approvals()
        self._granted: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def judge(self, exchange: Exchange, call: ToolCall, *, tainted: bool, counted: bool = True) -> list[Finding]:
        """The findings of rules, taint and rates for a call; `counted` calls use up their rates."""
        tools = exchange.policy.tools
        if not tools.judges_calls:
            return []
        subject = exchange.who.subject
        findings = tools.judge(call, subject, tainted=tainted)
        if counted and tools.rates and not self.rates.admit(tools.rates, scope(subject), call, time.monotonic()):
            findings.append(finding(RATE, call.path))
        return findings

    async def approved(
        self, exchange: Exchange, call: ToolCall, findings: Sequence[Finding], *, is_asked_for: bool = False
    ) -> list[Finding]:
        """The findings left once a person has been asked about those that a person may lift.

        Nobody is asked where something else blocks the call anyway, nor outside enforce, nor twice: what
        was granted where a model asked for the call (`is_asked_for`) holds once where the call is made.
        """
        policy = exchange.policy
        lifted = [one for one in findings if one.rule in policy.tools.approvals]
        if not lifted or exchange.mode is not Mode.ENFORCE or _blocked(policy, findings, lifted):
            return list(findings)
        key = (scope(exchange.who.subject), call_digest(call))
        if is_asked_for or self._granted.pop(key, 0.0) < time.monotonic():
            state = await self._ask(exchange, call, lifted[0].rule)
            if state is not State.GRANTED:
                return [*findings, finding(f"tool.approval_{state.value}", call.path, 0.0)]
        if is_asked_for:
            self._granted[key] = time.monotonic() + GRANT_S
            if len(self._granted) > GRANTS:
                self._granted.popitem(last=False)
        rest = [one for one in findings if one not in lifted]
        return [*rest, finding(GRANTED, call.path, 0.0)]

    async def _ask(self, exchange: Exchange, call: ToolCall, rule: str) -> State:
        timeout_s = exchange.policy.tools.config.approval_s
        pending = pending_call(
            exchange.id,
            exchange.who.subject,
            call.server,
            call.tool,
            rule,
            arguments=call.args,
            timeout_s=timeout_s,
        )
        since = time.perf_counter()
        state = await self.approvals.ask(pending, timeout_s)
        exchange.upstream_s += time.perf_counter() - since  # a person's time is not ours
        return state

    def is_tainted(self, exchange: Exchange, call: ToolCall, federation: str = "") -> bool:
        """What the model's own conversation tells where it was seen; else what the caller has been sent."""
        if not exchange.policy.tools.judges_calls:
            return False
        who = scope(exchange.who.subject)
        if self.taint.knows_call(who, call):
            return True
        if self.taint.knows_clean_call(who, call):
            return False
        return any(self.taint.knows_name(who, one) for one in conversation(exchange, federation))

    def mark_tainted(self, exchange: Exchange, federation: str = "") -> None:
        """Notes that untrusted content has entered the conversation."""
        self.taint.mark_name(scope(exchange.who.subject), conversation(exchange, federation)[0])


def _blocked(policy: Policy, findings: Sequence[Finding], lifted: Sequence[Finding]) -> bool:
    return any(
        policy.action(one.rule, one.detector, Direction.OUTPUT) is Action.BLOCK for one in findings if one not in lifted
    )


def scope(subject: Subject) -> str:
    """Whose conversations and rates are one: the tenant's agent or key."""
    return f"{subject.tenant}/{subject.agent}/{subject.key}"


def conversation(exchange: Exchange, federation: str = "") -> tuple[str, ...]:
    """The names a tool conversation goes by, the current one first.

    A server's own session is not it: an agent has one with each server, and what one of them says may ask
    for a call of another. So it is the caller's `x-sigmaguard-conversation` where given, the federated
    session where there is one, else what one address does within half an hour (and the one before).
    """
    named = exchange.request.headers.get("x-sigmaguard-conversation", "")
    if named:
        return (f"conversation/{named[:128]}",)
    if federation:
        return (f"federation/{federation}",)
    now = int(time.time()) // STATELESS_S
    remote = exchange.request.remote or ""
    return f"stateless/{remote}/{now}", f"stateless/{remote}/{now - 1}"


def may_call(identity: Identity, call: ToolCall) -> bool:
    """Whether the caller's key allows this tool."""
    return not identity.tools or any(
        fnmatchcase(name.casefold(), pattern.casefold()) for name in call.names for pattern in identity.tools
    )


def spread_masks(policy: Policy, findings: Sequence[Finding], segments: Sequence[Segment]) -> list[Finding]:
    """Findings about a call as a whole that ask for masking, as one finding over each argument text."""
    whole = [
        one
        for one in findings
        if one.detector == "tools" and policy.action(one.rule, one.detector, Direction.OUTPUT) is Action.MASK
    ]
    if not whole:
        return list(findings)
    spread = [
        Finding(
            one.rule,
            one.detector,
            0,
            len(segment.text),
            one.score,
            segment.path,
            entity="WITHHELD",
            tags=one.tags,
        )
        for one in whole
        for segment in segments
        if not segment.path.endswith((KEY, "/name"))
    ]
    return [one for one in findings if one not in whole] + spread


def strongest(policy: Policy, findings: Sequence[Finding], direction: Direction) -> Action:
    """The strongest action that findings ask for."""
    actions = [policy.action(one.rule, one.detector, direction) for one in findings]
    return max(actions, key=lambda one: STRENGTH[one], default=Action.ALLOW)
