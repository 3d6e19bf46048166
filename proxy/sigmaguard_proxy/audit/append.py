"""Appends rows to their tenants' chains inside a transaction that somebody else opened.

Knows locking order, counts and signatures; nothing of where rows come from. Each tenant's chain row is
locked by updating it, in the order of tenant names, so that several processes interleave without
deadlock on SQLite and on PostgreSQL alike.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, itemgetter
from typing import Any

from sqlalchemy import Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.chain import Head, Signed, checkpoint_message, genesis, link
from sigmaguard_proxy.audit.keys import Signer
from sigmaguard_proxy.audit.rows import EXCHANGE, Row

CHECKPOINT_RECORDS = 10_000
CHECKPOINT_EVERY_US = 300 * 1_000_000
BUCKETS_AN_OCTAVE = 8  # a bucket is 9 % wide, so its middle is at most 4.5 % off
MINUTE_US = 60_000_000
HOUR, DAY = 60, 1440  # spans in minutes
MINUTES_KEPT_US = 2 * 1440 * MINUTE_US  # after two days hours tell enough

Place = tuple[str, int, int, tuple[str, ...]]  # tenant, span, its first minute, dimensions


class Appender:
    """Links rows, stores them, keeps the counts and signs the new heads."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._checked: dict[str, Signed] = {}

    async def append(self, connection: AsyncConnection, rows: Sequence[Row], now_us: int) -> dict[str, Signed]:
        """Appends rows in the order given; the signed new head of every tenant among them.

        Raises IntegrityError where a record's id is there already; the transaction is then to be given up.
        """
        by_tenant: dict[str, list[Row]] = {}
        for row in rows:
            by_tenant.setdefault(row.tenant, []).append(row)
        heads: dict[str, Signed] = {}
        stored: list[dict[str, Any]] = []
        for tenant in sorted(by_tenant):
            head = await self._lock(connection, tenant)
            for row in by_tenant[tenant]:
                values = _values(head, row)
                stored.append(values)
                head = Head(tenant, head.sequence + 1, values["hash"])
            heads[tenant] = self._sign(head, now_us)
        if not stored:
            return heads
        await _insert(connection, stored)
        await self._store_contents(connection, rows)
        await count(connection, stored, now_us)
        await self._store_heads(connection, heads)
        return heads

    async def _lock(self, connection: AsyncConnection, tenant: str) -> Head:
        """The tenant's head, ours alone until the transaction ends."""
        chains = tables.chains
        lock = (
            update(chains)
            .where(chains.c.tenant == tenant)
            .values(sequence=chains.c.sequence)
            .returning(chains.c.sequence, chains.c.hash)
        )
        found = (await connection.execute(lock)).first()
        if found is None:
            first = genesis(tenant)
            start = {"tenant": tenant, "sequence": 0, "hash": first.hash, "at_us": 0, "key_id": "", "signature": b""}
            await connection.execute(upsert(connection, chains).on_conflict_do_nothing(), start)
            found = (await connection.execute(lock)).one()
        return Head(tenant, int(found.sequence), bytes(found.hash))

    def _sign(self, head: Head, now_us: int) -> Signed:
        message = checkpoint_message(head.tenant, head.sequence, head.hash, now_us)
        return Signed(head.tenant, head.sequence, head.hash, now_us, self._signer.key_id, self._signer.sign(message))

    async def _store_contents(self, connection: AsyncConnection, rows: Iterable[Row]) -> None:
        kept = [
            {"tenant": row.tenant, "id": row.id, "at_us": row.at_us, "content": row.content}
            for row in rows
            if row.content
        ]
        if kept:
            await connection.execute(insert(tables.contents), kept)

    async def _store_heads(self, connection: AsyncConnection, heads: Mapping[str, Signed]) -> None:
        chains = tables.chains
        for head in heads.values():
            await connection.execute(update(chains).where(chains.c.tenant == head.tenant).values(signed_values(head)))
        due = [head for head in heads.values() if self._is_due(head)]
        if due:
            await connection.execute(insert(tables.checkpoints), [{**signed_values(head), "base": 0} for head in due])
        for head in due:
            self._checked[head.tenant] = head

    def _is_due(self, head: Signed) -> bool:
        last = self._checked.get(head.tenant)
        if last is None:
            return True
        return (
            head.sequence - last.sequence >= CHECKPOINT_RECORDS or head.at_us - last.at_us >= CHECKPOINT_EVERY_US
        ) and head.sequence > last.sequence

    def sign_base(self, head: Head, now_us: int) -> Signed:
        """A signature over the last record that retention removes."""
        return self._sign(head, now_us)


def _values(head: Head, row: Row) -> dict[str, Any]:
    digests = row.digests()
    sequence = head.sequence + 1
    return {
        "tenant": row.tenant,
        "sequence": sequence,
        "id": row.id,
        "kind": row.kind,
        "at_us": row.at_us,
        **row.columns,
        "facts": row.facts,
        "personal": row.personal,
        "personal_digest": digests[1],
        "content_digest": digests[2],
        "personal_erased_by": 0,
        "content_erased_by": 0,
        "previous": head.hash,
        "hash": link(head.hash, row.tenant, sequence, row.id, row.kind, row.at_us, digests),
    }


