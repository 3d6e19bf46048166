"""What a dashboard asks of the audit log. Reads only, always for one tenant, always bounded.

Counts and quantiles come from tables kept by minute, hour and (counts) day, so their cost follows the time asked
for and not the number of exchanges.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Subquery, TextClause, func, select, text, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.append import DAY, HOUR, MINUTE_US, bucket_middle
from sigmaguard_proxy.audit.rows import ACT, ActFacts, Facts, Personal, decode_facts, decode_personal

PAGE_LIMIT = 500
GROUPS_LIMIT = 5_000
HOURS_FROM_US = 6 * 60 * MINUTE_US
SUMS = ("exchanges", "errors", "input_tokens", "output_tokens", "cost_micros")

Group = Literal["agent", "model", "mode", "action", "intended", "rule"]
Latency = Literal["added", "total", "first_token"]


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records; empty means any. Times in microseconds since 1970, `until_us` exclusive, 0 for no bound.

    `notable` keeps what was not simply allowed and what failed; `kind` is `exchange` or `act`.
    """

    kind: str = ""
    since_us: int = 0
    until_us: int = 0
    agent: str = ""
    key: str = ""
    model: str = ""
    endpoint: str = ""
    action: str = ""
    intended: str = ""
    rule: str = ""
    act: str = ""
    actor: str = ""
    notable: bool = False


class Line(msgspec.Struct, frozen=True):
    """One record as a list shows it."""

    sequence: int
    id: str
    kind: str
    at_us: int
    endpoint: str
    model: str
    agent: str
    key: str
    mode: str
    status: int
    action: str
    intended: str
    rule: str
    score: float
    added_us: int
    total_us: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    actor: str
    act: str
    target: str


class Detail(msgspec.Struct, frozen=True):
    """Everything a record says; `personal` is None once erased, `has_content` whether bodies are kept."""

    line: Line
    facts: Facts | ActFacts
    personal: Personal | None
    has_content: bool
    hash: str
    previous: str


class Count(msgspec.Struct, frozen=True):
    """Sums of a time bucket, which begins at `at_us`, and group (empty where not grouped)."""

    at_us: int
    group: str
    exchanges: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


async def lines(
    connection: AsyncConnection, tenant: str, which: Filter, *, before: tuple[int, int] | None = None, limit: int = 50
) -> list[Line]:
    """The newest records first; `before` is `at_us` and `sequence` of the last line of the page before."""
    table = tables.records
    conditions = [table.c.tenant == tenant, *_conditions(which)]
    if before is not None:
        conditions.append(tuple_(table.c.at_us, table.c.sequence) < tuple_(*before))
    columns = [table.c[name] for name in Line.__struct_fields__]
    statement = select(*columns).where(*conditions).order_by(table.c.at_us.desc(), table.c.sequence.desc())
    found = await connection.execute(statement.limit(max(1, min(limit, PAGE_LIMIT))))
    return [Line(*row) for row in found]


async def detail(connection: AsyncConnection, tenant: str, record_id: str) -> Detail | None:
    """One record by its id, None where this tenant has none such."""
    table, contents = tables.records, tables.contents
    statement = select(table).where(table.c.tenant == tenant, table.c.id == record_id)
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        return None
    kept = select(func.count()).select_from(contents).where(contents.c.tenant == tenant, contents.c.id == record_id)
    return Detail(
        line=Line(*(row[name] for name in Line.__struct_fields__)),
        facts=decode_facts(row["kind"], row["facts"]),
        personal=decode_personal(row["personal"]) if row["personal"] else None,
        has_content=bool((await connection.execute(kept)).scalar_one()),
        hash=row["hash"].hex(),
        previous=row["previous"].hex(),
    )


async def counts(
    connection: AsyncConnection,
    tenant: str,
    since_us: int,
    until_us: int,
    *,
    step_minutes: int = 1,
    by: Group | None = None,
) -> list[Count]:
    """Sums by time bucket and, where asked, by one dimension; buckets without exchanges are left out.

    Steps of whole hours reach back for ever, shorter ones two days. Whole days are read from the counts by
    day where steps are of whole days. Raises ValueError where that would be more than 5,000 buckets.
    """
    if step_minutes < 1 or (until_us - since_us) / (step_minutes * MINUTE_US) > GROUPS_LIMIT:
        raise ValueError(f"more than {GROUPS_LIMIT} buckets: ask for a longer step or a shorter time")
    first, last = _between(since_us, until_us, HOUR if step_minutes % HOUR == 0 else 1)
    counted = _counted(tenant, _pieces(first, last, step_minutes), by)
    step = (counted.c.minute - counted.c.minute % step_minutes).label("step")
    group: list[ColumnElement[Any]] = [counted.c[by]] if by else []
    statement = (
        select(step, *group, *(func.sum(counted.c[name]) for name in SUMS))
        .group_by(step, *group)
        .order_by(step, *group)
        .limit(GROUPS_LIMIT)
    )
    found: list[tuple[Any, ...]] = [tuple(row) for row in await connection.execute(statement)]
    return [Count(int(row[0]) * MINUTE_US, str(row[1]) if by else "", *_numbers(row, 1 + len(group))) for row in found]


