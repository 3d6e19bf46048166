"""Fills the audit tables with millions of records through the real appender, then times a dashboard's questions.

python -m audit.large_table --records 5000000 --url sqlite:///large.sqlite --data FOLDER   (from bench/)
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path

from sqlalchemy import select, text

from audit.records import records
from sigmaguard_proxy.audit import queries, tables
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.keys import load_signer
from sigmaguard_proxy.audit.rows import entry_to_row
from sigmaguard_proxy.store.database import Database, open_database
from sigmaguard_proxy.store.migrate import migrate

BATCH = (
    10_000  # larger than what a shipper brings, so that fewer upserts of counts fall on a record; the rows are the same
)
DAY_US = 86_400_000_000


async def fill(database: Database, data: Path, count: int, until: float, days: float) -> float:
    """Appends `count` records; records a second."""
    appender = Appender(load_signer(data / "audit"))
    source = records(count, until, days)
    started = told = time.monotonic()
    done = 0
    while batch := list(islice(source, BATCH)):
        rows = [entry_to_row(record, lambda model, sent, got: sent * 2e-6 + got * 8e-6) for record in batch]
        async with database.write() as connection:
            await appender.append(connection, rows, time.time_ns() // 1000)
        done += len(batch)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{done:,} of {count:,}, {done / (told - started):,.0f} a second", file=sys.stderr, flush=True)
    return done / (time.monotonic() - started)


async def ask(database: Database, until: float) -> dict[str, float]:
    """Milliseconds a question takes, the best of five, by what is asked."""
    now = round(until * 1e6)
    async with database.read() as connection:
        table = tables.records
        some = (await connection.execute(select(table.c.id).where(table.c.sequence == 1_000))).scalar_one()

        async def page(which: queries.Filter, before: tuple[int, int] | None = None) -> object:
            return await queries.lines(connection, "default", which, before=before)

        questions: dict[str, Callable[[], Awaitable[object]]] = {
            "newest 50 records": lambda: page(queries.Filter()),
            "50 records of 15 days ago": lambda: page(queries.Filter(until_us=now - 15 * DAY_US)),
            "newest 50 blocked or failed": lambda: page(queries.Filter(notable=True)),
            "newest 50 of one rule": lambda: page(queries.Filter(rule="leak.github_token", notable=True)),
            "newest 50 of one agent": lambda: page(queries.Filter(agent="agent-7")),
            "newest 50 of one key, a week ago": lambda: page(
                queries.Filter(key="key_000017", until_us=now - 7 * DAY_US)
            ),
            "one record by its id": lambda: queries.detail(connection, "default", some),
            "counts by minute, last hour": lambda: queries.counts(connection, "default", now - DAY_US // 24, now),
            "counts by hour and action, last day": lambda: queries.counts(
                connection, "default", now - DAY_US, now, step_minutes=60, by="action"
            ),
            "counts by day and agent, 30 days": lambda: queries.counts(
                connection, "default", now - 30 * DAY_US, now, step_minutes=1440, by="agent"
            ),
            "(without the counts by day) counts by day and agent, 30 days": lambda: connection.execute(
                text(
                    "SELECT minute - minute % 1440, agent, sum(exchanges) FROM audit_counts "
                    "WHERE tenant = 'default' AND span = 60 AND minute >= :since GROUP BY 1, 2"
                ),
                {"since": (now - 30 * DAY_US) // 60_000_000},
            ),
            "latency p50, p95, p99, last day": lambda: queries.quantiles(
                connection, "default", now - DAY_US, now, "added", (0.5, 0.95, 0.99)
            ),
            "latency p50, p95, p99, 30 days": lambda: queries.quantiles(
                connection, "default", now - 30 * DAY_US, now, "added", (0.5, 0.95, 0.99)
            ),
            "(without the minute table) counts by hour and action, last day": lambda: connection.execute(
                text(
                    "SELECT at_us / 3600000000, action, count(*) FROM audit_records "
                    "WHERE tenant = 'default' AND at_us >= :since GROUP BY 1, 2"
                ),
                {"since": now - DAY_US},
            ),
        }
        return {name: await _best(question) for name, question in questions.items()}


async def _best(question: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(5):
        since = time.perf_counter()
        await question()
        times.append((time.perf_counter() - since) * 1000.0)
    return min(times)


async def run(url: str, data: Path, count: int, days: float, until: float) -> None:
    """Fills where the table is empty, then asks."""
    database = open_database(url)
    await migrate(database)
    async with database.read() as connection:
        there = dict(await queries.tenants(connection)).get("default", 0)
    if there < count:
        print(
            f"| records a second appended | {await fill(database, data, count - there, until, days):,.0f} |", flush=True
        )
    if not database.is_sqlite:
        async with database.write() as connection:
            await connection.execute(text("ANALYZE"))
    for name, milliseconds in (await ask(database, until)).items():
        print(f"| {name} | {milliseconds:,.1f} ms |", flush=True)
    await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--until", type=float, default=1_795_500_000.0)
    parser.add_argument("--url", required=True)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(run(given.url, given.data, given.records, given.days, given.until))
