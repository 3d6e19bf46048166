"""Forgetting people and letting old records go: what must be gone is gone, and the chain still verifies."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from sigmaguard.model import Subject
from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection, ranges
from sigmaguard_proxy.audit.keys import load_signer
from sigmaguard_proxy.audit.retention import Retention, keep_house, prune, set_retention
from sigmaguard_proxy.store.database import Database
from tests.audit_records import EMAIL, exchange, problems, record_all, ship_all

NOW = time.time()
DAY = 86_400.0


@given(st.sets(st.integers(1, 60)))
def test_ranges_cover_exactly_the_numbers(numbers: set[int]) -> None:
    found = ranges(sorted(numbers))
    assert [one for first, last in found for one in range(first, last + 1)] == sorted(numbers)
    assert all(second[0] > first[1] + 1 for first, second in pairwise(found))


async def _fill(data: Path, database: Database, count: int = 40) -> None:
    """`count` records, the newest now, one a day; keys of two people; every fourth with content."""
    record_all(
        data,
        [
            exchange(
                number,
                "acme",
                at=NOW - (count - 1 - number) * DAY,
                subject=Subject("acme", "bot", ("key_anna", "key_otto")[number % 2]),
                remote=("192.0.2.1", "192.0.2.2")[number % 2],
                content=(b"question", b"answer") if number % 4 == 0 else None,
            )
            for number in range(count)
        ],
    )
    await ship_all(data, database)


async def _count(database: Database, *where: object) -> int:
    table = tables.records
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table).where(*where))).scalar_one())


async def _contents(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(tables.contents))).scalar_one())


def _eraser(data: Path, database: Database) -> Eraser:
    return Eraser(database, Appender(load_signer(data / "audit")), "anna", "she asked")


async def test_a_person_is_forgotten_and_the_chain_holds(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    assert await _eraser(tmp_path, database).erase(Selection("acme", key="key_anna"), Part.PERSONAL) == 20
    table = tables.records
    assert await _count(database, table.c.key == "key_anna") == 0
    assert await _count(database, table.c.key == "key_otto") == 20
    async with database.read() as connection:
        for row in (await connection.execute(select(table.c.personal))).all():
            assert b"key_anna" not in bytes(row.personal) and b"192.0.2.1" not in bytes(row.personal)
    assert await _contents(database) == 0  # all contents were hers
    assert await problems(tmp_path, database) == []
    assert await _count(database, table.c.act == "records.erased", table.c.actor == "anna") == 1
    # asked again there is nothing more to forget, and nothing more is recorded
    assert await _eraser(tmp_path, database).erase(Selection("acme", key="key_anna"), Part.PERSONAL) == 0
    assert await _count(database, table.c.act == "records.erased") == 1


def _files_with(data: Path, what: bytes) -> list[str]:
    return [path.name for path in data.rglob("*") if path.is_file() and what in path.read_bytes()]


async def test_no_file_of_the_data_folder_holds_what_was_erased(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    eraser = _eraser(tmp_path, database)
    assert await eraser.erase(Selection("acme", remote="192.0.2.1"), Part.PERSONAL) == 20
    assert eraser.is_overwritten
    assert _files_with(tmp_path, b"192.0.2.1") == []
    if database.is_sqlite:
        assert _files_with(tmp_path, b"192.0.2.2") == ["test.sqlite"]


async def test_no_file_of_the_data_folder_holds_what_retention_removed(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    (oldest,) = await _ids(database, 1)
    assert await prune(database, _eraser(tmp_path, database)._appender, "acme", round((NOW - 20.5 * DAY) * 1e6)) == 19
    assert _files_with(tmp_path, oldest.encode()) == []


async def test_a_journal_that_is_being_read_is_told_not_to_be_overwritten(tmp_path: Path, database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has no such file")
    await _fill(tmp_path, database)
    eraser = _eraser(tmp_path, database)
    async with database.read() as reading:
        await reading.execute(select(func.count()).select_from(tables.records))
        await eraser.erase(Selection("acme", remote="192.0.2.1"), Part.PERSONAL)
    assert not eraser.is_overwritten


async def _ids(database: Database, count: int) -> list[str]:
    table = tables.records
    async with database.read() as connection:
        found = await connection.execute(select(table.c.id).order_by(table.c.sequence).limit(count))
        return [str(row.id) for row in found]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection("acme", remote="192.0.2.2"), 20),
        (Selection("acme", digests=(EMAIL.digest,)), 27),
        (Selection("acme", digests=("0000000000000000",)), 0),
        (Selection("acme", agent="bot", before_us=round((NOW - 9.5 * DAY) * 1e6)), 30),
        (Selection("other"), 0),
    ],
)
async def test_what_is_selected_is_erased_and_nothing_else(
    tmp_path: Path, database: Database, selection: Selection, expected: int
) -> None:
    await _fill(tmp_path, database)
    assert await _eraser(tmp_path, database).erase(selection, Part.PERSONAL) == expected
    assert await _count(database, tables.records.c.personal == b"", tables.records.c.kind == "exchange") == expected
    assert await problems(tmp_path, database) == []


async def test_contents_alone_can_go(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    assert await _eraser(tmp_path, database).erase(Selection("acme"), Part.CONTENT) == 10
    assert await _contents(database) == 0
    assert await _count(database, tables.records.c.personal != b"") == 40
    assert await problems(tmp_path, database) == []


async def test_retention_keeps_to_the_days_of_each_tenant(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    record_all(tmp_path, [exchange(number, "keeper", at=NOW - 300 * DAY) for number in range(5)])
    await ship_all(tmp_path, database)
    async with database.write() as connection:
        await set_retention(connection, "keeper", Retention(0, 0, 0))
    appender = Appender(load_signer(tmp_path / "audit"))
    defaults = Retention(content_days=10, personal_days=20, record_days=30)
    await keep_house(database, appender, defaults, round(NOW * 1e6) + 1_000_000)
    table = tables.records
    assert await _count(database, table.c.tenant == "keeper", table.c.personal != b"") == 5
    own = table.c.tenant == "acme", table.c.kind == "exchange"
    assert await _count(database, *own) == 30
    assert await _count(database, *own, table.c.personal != b"") == 20
    assert await _contents(database) == 2
    assert await problems(tmp_path, database) == []
    await keep_house(database, appender, defaults, round(NOW * 1e6) + 2_000_000)
    assert await problems(tmp_path, database) == []


async def test_a_pruned_beginning_is_vouched_for_and_another_is_found(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database)
    appender = Appender(load_signer(tmp_path / "audit"))
    assert await prune(database, appender, "acme", round((NOW - 19.5 * DAY) * 1e6)) == 20
    assert await problems(tmp_path, database) == []
    async with database.write() as connection:  # a hand that removes two more than retention did
        table = tables.records
        await connection.execute(table.delete().where(table.c.sequence.in_([21, 22])))
    found = [str(one) for one in await problems(tmp_path, database)]
    assert any("#21 to #22 are missing" in one for one in found)


async def test_the_newest_record_is_never_pruned(tmp_path: Path, database: Database) -> None:
    await _fill(tmp_path, database, 3)
    appender = Appender(load_signer(tmp_path / "audit"))
    await prune(database, appender, "acme", round((NOW + DAY) * 1e6))
    assert await _count(database) >= 1
    assert await problems(tmp_path, database) == []
    record_all(tmp_path, [exchange(9, "acme")])
    await ship_all(tmp_path, database)
    assert await problems(tmp_path, database) == []
