"""Records reach the database exactly once, in their writers' order, whatever happens on the way."""

import asyncio
import io
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DataError

from sigmaguard.errors import ConfigError
from sigmaguard.model import Subject
from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.audit_log import AuditLog
from sigmaguard_proxy.audit.entries import Act, entry_to_bytes
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection
from sigmaguard_proxy.audit.keys import load_signer, load_trust
from sigmaguard_proxy.audit.retention import prune
from sigmaguard_proxy.audit.rows import Row
from sigmaguard_proxy.audit.shipper import Shipper
from sigmaguard_proxy.audit.shipping import ShipLock, Shipping
from sigmaguard_proxy.audit.source import Batch
from sigmaguard_proxy.audit.wal import segments
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.store.database import Database, DatabaseDownError
from tests.audit_records import exchange, open_recorder, problems, record_all, ship_all
from tests.control_servers import until


async def _ids(database: Database, tenant: str = "default") -> list[str]:
    table = tables.records
    async with database.read() as connection:
        found = await connection.execute(select(table.c.id).where(table.c.tenant == tenant).order_by(table.c.sequence))
        return [str(row.id) for row in found]


def _exchanges(records: list[ExchangeRecord]) -> list[str]:
    return [record.exchange for record in records]


async def test_in_order_exactly_once_and_nothing_is_left(tmp_path: Path, database: Database) -> None:
    records = [exchange(number) for number in range(2_500)]
    record_all(tmp_path, records)
    assert await ship_all(tmp_path, database) == len(records)
    assert await ship_all(tmp_path, database) == 0
    assert await _ids(database) == _exchanges(records)
    assert await problems(tmp_path, database) == []
    assert segments(tmp_path / "audit" / "wal" / "worker-0") == []
    async with database.read() as connection:
        assert (await connection.execute(select(tables.positions))).all() == []


async def test_a_living_writers_segment_is_followed(tmp_path: Path, database: Database) -> None:
    recorder, wal = open_recorder(tmp_path, segment_bytes=20_000)
    shipping = Shipping(tmp_path / "audit", database, Log("test"))
    records = [exchange(number) for number in range(200)]
    for at, record in enumerate(records):
        recorder.record(record)
        if at % 37 == 0:
            await shipping.ship_all()
    await shipping.ship_all()
    assert await _ids(database) == _exchanges(records)
    assert len(segments(wal.folder)) == 1  # the one being written to stays
    wal.close()


async def test_writers_of_several_folders_interleave_in_one_chain(tmp_path: Path, database: Database) -> None:
    """Four data folders, as of four machines, ship into one database at the same time."""
    folders = [tmp_path / f"node-{number}" for number in range(4)]
    records = {folder: [exchange(number, ("a", "b")[number % 2]) for number in range(300)] for folder in folders}
    for folder, written in records.items():
        record_all(folder, written)
    shippings = [Shipping(folder / "audit", database, Log("test")) for folder in folders]
    for one in shippings:
        one._batch_records = 25

    async def ship(one: Shipping) -> None:
        while True:
            try:
                if await one.ship() < 0:
                    return
            except DatabaseDownError:  # SQLite allows one writer at a time and may give up waiting
                continue
            one._batch_records = 25

    await asyncio.gather(*map(ship, shippings))
    for tenant in ("a", "b"):
        ids = await _ids(database, tenant)
        assert Counter(ids) == Counter(
            record.exchange for written in records.values() for record in written if record.subject.tenant == tenant
        )
        for written in records.values():  # each writer's order is kept
            own = [record.exchange for record in written if record.subject.tenant == tenant]
            assert [one for one in ids if one in set(own)] == own
    for folder in folders[1:]:  # every node knows every other's key
        trusted = folders[0] / "audit" / "trusted"
        trusted.mkdir(exist_ok=True)
        (trusted / f"{folder.name}.pub").write_bytes((folder / "audit" / "signing.pub").read_bytes())
    assert await problems(folders[0], database) == []
    assert any("known key" in str(one) for one in await problems(folders[1], database))


async def test_two_that_ship_the_same_folder_store_nothing_twice(tmp_path: Path, database: Database) -> None:
    """The lock prevents this; where a file system has no locks, the database still does."""
    records = [exchange(number) for number in range(300)]
    record_all(tmp_path, records)
    shippings = [Shipping(tmp_path / "audit", database, Log("test")) for _ in range(3)]

    async def ship(one: Shipping) -> None:
        while True:
            one._batch_records = 20
            try:
                if await one.ship() < 0:
                    return
            except DatabaseDownError:
                continue

    await asyncio.gather(*map(ship, shippings))
    assert await _ids(database) == _exchanges(records)
    assert await problems(tmp_path, database) == []


