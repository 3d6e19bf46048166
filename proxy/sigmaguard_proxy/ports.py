"""What the stages need from the rest of the server: who asks, what is allowed, where records go.

Knows protocols and values only. The control plane implements them over its store; without one,
`embedded.py` does. Whatever is called on the hot path answers from memory and does not await.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from sigmaguard.model import Fault, Finding, Mode, Outcome, Segment, Subject
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.codec import Refusal


class Secret:
    """A value that never shows itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; only for the header that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Caller(msgspec.Struct, frozen=True):
    """What a request says about who sends it, before anything is believed.

    `credential` is the bearer token or `x-api-key` as sent, empty where none. `agent` is the
    `x-sigmaguard-agent` header. `remote` the peer's address, `endpoint` the route such as
    `/v1/chat/completions`, `upstream` the name of the upstream the route leads to.
    """

    credential: str
    remote: str
    endpoint: str
    upstream: str
    agent: str = ""


class Identity(msgspec.Struct, frozen=True):
    """On whose behalf, under which policy, with which key towards the provider.

    `mode` is what is in force after the master toggle and per-agent settings. `upstream_key`
    replaces the caller's own credential when a virtual key stood in for it. `models`, `endpoints`
    and `tools` (patterns such as `git/*` or `egress/weather`) restrict (empty:
    everything). `limits` is opaque to the stages: the limiter's own. `trial` is the number of a staged
    version and the version itself, which looks on and changes nothing.
    """

    subject: Subject
    policy: Policy
    mode: Mode
    upstream_key: Secret | None = None
    models: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    limits: object = None
    keep_content: bool = False
    trial: tuple[int, Policy] | None = None


class Directory(Protocol):
    """Answers who a caller is and under which policy it runs, from memory."""

    def identify(self, caller: Caller, exchange: str) -> Identity | Refusal:
        """The identity of a caller, or why it is refused (401, 403)."""
        ...

    def in_force(self) -> tuple[Policy, Mode]:
        """The policy and mode of a caller of whom nothing is known, for metrics and the banner."""
        ...


class Ticket(Protocol):
    """Leave to run one exchange; always settled exactly once."""

    def settle(self, input_tokens: int, output_tokens: int) -> None:
        """Gives the concurrency back and books what was really used (-1 unknown). Never blocks."""
        ...


class Limiter(Protocol):
    """Rates, concurrency and budgets."""

    async def admit(self, identity: Identity, model: str, estimated_tokens: int, exchange: str) -> Ticket | Refusal:
        """A ticket, or a 429 refusal with `retry_after_s`."""
        ...


class ExchangeRecord(msgspec.Struct, frozen=True):
    """Everything that is kept of one exchange; no content. Times in milliseconds, `at` in Unix seconds.

    `status` is what the client got; 499 where it hung up first. `timings` maps a stage's name to
    its milliseconds. `trace` is the W3C `traceparent` under which the exchange ran, empty where
    tracing is off. `method` is the MCP method (`tools/call`) or the HTTP verb of an egress call and
    `tool` the tool called (`git/git_status`), both empty for LLM traffic. `content` is None
    unless the tenant opted in; then the raw bodies, which the recorder encrypts before they touch a disk.
    """

    exchange: str
    at: float
    subject: Subject
    protocol: str
    endpoint: str
    model: str
    upstream: str
    policy: str
    policy_revision: str
    mode: Mode
    status: int
    streamed: bool
    action: str
    intended: str
    rule: str
    score: float
    input_findings: tuple[Finding, ...] = ()
    output_findings: tuple[Finding, ...] = ()
    faults: tuple[Fault, ...] = ()
    outcomes: tuple[tuple[str, Outcome], ...] = ()
    timings: Mapping[str, float] = {}
    added_ms: float = 0.0
    first_token_ms: float = -1.0
    total_ms: float = 0.0
    input_tokens: int = -1
    output_tokens: int = -1
    request_bytes: int = 0
    response_bytes: int = 0
    remote: str = ""
    method: str = ""
    tool: str = ""
    trace: str = ""
    content: tuple[bytes, bytes] | None = None


class Recorder(Protocol):
    """Takes records durably before the answer's last byte leaves."""

    def record(self, record: ExchangeRecord) -> None:
        """Writes one record to the local write-ahead file (survives kill -9); never blocks on a database.

        Raises OSError where even that is impossible; the stage then obeys the policy's `on_fault`.
        """
        ...


class TraceContext(Protocol):
    """One exchange's place in a distributed trace."""

    def header(self) -> str:
        """The `traceparent` (W3C) sent to the upstream."""
        ...

    def packed(self) -> str:
        """What the exchange's record keeps of it."""
        ...


class Tracer(Protocol):
    """Distributed tracing; absent unless asked for."""

    def begin(self, headers: Mapping[str, str]) -> TraceContext:
        """The trace context of a new exchange, from its request headers."""
        ...

    def observe(self, record: ExchangeRecord) -> None:
        """Takes a finished exchange; never blocks."""
        ...

    def close(self) -> None:
        """Exports what is queued; blocks for a few seconds at most."""
        ...


class Trials(Protocol):
    """Lets staged versions of policies look on."""

    def consider(self, trial: tuple[int, Policy], segments: Sequence[Segment], record: ExchangeRecord) -> None:
        """Tries an exchange's input under a staged version later on; never blocks and changes nothing."""
        ...


class Authority(Protocol):
    """The parts of the control plane that the data plane's readiness shows."""

    def degraded(self) -> list[str]:
        """What is not working right now (`database`, `redis`, ...), empty when all is well."""
        ...