async def quantiles(
    connection: AsyncConnection, tenant: str, since_us: int, until_us: int, what: Latency, wanted: Sequence[float]
) -> list[float | None]:
    """Latency quantiles in milliseconds, each to within 5 %; None where there was no exchange.

    Over more than six hours, the first and last hour count as a whole.
    """
    table = tables.latencies
    span = HOUR if until_us - since_us > HOURS_FROM_US else 1
    first, last = _between(since_us, until_us, span)
    statement = (
        select(table.c.bucket, func.sum(table.c.exchanges))
        .where(
            table.c.tenant == tenant,
            table.c.span == span,
            table.c.what == what,
            table.c.minute >= first,
            table.c.minute < last,
        )
        .group_by(table.c.bucket)
        .order_by(table.c.bucket)
    )
    spread = [(int(row[0]), int(row[1])) for row in await connection.execute(statement)]
    return [_quantile(spread, one) for one in wanted]


async def tenants(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Every tenant that has a chain, and how many records it ever had."""
    table = tables.chains
    found = await connection.execute(select(table.c.tenant, table.c.sequence).order_by(table.c.tenant))
    return [(row.tenant, int(row.sequence)) for row in found]


def _conditions(which: Filter) -> list[ColumnElement[bool] | TextClause]:
    table = tables.records
    exact = ("agent", "key", "model", "endpoint", "action", "intended", "rule", "act", "actor")
    found: list[ColumnElement[bool] | TextClause] = [
        table.c[name] == getattr(which, name) for name in exact if getattr(which, name)
    ]
    if which.since_us:
        found.append(table.c.at_us >= which.since_us)
    if which.until_us:
        found.append(table.c.at_us < which.until_us)
    if which.notable:
        found.append(text(f"({tables.NOTABLE.text})"))  # `text` is not put in brackets by itself
    if which.kind == ACT:
        found.append(tables.ACTS)
    elif which.kind:
        found.append(table.c.kind == which.kind)
    return found


def _between(since_us: int, until_us: int, span: int) -> tuple[int, int]:
    """The first minute and the one after the last, widened to whole buckets at the beginning."""
    first, last = since_us // MINUTE_US, -(-until_us // MINUTE_US)
    return first - first % span, last


def _pieces(first: int, last: int, step_minutes: int) -> list[tuple[int, int, int]]:
    """Spans to read and their minutes: whole days by day, what is left at both ends by hour; the sums are the same."""
    begins, ends = -(-first // DAY) * DAY, last // DAY * DAY
    if step_minutes % DAY or begins >= ends:
        return [(HOUR if step_minutes % HOUR == 0 else 1, first, last)]
    return [one for one in ((HOUR, first, begins), (DAY, begins, ends), (HOUR, ends, last)) if one[1] < one[2]]


def _counted(tenant: str, pieces: Sequence[tuple[int, int, int]], by: Group | None) -> Subquery:
    """The rows of all pieces. Each is read by the index; of an `OR` over them SQLite reads the whole tenant."""
    table = tables.counts
    wanted = [table.c.minute, *([table.c[by]] if by else []), *(table.c[name] for name in SUMS)]
    return union_all(
        *(
            select(*wanted).where(
                table.c.tenant == tenant, table.c.span == span, table.c.minute >= first, table.c.minute < last
            )
            for span, first, last in pieces
        )
    ).subquery()


def _numbers(row: Sequence[Any], start: int) -> list[int]:
    return [int(value or 0) for value in row[start:]]


def _quantile(spread: Sequence[tuple[int, int]], wanted: float) -> float | None:
    total = sum(number for _, number in spread)
    if not total:
        return None
    left = wanted * total
    for bucket, number in spread:
        left -= number
        if left <= 0:
            return bucket_middle(bucket) / 1000.0
    return bucket_middle(spread[-1][0]) / 1000.0
