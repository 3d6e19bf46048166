"""What is asked of the audit log over the API and what it answers. Shapes only; the asking is `audit`."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from sigmaguard_proxy.audit import queries
from sigmaguard_proxy.audit.rows import ActFacts, Facts, Personal
from sigmaguard_proxy.control.paging import Paging
from sigmaguard_proxy.control.words import Reason

Value = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*\S[^\x00]*$")]
Word = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")]


class ExchangeQuery(Paging, frozen=True, forbid_unknown_fields=True):
    """Which exchanges; what is left out is any. `notable` are those that were not simply allowed, or failed."""

    since: datetime | None = None
    until: datetime | None = None
    agent: Word = ""
    key: Word = ""
    model: Word = ""
    endpoint: Word = ""
    action: Word = ""
    intended: Word = ""
    rule: Word = ""
    notable: bool = False


class ActQuery(Paging, frozen=True, forbid_unknown_fields=True):
    """Which administrative acts."""

    since: datetime | None = None
    until: datetime | None = None
    act: Word = ""
    actor: Word = ""


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to write the log."""

    format: Literal["jsonl", "cef", "ecs"] = "jsonl"


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A span of time; the last day where nothing is said."""

    since: datetime | None = None
    until: datetime | None = None


class CountQuery(Span, frozen=True, forbid_unknown_fields=True):
    """Sums in steps of so many minutes, by one dimension where asked."""

    step_minutes: Annotated[int, msgspec.Meta(ge=1, le=525_600)] = 60
    by: Literal["agent", "model", "mode", "action", "intended", "rule"] | None = None


class LatencyQuery(Span, frozen=True, forbid_unknown_fields=True):
    """Which latency: `added` by Sigmaguard, `total`, or `first_token`."""

    what: Literal["added", "total", "first_token"] = "added"


class Record(msgspec.Struct, frozen=True):
    """Everything recorded: `exchange` or `act`; `personal` is null once erased, `hash` its link in the chain."""

    line: queries.Line
    exchange: Facts | None
    act: ActFacts | None
    personal: Personal | None
    has_content: bool
    hash: str
    previous: str


class Content(msgspec.Struct, frozen=True):
    """The bodies of an exchange as text; empty where they are too large to be kept."""

    request: str
    response: str


class Latency(msgspec.Struct, frozen=True):
    """Quantiles in milliseconds, to within 5 %; null where there was no exchange."""

    what: str
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None


class RetentionOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Days a tenant's data is kept; 0 keeps it for ever."""

    content_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)]
    personal_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)]
    record_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)]


class ErasureOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to erase: exchanges that match everything given. The chain stays whole and says who erased and why.

    `values` are what a person tells of herself (an address, a number): exchanges in which a detector found one of them.
    They are not kept. `everything` has to be said where nothing else is.
    """

    reason: Reason
    part: Literal["personal", "content"] = "personal"
    exchanges: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=1_000)] = ()
    key: Word = ""
    agent: Word = ""
    remote: Word = ""
    digest: Word = ""
    values: Annotated[tuple[Value, ...], msgspec.Meta(max_length=100)] = ()
    before: datetime | None = None
    everything: bool = False


class Erased(msgspec.Struct, frozen=True):
    """How many records were emptied."""

    records: int