class LosesAnswers(Shipping):
    """Commits, then fails as if the answer to the commit had been lost on the way."""

    lose = True

    async def _store(self, batch: Batch) -> Any:
        heads = await super()._store(batch)
        if self.lose:
            self.lose = False
            raise DatabaseDownError("the connection broke")
        return heads


async def test_a_commit_whose_answer_was_lost_is_not_done_again(tmp_path: Path, database: Database) -> None:
    records = [exchange(number) for number in range(50)]
    record_all(tmp_path, records)
    shipping = LosesAnswers(tmp_path / "audit", database, Log("test"))
    with pytest.raises(DatabaseDownError):
        await shipping.ship()
    await shipping.ship_all()
    assert await _ids(database) == _exchanges(records)


async def test_a_database_set_back_without_its_positions_gets_no_duplicates(tmp_path: Path, database: Database) -> None:
    recorder, wal = open_recorder(tmp_path)
    records = [exchange(number) for number in range(50)]
    for record in records[:30]:
        recorder.record(record)
    await ship_all(tmp_path, database)
    async with database.write() as connection:
        await connection.execute(delete(tables.positions))
    for record in records[30:]:
        recorder.record(record)
    await ship_all(tmp_path, database)
    assert await _ids(database) == _exchanges(records)
    assert await problems(tmp_path, database) == []
    wal.close()


async def test_odd_values_are_made_fit_and_stop_nothing(tmp_path: Path, database: Database) -> None:
    odd = [
        exchange(1, model="nul\0byte", endpoint="\ud800 lone surrogate"),
        exchange(2, score=float("nan"), added_ms=float("inf"), input_tokens=2**62),
        exchange(3, subject=Subject("default", "x" * 10_000, "")),
        exchange(4, at=-1e300),
    ]
    sound = [exchange(number) for number in range(10, 14)]
    record_all(tmp_path, [*odd, *sound])
    await ship_all(tmp_path, database)
    assert await _ids(database) == _exchanges([*odd, *sound])
    assert await problems(tmp_path, database) == []


class Refuses(Shipping):
    """A database that refuses one record, as one with a narrower column would."""

    poison = ""

    async def _store(self, batch: Batch) -> Any:
        if any(not isinstance(entry, Act) and entry.exchange == self.poison for entry in batch.entries):
            raise DataError("INSERT", {}, ValueError("too long"))
        return await super()._store(batch)


async def test_a_record_the_database_refuses_holds_up_no_other_and_is_kept(tmp_path: Path, database: Database) -> None:
    records = [exchange(number) for number in range(40)]
    record_all(tmp_path, records)
    shipping = Refuses(tmp_path / "audit", database, Log("test", io.StringIO()))
    shipping.poison = records[17].exchange
    await shipping.ship_all()
    ids = await _ids(database)
    assert [one for one in ids if one.startswith("exc_")] == _exchanges(records[:17] + records[18:])
    assert ids[17].startswith("act_")
    (kept,) = (tmp_path / "audit" / "refused").iterdir()
    assert kept.read_bytes() == entry_to_bytes(records[17])
    assert await problems(tmp_path, database) == []


def test_only_one_process_ships_a_folder(tmp_path: Path) -> None:
    first, second = ShipLock(tmp_path), ShipLock(tmp_path)
    assert first.take() and not second.take()
    first.release()
    assert second.take()
    second.release()


