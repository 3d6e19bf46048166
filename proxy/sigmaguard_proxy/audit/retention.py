"""How long records are kept, and the job that lets them go. Knows ages; erasing itself is `erase`.

Contents and personal parts are erased in place. Whole records are removed from the old end only, and a
signed base says where the chain begins from then on.
"""

import time

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.append import MINUTE_US, MINUTES_KEPT_US, Appender, signed_values
from sigmaguard_proxy.audit.chain import Head
from sigmaguard_proxy.audit.entries import Act, new_act_id
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection
from sigmaguard_proxy.audit.rows import entry_to_row
from sigmaguard_proxy.audit.shipping import unknown_price
from sigmaguard_proxy.store.database import Database

DAY_US = 86_400_000_000
PRUNE_BATCH = 5_000
ACTOR = "sigmaguard"
PRUNED = "records.pruned"


class Retention(msgspec.Struct, frozen=True):
    """Days a tenant's data is kept; 0 keeps it for ever. Content is only there where a tenant opted in."""

    content_days: int = 30
    personal_days: int = 0
    record_days: int = 0


async def keep_house(database: Database, appender: Appender, defaults: Retention, now_us: int) -> None:
    """Lets go of everything that is past its time, for every tenant. Raises DatabaseDownError."""
    for tenant, kept in (await retentions(database, defaults)).items():
        await _drop_minutes(database, tenant, now_us)
        eraser = Eraser(database, appender, ACTOR, "retention")
        if kept.content_days:
            await eraser.erase(Selection(tenant, before_us=now_us - kept.content_days * DAY_US), Part.CONTENT)
        if kept.personal_days:
            await eraser.erase(Selection(tenant, before_us=now_us - kept.personal_days * DAY_US), Part.PERSONAL)
        if kept.record_days:
            await prune(database, appender, tenant, now_us - kept.record_days * DAY_US)


async def _drop_minutes(database: Database, tenant: str, now_us: int) -> None:
    """Counts by minute end after two days; those by hour stay."""
    last = (now_us - MINUTES_KEPT_US) // MINUTE_US
    async with database.write() as connection:
        for table in (tables.counts, tables.latencies):
            old = table.c.tenant == tenant, table.c.span == 1, table.c.minute < last
            await connection.execute(delete(table).where(*old))


async def retentions(database: Database, defaults: Retention) -> dict[str, Retention]:
    """What holds for each tenant that has records."""
    own = tables.retention
    async with database.read() as connection:
        tenants = [row.tenant for row in await connection.execute(select(tables.chains.c.tenant))]
        set_by_tenant = {
            row.tenant: Retention(row.content_days, row.personal_days, row.record_days)
            for row in await connection.execute(select(own))
        }
    return {tenant: set_by_tenant.get(tenant, defaults) for tenant in tenants}


async def set_retention(connection: AsyncConnection, tenant: str, kept: Retention) -> None:
    """Gives a tenant a retention of its own."""
    own = tables.retention
    await connection.execute(delete(own).where(own.c.tenant == tenant))
    await connection.execute(insert(own).values(tenant=tenant, **msgspec.structs.asdict(kept)))


async def prune(database: Database, appender: Appender, tenant: str, before_us: int) -> int:
    """Removes whole records older than a time from the chain's old end; how many. The newest record always stays."""
    total = 0
    while True:
        async with database.write() as connection:
            removed = await _prune_batch(connection, appender, tenant, before_us)
        total += removed
        if removed < PRUNE_BATCH:
            break
    if total:
        await database.forget_freed()
    return total


async def _prune_batch(connection: AsyncConnection, appender: Appender, tenant: str, before_us: int) -> int:
    table = tables.records
    own = table.c.tenant == tenant
    first = (await connection.execute(select(func.min(table.c.sequence)).where(own))).scalar()
    if first is None:
        return 0
    batch = (
        select(table.c.sequence, table.c.at_us, table.c.hash)
        .where(own, table.c.sequence >= first)
        .order_by(table.c.sequence)
        .limit(PRUNE_BATCH + 1)
    )
    rows = (await connection.execute(batch)).all()
    last = None
    for row in rows[:-1]:  # the newest record is never removed: it carries the chain
        if row.at_us >= before_us:
            break
        last = row
    if last is None:
        return 0
    upto = int(last.sequence)
    count = upto - int(first) + 1
    details = {"first": int(first), "last": upto, "before_us": before_us}
    act = Act(new_act_id(), time.time(), tenant, ACTOR, PRUNED, f"{count} records", details)
    now_us = time.time_ns() // 1000
    await appender.append(connection, [entry_to_row(act, unknown_price)], now_us)
    points, contents = tables.checkpoints, tables.contents
    await connection.execute(delete(points).where(points.c.tenant == tenant, points.c.sequence <= upto))
    base = appender.sign_base(Head(tenant, upto, bytes(last.hash)), now_us)
    await connection.execute(insert(points).values(**signed_values(base), base=1))
    gone = select(table.c.id).where(own, table.c.sequence <= upto)
    await connection.execute(delete(contents).where(contents.c.tenant == tenant, contents.c.id.in_(gone)))
    await connection.execute(delete(table).where(own, table.c.sequence <= upto))
    return count
