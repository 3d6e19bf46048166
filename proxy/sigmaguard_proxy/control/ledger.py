"""What was spent, on its way into the database: added up in memory, written in one statement. Decides nothing."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.control.paging import moment_or_none
from sigmaguard_proxy.control.prices import MICRO
from sigmaguard_proxy.control.tables import usage
from sigmaguard_proxy.store.database import Database
from sigmaguard_proxy.store.scope import Scope

KEEP_S = 400 * 86_400.0  # finished periods are kept a little over a year, for reports


class Ledger:
    """Collects spending and adds it to the table `usage`."""

    def __init__(self, database: Database, flushed: Callable[[float], None] | None = None) -> None:
        self._database = database
        self._flushed = flushed
        self._pending: dict[tuple[str, str], tuple[int, float | None]] = {}

    def book(self, tenant: str, counter: str, amount: int, ends_at: float | None) -> None:
        """Notes spending; never waits."""
        key = (tenant, counter)
        self._pending[key] = (self._pending.get(key, (0, None))[0] + amount, ends_at)

    async def flush(self) -> None:
        """Writes what has come together. Raises DatabaseDownError, and keeps it for the next time."""
        at = time.time()
        pending, self._pending = self._pending, {}
        rows = [
            {"tenant": tenant, "counter": counter, "value": amount, "ends_at": ends_at}
            for (tenant, counter), (amount, ends_at) in sorted(pending.items())  # one order: no deadlocks
            if amount
        ]
        try:
            if rows:
                async with self._database.write() as connection:
                    await connection.execute(_upsert(self._database), rows)
        except BaseException:
            for (tenant, counter), (amount, ends_at) in pending.items():
                self.book(tenant, counter, amount, ends_at)
            raise
        if self._flushed is not None:
            self._flushed(at)


def _upsert(database: Database) -> Any:
    insert = sqlite.insert(usage) if database.is_sqlite else postgresql.insert(usage)
    return insert.on_conflict_do_update(
        index_elements=[usage.c.tenant, usage.c.counter], set_={"value": usage.c.value + insert.excluded.value}
    )


async def load_usage(connection: AsyncConnection, now: float) -> list[tuple[str, str, int, float | None]]:
    """Tenant, counter, value and end of every period that is not over."""
    rows = await connection.execute(
        select(usage.c.tenant, usage.c.counter, usage.c.value, usage.c.ends_at).where(
            (usage.c.ends_at.is_(None)) | (usage.c.ends_at > now)
        )
    )
    return [(tenant, counter, int(value), ends_at) for tenant, counter, value, ends_at in rows]


async def spent(scope: Scope, counter: str) -> int:
    """One counter's value in the database."""
    row = await scope.one(usage, usage.c.counter == counter)
    return int(row["value"]) if row else 0


async def forget_old(connection: AsyncConnection, now: float) -> None:
    """Deletes periods that ended long ago."""
    await connection.execute(delete(usage).where(usage.c.ends_at < now - KEEP_S))


class Spending(msgspec.Struct, frozen=True):
    """What was spent of one budget: `scope` is `tenant`, `agent:NAME` or `key:ID`; money in US dollars."""

    scope: str
    period: str
    unit: str
    spent: float
    ends_at: datetime | None


async def spending(scope: Scope) -> tuple[Spending, ...]:
    """Every budget's spending in the periods under way; at most 1,000."""
    now = time.time()
    rows = await scope.many(
        usage, usage.c.ends_at.is_(None) | (usage.c.ends_at > now), order=usage.c.counter, limit=1_000
    )
    found = []
    for row in rows:
        whose, period, unit = row["counter"].split("|")
        value = row["value"] / MICRO if unit == "usd" else float(row["value"])
        found.append(
            Spending(whose, period, "usd" if unit == "usd" else "tokens", value, moment_or_none(row["ends_at"]))
        )
    return tuple(found)