async def test_the_shipper_follows_and_stops_with_nothing_left(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    def price(model: str, sent: int, got: int) -> float:
        return sent * 1e-6 + got * 2e-6

    log = AuditLog(tmp_path, database_url, 0, Log("test"), price=price)
    standby = AuditLog(tmp_path, database_url, 1, Log("test"), price=price)
    log.start()
    standby.start()
    try:
        records = [exchange(number) for number in range(20)]
        for at, record in enumerate(records):
            (log, standby)[at % 2].recorder.record(record)
        act = standby.recorder.record_act("default", "anna", "mode.changed", "everything", {"to": "off"})
        await log.flush()
        assert Counter(await _ids(database)) == Counter([*_exchanges(records), act])
        async with database.read() as connection:
            hours = select(tables.counts.c.cost_micros).where(tables.counts.c.span == 60)
            cost = (await connection.execute(hours)).scalars().all()
        assert sum(cost) == 20 * (100 + 40)
        log.recorder.record(exchange(77))
    finally:
        await log.stop()
    standby.recorder.record(exchange(78))
    await standby.flush()  # takes over from the one that ended
    await standby.stop()
    assert len(await _ids(database)) == 23
    assert (log.backlog()[0], standby.backlog()[0]) == (0, 0)
    assert await problems(tmp_path, database) == []


async def test_a_damaged_signing_key_is_told_and_nothing_is_lost(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    record_all(tmp_path, [exchange(1)])
    key = tmp_path / "audit" / "signing.key"
    key.write_bytes(b"x")
    output = io.StringIO()
    shipper = Shipper(tmp_path / "audit", database_url, Log("test", output))
    shipper.start()
    await until(lambda: shipper.is_down)
    await shipper.stop()
    assert "signing.key is damaged" in output.getvalue() and shipper.waiting_records == 1
    with pytest.raises(ConfigError, match="put your backup of it back"):
        load_trust(tmp_path / "audit")
    key.unlink()
    assert await ship_all(tmp_path, database) == 1


def test_the_same_entry_always_becomes_the_same_facts() -> None:
    from sigmaguard_proxy.audit.rows import entry_to_row

    record = exchange(3, at=time.time())

    def row() -> Row:
        return entry_to_row(record, lambda *_: -1.0)

    assert row().facts == row().facts
    assert row().personal != row().personal  # salted


async def _set_back(database: Database, sequence: int) -> None:
    """The database as a backup has it that was made at this record, positions included."""
    records, chains = tables.records, tables.chains
    async with database.write() as connection:
        old = (await connection.execute(select(records.c.hash).where(records.c.sequence == sequence))).scalar()
        await connection.execute(delete(records).where(records.c.sequence > sequence))
        await connection.execute(delete(tables.checkpoints))
        await connection.execute(update(chains).values(sequence=sequence, hash=old))


@pytest.mark.parametrize("later", [2, 40])
async def test_a_database_set_back_stays_found_out_when_the_chain_has_gone_on(
    tmp_path: Path, database: Database, later: int
) -> None:
    record_all(tmp_path, [exchange(number) for number in range(10)])
    await ship_all(tmp_path, database)
    await _set_back(database, 5)
    for _ in range(2):  # the anchors move on with what comes now, but not away from what was there
        record_all(tmp_path, [exchange(number) for number in range(later)])
        await ship_all(tmp_path, database)
    found = [str(one) for one in await problems(tmp_path, database)]
    assert any("#10" in line and "anchor" in line for line in found), found
    async with database.read() as connection:
        acts = select(tables.records.c.facts).where(tables.records.c.act == "audit.set_back")
        told = [bytes(row.facts) for row in await connection.execute(acts)]
    assert len(told) == 1 and b'"seen":10' in told[0] and b'"found":5' in told[0]
    assert (
        Shipping(tmp_path / "audit", database, Log("test")).lost_heads == 1
    )  # what the metric says, also after a start
    (tmp_path / "audit" / "anchors.json").rename(tmp_path / "anchors-put-away.json")
    assert Shipping(tmp_path / "audit", database, Log("test")).lost_heads == 0


async def test_a_database_begun_anew_is_found_out(tmp_path: Path, database: Database) -> None:
    record_all(tmp_path, [exchange(number) for number in range(10)])
    await ship_all(tmp_path, database)
    async with database.write() as connection:
        for table in (tables.records, tables.chains, tables.checkpoints, tables.positions):
            await connection.execute(delete(table))
    record_all(tmp_path, [exchange(number) for number in range(30)])
    await ship_all(tmp_path, database)
    assert any("#10" in str(one) and "anchor" in str(one) for one in await problems(tmp_path, database))


async def test_a_chain_others_went_on_with_is_not_taken_for_set_back(tmp_path: Path, database: Database) -> None:
    record_all(tmp_path, [exchange(number) for number in range(5)])
    await ship_all(tmp_path, database)
    signer = load_signer(tmp_path / "audit")
    await Eraser(database, Appender(signer), "anna", "asked").erase(Selection("default", key="key_1"), Part.PERSONAL)
    assert await prune(database, Appender(signer), "default", 2**60) > 0  # all but the newest record
    record_all(tmp_path, [exchange(6)])
    await ship_all(tmp_path, database)
    assert await problems(tmp_path, database) == []


async def test_damaged_anchors_hold_up_no_record_and_are_told(tmp_path: Path, database: Database) -> None:
    record_all(tmp_path, [exchange(1)])
    await ship_all(tmp_path, database)
    (tmp_path / "audit" / "anchors.json").write_bytes(b"")  # what power loss may leave of a file
    record_all(tmp_path, [exchange(2)])
    assert await ship_all(tmp_path, database) == 1
    (told,) = await problems(tmp_path, database)
    assert "damaged and set aside" in str(told)
