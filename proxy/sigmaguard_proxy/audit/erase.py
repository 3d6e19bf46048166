"""Forgetting: personal parts and contents emptied, the chain kept whole, the forgetting itself recorded.

An erased part leaves its digest (salted, so it cannot be guessed) and the sequence of the act that
erased it. The act and the erasure are one transaction.
"""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, delete, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.entries import Act, new_act_id
from sigmaguard_proxy.audit.reading import Stored
from sigmaguard_proxy.audit.rows import ACT, EXCHANGE, ActFacts, decode_facts, decode_personal, entry_to_row
from sigmaguard_proxy.audit.shipping import unknown_price
from sigmaguard_proxy.store.database import Database

BATCH = 1_000
ERASED = "records.erased"


class Part(StrEnum):
    """The two parts of a record that can be erased; erasing what is personal takes the content with it."""

    PERSONAL = "personal"
    CONTENT = "content"


class Selection(msgspec.Struct, frozen=True):
    """Which exchanges of a tenant: every condition given must hold. Empty conditions select everything.

    `before_us` microseconds since 1970, 0 for no bound. `remote` a caller's address; `digests` those of values
    of which some finding saw at least one. The last two are not indexed: the tenant's records are read through.
    """

    tenant: str
    ids: tuple[str, ...] = ()
    key: str = ""
    agent: str = ""
    before_us: int = 0
    remote: str = ""
    digests: tuple[str, ...] = ()


class Eraser:
    """Erases parts of records under one actor's name.

    `is_overwritten` is False where SQLite's journal, being read, could not be emptied of the old pages yet.
    """

    def __init__(self, database: Database, appender: Appender, actor: str, reason: str) -> None:
        self._database = database
        self._appender = appender
        self._actor = actor
        self._reason = reason
        self.is_overwritten = True

    async def erase(self, selection: Selection, what: Part) -> int:
        """Erases the contents of what is selected, and for `personal` what leads to a person as well; how many.

        Raises DatabaseDownError; batches already done stay done, and may be asked for again.
        """
        total, after = 0, 0
        while True:
            async with self._database.write() as connection:
                found, last = await self._select(connection, selection, what, after)
                if found:
                    await self._erase(connection, selection.tenant, found, what)
            total += len(found)
            if last is None:
                break
            after = last
        # also where nothing was left to erase: an earlier run may have found the journal being read
        self.is_overwritten = await self._database.forget_freed()
        return total

    async def _select(
        self, connection: AsyncConnection, selection: Selection, what: Part, after: int
    ) -> tuple[list[tuple[int, str]], int | None]:
        """The next batch as (sequence, id), and where to go on; None at the end."""
        table = tables.records
        statement = (
            select(table.c.sequence, table.c.id, table.c.personal)
            .where(*_conditions(selection, what), table.c.sequence > after)
            .order_by(table.c.sequence)
            .limit(BATCH)
            .with_for_update()
        )
        rows = (await connection.execute(statement)).all()
        found = [(int(row.sequence), str(row.id)) for row in rows if _concerns(selection, bytes(row.personal))]
        return found, int(rows[-1].sequence) if len(rows) == BATCH else None

    async def _erase(
        self, connection: AsyncConnection, tenant: str, found: Sequence[tuple[int, str]], what: Part
    ) -> None:
        sequences = [sequence for sequence, _ in found]
        parts = list(Part) if what is Part.PERSONAL else [Part.CONTENT]
        details: dict[str, Any] = {"parts": parts, "sequences": ranges(sequences), "reason": self._reason}
        act = Act(new_act_id(), time.time(), tenant, self._actor, ERASED, f"{len(found)} records", details)
        heads = await self._appender.append(connection, [entry_to_row(act, unknown_price)], time.time_ns() // 1000)
        by = heads[tenant].sequence
        table = tables.records
        own = and_(table.c.tenant == tenant, table.c.sequence.in_(sequences))
        kept = own, table.c.content_digest != b"", table.c.content_erased_by == 0
        await connection.execute(update(table).where(*kept).values(content_erased_by=by))
        if what is Part.PERSONAL:
            await connection.execute(update(table).where(own).values(personal=b"", key="", personal_erased_by=by))
        ids = [one for _, one in found]
        contents = tables.contents
        await connection.execute(delete(contents).where(contents.c.tenant == tenant, contents.c.id.in_(ids)))


def _conditions(selection: Selection, what: Part) -> list[ColumnElement[bool]]:
    table = tables.records
    conditions: list[ColumnElement[bool]] = [table.c.tenant == selection.tenant, table.c.kind == EXCHANGE]
    if what is Part.PERSONAL:
        conditions.append(table.c.personal != b"")
    else:
        conditions += [table.c.content_digest != b"", table.c.content_erased_by == 0]
    conditions.append(table.c.id.in_(selection.ids) if selection.ids else true())
    conditions.append(table.c.key == selection.key if selection.key else true())
    conditions.append(table.c.agent == selection.agent if selection.agent else true())
    conditions.append(table.c.at_us < selection.before_us if selection.before_us else true())
    return conditions


def is_selected(selection: Selection, record: Stored) -> bool:
    """Whether a stored exchange is among those selected; a person's erased records are nobody's any more."""
    searched = record.searched
    return (
        record.kind == EXCHANGE
        and (not selection.ids or record.id in selection.ids)
        and selection.key in ("", searched["key"])
        and selection.agent in ("", searched["agent"])
        and not (selection.before_us and record.at_us >= selection.before_us)
        and _concerns(selection, record.personal)
    )


def _concerns(selection: Selection, personal: bytes) -> bool:
    if not selection.remote and not selection.digests:
        return True
    if not personal:
        return False
    said = decode_personal(personal)
    if selection.remote and said.remote != selection.remote:
        return False
    seen = {finding.digest for finding in (*said.input_findings, *said.output_findings)}
    return not selection.digests or not seen.isdisjoint(selection.digests)


def ranges(sequences: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as [first, last] pairs."""
    found: list[list[int]] = []
    for number in sequences:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def covers(kind: str, facts: bytes, sequence: int, part: str) -> bool:
    """Whether a record is the act that erased this part of this record. Raises like `decode_facts`."""
    if kind != ACT:
        return False
    act = decode_facts(kind, facts)
    if not isinstance(act, ActFacts) or act.action != ERASED or part not in act.details.get("parts", ()):
        return False
    return any(first <= sequence <= last for first, last in act.details.get("sequences", ()))
