"""The nouns of the firewall. Knows values only: no parsing, no detection, no I/O."""

from enum import StrEnum

import msgspec


class Direction(StrEnum):
    """Which way an exchange's text travels."""

    INPUT = "input"
    OUTPUT = "output"


class Origin(StrEnum):
    """Who wrote a segment; the same sentence is harmless from one and an attack from another."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    DOCUMENT = "document"
    TOOL_DEFINITION = "tool_definition"


class Action(StrEnum):
    """What is done about a finding, from weakest to strongest; `flag` only reports."""

    ALLOW = "allow"
    FLAG = "flag"
    MASK = "mask"
    BLOCK = "block"


class Mode(StrEnum):
    """How a policy runs: `enforce` acts, `shadow` observes, `off` looks at nothing."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


class Timing(StrEnum):
    """Whether a detector must answer before the request leaves, or while the upstream works."""

    BEFORE = "before"
    PARALLEL = "parallel"


class OnFault(StrEnum):
    """What a failing stage does: `closed` refuses, `open` lets through and says so."""

    OPEN = "open"
    CLOSED = "closed"


class Outcome(StrEnum):
    """What became of one detector in one exchange; the audit record tells it truthfully."""

    FOUND = "found"
    CLEAN = "clean"
    NOT_RUN = "not_run"
    TIMED_OUT = "timed_out"
    FAILED_OPEN = "failed_open"
    FAILED_CLOSED = "failed_closed"


class FaultSource(StrEnum):
    """Whose fault a failure is."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    DETECTOR = "detector"
    INTERNAL = "internal"


class Segment(msgspec.Struct, frozen=True):
    """One inspectable string of an exchange.

    `path` is the JSON pointer (RFC 6901) of the string in the body. `message` groups the parts of
    one message (its pointer), so that a word split over parts is still seen. `is_json` says that
    the text is itself JSON source, such as tool-call arguments: edits must keep it valid JSON.
    """

    path: str
    origin: Origin
    text: str
    role: str = ""
    message: str = ""
    is_json: bool = False


class Finding(msgspec.Struct, frozen=True):
    """One thing a detector saw: where and how sure, never the text itself.

    `start` and `end` are code points of the segment as written, half-open. `rule` is
    `family.name`. `digest` is a keyed digest of the matched text (hex), for correlation only.
    `entity` names the kind of value for masking (`EMAIL`, `OPENAI_KEY`), empty where none.
    `view` says how the text had to be read to see it (`plain`, `base64`, ...).
    `value` of a decoded view is never kept: masking re-reads the span.
    """

    rule: str
    detector: str
    start: int
    end: int
    score: float
    path: str = ""
    entity: str = ""
    view: str = "plain"
    tags: tuple[str, ...] = ()
    digest: str = ""


class Fault(msgspec.Struct, frozen=True):
    """A failure with its source. Never a verdict; `message` is safe to show."""

    source: FaultSource
    kind: str
    message: str
    retryable: bool = False
    detector: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What was decided about one direction of one exchange.

    `action` is what happened, `intended` what enforce would have done (the same in enforce).
    `rule` is the finding that decided, empty where nothing did. `score` is the injection score 0..1.
    """

    action: Action
    intended: Action
    mode: Mode
    rule: str = ""
    score: float = 0.0
    findings: tuple[Finding, ...] = ()
    faults: tuple[Fault, ...] = ()
    outcomes: tuple[tuple[str, Outcome], ...] = ()


class Subject(msgspec.Struct, frozen=True):
    """On whose behalf an exchange runs."""

    tenant: str = "default"
    agent: str = ""
    key: str = ""