async def _insert(connection: AsyncConnection, stored: Sequence[Mapping[str, Any]]) -> None:
    """Stores records, as text with values in order: what SQLAlchemy does to a value costs more than the insert."""
    dialect = connection.dialect
    known = _INSERTS.get(dialect.name)
    if known is None:
        compiled = insert(tables.records).compile(dialect=dialect)
        known = _INSERTS[dialect.name] = (str(compiled), itemgetter(*(compiled.positiontup or ())))
    statement, in_order = known
    await connection.exec_driver_sql(statement, [in_order(values) for values in stored])


_INSERTS: dict[str, tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {}


async def count(connection: AsyncConnection, stored: Iterable[Mapping[str, Any]], now_us: int) -> None:
    """Adds records to the counts (by day and hour) and latencies (by hour), both by minute where recent."""
    sums: dict[Place, list[int]] = {}
    spread: Counter[tuple[str, int, str, int, int]] = Counter()
    for row in stored:
        if row["kind"] != EXCHANGE:
            continue
        tenant, minute = row["tenant"], row["at_us"] // MINUTE_US
        measured = _measured(row)
        about = _dimensions(row)
        for span in (HOUR,) if row["at_us"] < now_us - MINUTES_KEPT_US else (1, HOUR):
            begins = minute - minute % span
            _sum_up(sums, (tenant, span, begins, about), measured)
            for what, name in LATENCIES:
                if row[name] >= 0:
                    spread[tenant, span, what, begins, bucket(row[name])] += 1
    for (tenant, span, begins, about), values in list(sums.items()):
        if span == HOUR:  # few hours make a day: cheaper than to look at every record again
            _sum_up(sums, (tenant, DAY, begins - begins % DAY, about), values)
    totals = [
        ((tenant, span, begins, *about), values) for (tenant, span, begins, about), values in sorted(sums.items())
    ]
    await _add(connection, tables.counts, ("tenant", "span", "minute", *DIMENSIONS), MEASURES, totals)
    places = ("tenant", "span", "what", "minute", "bucket")
    await _add(
        connection,
        tables.latencies,
        places,
        ("exchanges",),
        [(place, [number]) for place, number in sorted(spread.items())],
    )


def _sum_up(sums: dict[Place, list[int]], place: Place, values: Sequence[int]) -> None:
    into = sums.get(place)
    sums[place] = list(values) if into is None else list(map(add, into, values))


DIMENSIONS = ("agent", "model", "mode", "action", "intended", "rule")
LATENCIES = (("added", "added_us"), ("total", "total_us"), ("first_token", "first_token_us"))
_dimensions = itemgetter(*DIMENSIONS)
MEASURES = ("exchanges", "errors", "input_tokens", "output_tokens", "cost_micros")


def _measured(row: Mapping[str, Any]) -> tuple[int, ...]:
    tokens_in, tokens_out, cost = row["input_tokens"], row["output_tokens"], row["cost_micros"]
    # what is unknown stands as -1 and counts for nothing
    return (1, int(row["status"] >= 500), max(0, tokens_in), max(0, tokens_out), max(0, cost))


async def _add(
    connection: AsyncConnection,
    table: Table,
    keys: Sequence[str],
    measures: Sequence[str],
    sums: Sequence[tuple[tuple[Any, ...], list[int]]],
) -> None:
    if not sums:
        return
    statement = upsert(connection, table)
    adding = statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={name: table.c[name] + statement.excluded[name] for name in measures},
    )
    values = [dict(zip((*keys, *measures), (*key, *numbers), strict=True)) for key, numbers in sums]
    await connection.execute(adding, values)


def bucket(microseconds: int) -> int:
    """The latency bucket of a time."""
    return int(math.log2(microseconds) * BUCKETS_AN_OCTAVE) if microseconds >= 1 else 0


def bucket_middle(number: int) -> float:
    """The time in microseconds in a bucket's (geometric) middle."""
    return float(2.0 ** ((number + 0.5) / BUCKETS_AN_OCTAVE))


def upsert(connection: AsyncConnection, table: Table) -> Any:
    """The dialect's insert that knows `on_conflict_*`; both dialects spell it alike."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def signed_values(head: Signed) -> dict[str, Any]:
    """A signed head as a row's values."""
    return {
        "tenant": head.tenant,
        "sequence": head.sequence,
        "hash": head.hash,
        "at_us": head.at_us,
        "key_id": head.key_id,
        "signature": head.signature,
    }


async def heads(connection: AsyncConnection) -> dict[str, Head]:
    """The current head of every tenant."""
    chains = tables.chains
    found = await connection.execute(select(chains.c.tenant, chains.c.sequence, chains.c.hash))
    return {row.tenant: Head(row.tenant, int(row.sequence), bytes(row.hash)) for row in found}
