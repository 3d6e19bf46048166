"""Brings write-ahead records into the database exactly once. Knows transactions, no thread and no clock of its own.

Exactly once, because a record and the position of its segment are stored in one transaction; a commit
whose answer was lost is found out by asking the database for the positions again.
"""

import fcntl
import os
import time
from pathlib import Path

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from sigmaguard_proxy.audit import positions, tables
from sigmaguard_proxy.audit.anchors import FILE, read_anchors, save_anchors, set_aside
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.chain import Signed
from sigmaguard_proxy.audit.entries import Act, entry_to_bytes, new_act_id
from sigmaguard_proxy.audit.keys import load_signer
from sigmaguard_proxy.audit.rows import Price, Row, entry_to_row
from sigmaguard_proxy.audit.setback import SET_BACK, Lost, lost_heads
from sigmaguard_proxy.audit.source import Batch, Source
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import Database

BATCH_RECORDS = 1_000
ANCHOR_EVERY_S = 2.0
LOST_KEPT = 16  # heads of a tenant that its database lost; whoever sets it back again and again fills no disk
WAL_FOLDER = "wal"


def unknown_price(model: str, input_tokens: int, output_tokens: int) -> float:
    """No price table: nothing is known of money."""
    return -1.0


class ShipLock:
    """Held by the one process that ships a data folder; gone with the process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ship.lock"
        self._fd = -1

    @property
    def is_held(self) -> bool:
        """Whether we hold it."""
        return self._fd >= 0

    def take(self) -> bool:
        """Takes the lock where nobody has it; whether we hold it now."""
        if self._fd >= 0:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Lets another process ship."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Shipping:
    """Ships the write-ahead folders under `folder` (`DATA/audit`); whoever calls holds the ShipLock."""

    def __init__(self, folder: Path, database: Database, log: Log, price: Price = unknown_price) -> None:
        self.folder = folder
        self._database = database
        self._log = log
        self._price = price
        self.appender = Appender(load_signer(folder))
        self._source: Source | None = None
        self._known: set[str] = set()
        self._batch_records = BATCH_RECORDS
        self._check_ids = False
        anchors = self._load_anchors()
        self._anchors = {one.tenant: one for one in anchors}
        self._lost = [one for one in anchors if self._anchors[one.tenant] is not one]
        self._anchored_at = 0.0
        self._anchors_changed = False
        self.shipped = 0
        self.oldest_at: float | None = None

    @property
    def source(self) -> Source | None:
        """What is being read, None until the database was asked how far it is."""
        return self._source

    @property
    def lost_heads(self) -> int:
        """Heads the database lost that no person has taken out of the anchors yet."""
        return len(self._lost)

    async def ship(self) -> int:
        """Ships one batch; how many records it brought, -1 where there was nothing at all to do.

        Raises DatabaseDownError (then nothing of the batch was stored, or all of it was and the next call knows).
        """
        source = await self._opened()
        batch = source.read(self._batch_records)
        if not batch:
            self.oldest_at = None
            self._save_anchors(force=False)
            return -1
        self.oldest_at = min((entry.at for entry in batch.entries), default=None)
        try:
            heads = await self._store(batch)
        except (positions.MovedElsewhereError, IntegrityError):
            # another process shipped the same part, or the database was set back to an older state
            self._source, self._check_ids = None, True
            return 0
        except DBAPIError as error:
            self._source = None
            return await self._single_out(batch, error)
        except BaseException:
            self._source = None  # the commit may have happened: ask
            raise
        self._batch_records, self._check_ids = BATCH_RECORDS, False
        self._anchors.update(heads)
        self._anchors_changed = self._anchors_changed or bool(heads)
        self._report(batch)
        self._known.update(moved.segment for moved in batch.moved)
        await self._forget(source.advance(batch))
        self.shipped += len(batch.entries)
        self._save_anchors(force=False)
        return len(batch.entries)

    async def ship_all(self) -> int:
        """Ships until nothing is left; how many records. Raises DatabaseDownError."""
        total = 0
        while True:
            brought = await self.ship()
            if brought < 0:
                self._save_anchors(force=True)
                return total
            total += brought

    def close(self) -> None:
        """Writes the anchors."""
        self._save_anchors(force=True)

    async def _opened(self) -> Source:
        if self._source is None:
            async with self._database.read() as connection:
                known = await positions.load(connection)
            self._known = set(known)
            self._source = Source(self.folder / WAL_FOLDER, known)
        return self._source

    async def _store(self, batch: Batch) -> dict[str, Signed]:
        rows = [entry_to_row(entry, self._price) for entry in batch.entries]
        now_us = time.time_ns() // 1000
        async with self._database.write() as connection:
            if self._check_ids and rows:
                table = tables.records
                found = await connection.execute(select(table.c.id).where(table.c.id.in_([row.id for row in rows])))
                rows = _without(rows, {row.id for row in found})
            tenants = {row.tenant for row in rows}
            await positions.move(connection, batch.moved, self._known, now_us)
            lost = await lost_heads(connection, [self._anchors[one] for one in tenants if one in self._anchors])
            rows = [*(entry_to_row(_told(one), self._price) for one in lost), *rows]
            heads = await self.appender.append(connection, rows, now_us)
        self._keep_lost(lost)
        return heads

    def _keep_lost(self, lost: list[Lost]) -> None:
        """What the database no longer has stays vouched for, also after the chain has gone on from an older place."""
        for one in lost:
            tenant = one.anchor.tenant
            self._log.error("audit_set_back", tenant=tenant, seen=one.anchor.sequence, found=one.sequence)
            if sum(kept.tenant == tenant for kept in self._lost) < LOST_KEPT:
                self._lost.append(one.anchor)

    def _load_anchors(self) -> list[Signed]:
        """The anchors of before; a damaged file keeps nothing from being stored, and the verifier tells of it."""
        try:
            return read_anchors(self.folder / FILE)
        except msgspec.MsgspecError:
            self._log.error("audit_anchors_damaged", kept_in=set_aside(self.folder))
            return []

    async def _forget(self, removed: list[str]) -> None:
        gone = [segment for segment in removed if segment in self._known]
        if gone:
            async with self._database.write() as connection:
                await positions.forget(connection, gone)
            self._known.difference_update(gone)

    async def _single_out(self, batch: Batch, error: DBAPIError) -> int:
        """A record that the database refuses must not hold up all others: smaller batches find it.

        Found, it is kept in a file, and an act in the chain says so. Where even that cannot be stored,
        the database is what is wrong, and the error is raised.
        """
        if len(batch.entries) != 1:
            self._batch_records = max(1, len(batch.entries) // 2)
            return 0
        entry = batch.entries[0]
        row = entry_to_row(entry, self._price)
        name = self._keep("refused", entry_to_bytes(entry))
        details = {"kind": type(error.orig).__name__, "kept_in": name}
        act = Act(new_act_id(), time.time(), row.tenant, "sigmaguard", "audit.record_refused", row.id, details)
        self._log.error("audit_record_refused", record=row.id, kept_in=name, error=type(error.orig).__name__)
        source = await self._opened()
        stand_in = msgspec.structs.replace(batch, entries=[act])
        self._anchors.update(await self._store(stand_in))
        self._known.update(moved.segment for moved in batch.moved)
        await self._forget(source.advance(batch))
        return 1

    def _keep(self, why: str, payload: bytes) -> str:
        path = self.folder / "refused" / f"{why}-{time.time_ns()}.bin"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_bytes(payload)
        return path.name

    def _report(self, batch: Batch) -> None:
        for segment, damage in batch.damage:
            self._log.error("audit_segment_damaged", segment=segment, start=damage.start, end=damage.end)
        for segment, payload in batch.refused:
            name = self._keep("not-understood", payload)
            self._log.error("audit_record_not_understood", segment=segment, kept_in=name)

    def _save_anchors(self, *, force: bool) -> None:
        now = time.monotonic()
        if not self._anchors_changed or (not force and now - self._anchored_at < ANCHOR_EVERY_S):
            return
        save_anchors(self.folder, [*self._lost, *self._anchors.values()])
        self._anchored_at, self._anchors_changed = now, False


def _told(lost: Lost) -> Act:
    anchor = lost.anchor
    details = {"seen": anchor.sequence, "hash": anchor.hash.hex(), "at_us": anchor.at_us, "found": lost.sequence}
    return Act(new_act_id(), time.time(), anchor.tenant, "sigmaguard", SET_BACK, anchor.tenant, details)


def _without(rows: list[Row], ids: set[str]) -> list[Row]:
    seen = set(ids)
    fresh: list[Row] = []
    for row in rows:
        if row.id not in seen:
            seen.add(row.id)
            fresh.append(row)
    return fresh
