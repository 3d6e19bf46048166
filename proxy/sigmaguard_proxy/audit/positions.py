"""How far each write-ahead segment has been brought to the database, as the database itself says."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.source import Moved


class MovedElsewhereError(RuntimeError):
    """Somebody else brought this part of a segment; look again."""


async def load(connection: AsyncConnection, segments: Iterable[str] | None = None) -> dict[str, int]:
    """Positions by segment: of these, or of all."""
    table = tables.positions
    statement = select(table.c.segment, table.c.position)
    if segments is not None:
        statement = statement.where(table.c.segment.in_(list(segments)))
    return {row.segment: int(row.position) for row in await connection.execute(statement)}


async def move(connection: AsyncConnection, moved: Sequence[Moved], known: set[str], now_us: int) -> None:
    """Moves positions on, in the transaction that stores what they stand for.

    `known` are segments that have a row. Raises MovedElsewhereError, or IntegrityError for a new
    segment, where another process was first: then nothing of the transaction may stay.
    """
    table = tables.positions
    for one in moved:
        if one.segment not in known:
            values = {"segment": one.segment, "position": one.end, "at_us": now_us}
            await connection.execute(insert(table).values(values))
            continue
        result = await connection.execute(
            update(table)
            .where(table.c.segment == one.segment, table.c.position == one.start)
            .values(position=one.end, at_us=now_us)
        )
        if result.rowcount != 1:
            raise MovedElsewhereError(one.segment)


async def forget(connection: AsyncConnection, segments: Sequence[str]) -> None:
    """Drops the positions of segments whose files are gone."""
    if segments:
        await connection.execute(delete(tables.positions).where(tables.positions.c.segment.in_(list(segments))))
