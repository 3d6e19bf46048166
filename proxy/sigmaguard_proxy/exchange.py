"""One exchange on its way through the stages: what is known of it so far."""

import os
import time
from collections.abc import Iterable, Mapping

import msgspec
from aiohttp import web

from sigmaguard.decide import STRENGTH
from sigmaguard.digests import Digests
from sigmaguard.mask import Vault
from sigmaguard.model import Action, Fault, FaultSource, Finding, Mode, Segment, Subject, Timing, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.codec import Codec, Editable, Usage
from sigmaguard.wire.fields import shown_name, shown_pointer
from sigmaguard_proxy.answering import Outgoing
from sigmaguard_proxy.ports import ExchangeRecord, Identity, Ticket, TraceContext
from sigmaguard_proxy.upstreams import Target

REFUSED = "refuse"  # what happened where no verdict did it: a key, a limit, a body nobody can read
ALLOWED = Verdict(Action.ALLOW, Action.ALLOW, Mode.ENFORCE)


def new_exchange_id() -> str:
    """`exc_` and 32 hex digits: milliseconds since 1970, then randomness, so ids sort by time (RFC 9562, UUIDv7)."""
    return f"exc_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


class Exchange:
    """Mutable while its stages run; `to_record` is what is kept. Times from `time.perf_counter`, in seconds."""

    __slots__ = (
        "action",
        "at",
        "body",
        "codec",
        "content",
        "digests",
        "faults",
        "first_byte",
        "form",
        "forwarded",
        "id",
        "identity",
        "input",
        "method",
        "model",
        "out",
        "output",
        "plain",
        "raw",
        "recorded",
        "refused",
        "request",
        "response_bytes",
        "segments",
        "started",
        "status",
        "streamed",
        "target",
        "ticket",
        "timings",
        "tool",
        "trace",
        "unknown_mode",
        "upstream_s",
        "usage",
        "vault",
    )

    def __init__(self, request: web.BaseRequest) -> None:
        self.id = new_exchange_id()
        self.at = time.time()
        self.started = time.perf_counter()
        self.request = request
        self.identity: Identity | None = None
        self.codec: Codec | None = None
        self.target: Target | None = None
        self.ticket: Ticket | None = None
        self.raw = b""
        self.body: object = None
        self.form: Editable | None = None
        self.plain = b""  # what was inspected: the body without its content encoding
        self.out: Outgoing | None = None  # an answer whose head has left
        self.segments: list[Segment] = []
        self.digests: Digests | None = None
        self.model = ""
        self.method = ""
        self.tool = ""
        self.streamed = False
        self.vault: Vault | None = None
        self.input: list[Verdict] = []
        self.output: Verdict | None = None
        self.faults: list[Fault] = []
        self.timings: dict[str, float] = {}
        self.status = 0
        self.forwarded = 0.0
        self.upstream_s = 0.0
        self.first_byte = 0.0
        self.usage = Usage()
        self.response_bytes = 0
        self.recorded = False
        self.refused = ""  # the code of what ended it before anything was forwarded or a policy had its say
        self.unknown_mode = Mode.OFF  # the mode a caller of whom nothing is known runs in
        self.trace: TraceContext | None = None
        self.action = Action.ALLOW
        self.content: bytes | None = None

    @property
    def who(self) -> Identity:
        """The identity, known from the second stage on."""
        assert self.identity is not None
        return self.identity

    @property
    def policy(self) -> Policy:
        """The policy snapshot this exchange is judged by."""
        return self.who.policy

    @property
    def mode(self) -> Mode:
        """The mode in force for this exchange."""
        return self.who.mode

    def refuse(self, fault: Fault, mode: Mode) -> None:
        """Ends with a fault; one of the provider's refuses nothing. `mode` counts where nobody knows the caller."""
        self.faults.append(fault)
        self.unknown_mode = mode
        if fault.source is not FaultSource.UPSTREAM and self.out is None:
            self.refused = fault.kind

    def clock(self, stage: str, since: float) -> float:
        """Books the time since `since` on a stage; returns now."""
        now = time.perf_counter()
        self.timings[stage] = self.timings.get(stage, 0.0) + (now - since) * 1000.0
        return now

    def verdicts(self) -> list[Verdict]:
        """Every verdict so far, strongest reading last."""
        return [*self.input, self.output] if self.output else list(self.input)

    def header_verdict(self) -> str:
        """`allow`, `mask`, `block`, or `refuse` for a fault; in shadow what was meant is told beside it."""
        return REFUSED if self.refused else _strongest([verdict.action for verdict in self.verdicts()])

    def headers(self) -> Mapping[str, str]:
        """The headers that tell the caller what happened."""
        result = {"x-sigmaguard-exchange": self.id, "x-sigmaguard-verdict": self.header_verdict()}
        if self.identity is not None:
            result["x-sigmaguard-mode"] = self.identity.mode._value_  # `value` takes five times as long
            if self.identity.mode is Mode.SHADOW:
                intended = _strongest(verdict.intended for verdict in self.verdicts())
                if intended != Action.ALLOW.value:
                    result["x-sigmaguard-intended"] = intended
        return result

    def header_lines(self) -> bytes:
        """`headers` as they are sent."""
        return "".join([f"{name}: {value}\r\n" for name, value in self.headers().items()]).encode()

    def to_record(self) -> ExchangeRecord:
        """What is kept of this exchange."""
        verdicts = self.verdicts()
        decisive = max(verdicts, key=_strength) if verdicts else ALLOWED
        now = time.perf_counter()
        identity = self.identity
        total_ms = (now - self.started) * 1000.0
        return ExchangeRecord(
            exchange=self.id,
            at=self.at,
            subject=_named(identity.subject) if identity else Subject(),
            protocol=self.codec.protocol if self.codec else "unknown",
            endpoint=self.codec.endpoint if self.codec else "other",
            model=shown_name(self.model),
            upstream=self.target.name if self.target else "",
            policy=identity.policy.name if identity else "",
            policy_revision=identity.policy.revision if identity else "",
            mode=identity.mode if identity else self.unknown_mode,
            status=self.status,
            streamed=self.streamed,
            action=REFUSED if self.refused else _strongest([verdict.action for verdict in verdicts]),
            intended=REFUSED if self.refused else decisive.intended._value_,
            rule=f"fault.{self.refused}" if self.refused else decisive.rule,
            score=max([verdict.score for verdict in verdicts]) if verdicts else 0.0,
            input_findings=tuple(_shown(finding) for verdict in self.input for finding in verdict.findings),
            output_findings=tuple(map(_shown, self.output.findings)) if self.output else (),
            faults=(*self.faults, *(fault for verdict in verdicts for fault in verdict.faults)),
            outcomes=tuple(pair for verdict in verdicts for pair in verdict.outcomes),
            timings=self.timings,
            added_ms=max(0.0, total_ms - self.upstream_s * 1000.0),
            first_token_ms=(self.first_byte - self.started) * 1000.0 if self.first_byte else -1.0,
            total_ms=total_ms,
            input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens,
            request_bytes=len(self.raw),
            response_bytes=self.response_bytes,
            remote=self.request.remote or "",
            method=self.method,
            tool=self.tool[:128],
            trace=self.trace.packed() if self.trace else "",
            content=(self.raw, self.content or b"") if identity and identity.keep_content else None,
        )


def _shown(finding: Finding) -> Finding:
    """A finding as records tell it: object keys that a caller could have chosen to say something are `*`."""
    path = shown_pointer(finding.path)
    return finding if path == finding.path else msgspec.structs.replace(finding, path=path)


def _named(subject: Subject) -> Subject:
    """A subject as records tell it: an agent's name may come from a header."""
    agent = shown_name(subject.agent)
    return subject if agent == subject.agent else msgspec.structs.replace(subject, agent=agent)


def _strength(verdict: Verdict) -> int:
    return STRENGTH[verdict.intended]


def _strongest(actions: Iterable[Action]) -> str:
    strongest = Action.ALLOW
    for action in actions:
        if action is not Action.ALLOW and STRENGTH[action] > STRENGTH[strongest]:
            strongest = action
    return strongest._value_


def timing_name(timing: Timing) -> str:
    """The stage's name in timings."""
    return "inspect" if timing is Timing.BEFORE else "inspect_parallel"
