"""Transactions: all or nothing, one writer at a time, one error for a database that is gone."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, String, Table, func, insert, select, update

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.store.database import (
    Database,
    DatabaseDamagedError,
    DatabaseDownError,
    open_database,
    sqlite_url,
)
from sigmaguard_proxy.store.metadata import MetaData
from sigmaguard_proxy.store.scope import Scope
from tests.control_servers import until

own = MetaData()
things = Table(
    "things",
    own,
    Column("id", Integer, primary_key=True),
    Column("tenant", String(20), nullable=False),
    Column("value", Integer, nullable=False),
)
bare = Table("bare", own, Column("id", Integer, primary_key=True))


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.write() as connection:
        await connection.run_sync(own.create_all)
        await connection.execute(
            insert(things),
            [{"id": number, "tenant": "a" if number % 2 else "b", "value": 0} for number in range(10)],
        )
    return database


async def test_a_failed_write_leaves_nothing(filled: Database) -> None:
    with pytest.raises(KeyError):
        async with filled.write() as connection:
            await connection.execute(update(things).values(value=7))
            raise KeyError
    async with filled.read() as connection:
        assert (await connection.execute(select(func.sum(things.c.value)))).scalar_one() == 0


async def test_writers_wait_for_each_other(filled: Database) -> None:
    async def add() -> None:
        async with filled.write() as connection:
            statement = select(things.c.value).where(things.c.id == 1)
            statement = statement if filled.is_sqlite else statement.with_for_update()
            value = (await connection.execute(statement)).scalar_one()
            await connection.execute(update(things).where(things.c.id == 1).values(value=value + 1))

    await asyncio.gather(*(add() for _ in range(20)))
    async with filled.read() as connection:
        assert (await connection.execute(select(things.c.value).where(things.c.id == 1))).scalar_one() == 20


async def test_a_scope_sees_and_changes_only_its_own(filled: Database) -> None:
    async with filled.write() as connection:
        scope = Scope(connection, "a")
        assert {row["id"] for row in await scope.many(things)} == {1, 3, 5, 7, 9}
        assert await scope.one(things, things.c.id == 2) is None
        assert await scope.update(things, things.c.id == 2, values={"value": 9}) == 0
        assert await scope.update(things, values={"value": 1, "tenant": "b"}) == 5
        assert await scope.delete(things, things.c.id == 4) == 0
        await scope.insert(things, {"id": 100, "tenant": "b", "value": 3})
        assert await scope.count(things) == 6
        assert await Scope(connection, "b").count(things) == 5


async def test_a_scope_refuses_a_table_without_tenant(filled: Database) -> None:
    async with filled.read() as connection:
        scope = Scope(connection, "a")
        with pytest.raises(TypeError):
            scope.select(bare)
        with pytest.raises(TypeError):
            await scope.insert(bare, {"id": 1})
        with pytest.raises(ValueError):
            Scope(connection, "")


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    threads = threading.active_count()
    for url in (
        "postgresql://user:secret-word@127.0.0.1:1/none",
        f"postgresql://user:secret-word@/none?host={tmp_path}",
        sqlite_url(str(tmp_path / "no" / "folder.db")),
    ):
        gone = open_database(url)
        with pytest.raises(DatabaseDownError) as raised:
            async with gone.read() as connection:
                await connection.execute(select(1))
        assert "secret-word" not in str(raised.value)
        await gone.close()
    await until(lambda: threading.active_count() <= threads)  # the driver's thread of the file that cannot be opened


@pytest.mark.parametrize("url", ["mysql://a/b", "no url at all", "oracle+thing://x"])
def test_other_databases_are_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql"):
        open_database(url)


async def test_sqlite_files_are_their_owners_alone(tmp_path: Path) -> None:
    opened = open_database(sqlite_url(str(tmp_path / "new.sqlite")))
    async with opened.write() as connection:
        await connection.run_sync(own.create_all)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("new.sqlite*")}
    await opened.close()
    assert modes == dict.fromkeys(("new.sqlite", "new.sqlite-wal", "new.sqlite-shm"), 0o600)


async def test_a_damaged_file_is_told_from_a_database_that_is_down(tmp_path: Path) -> None:
    file = tmp_path / "sigmaguard.db"
    whole = open_database(sqlite_url(str(file)))
    async with whole.write() as connection:
        await connection.run_sync(own.create_all)
        await connection.execute(insert(things), [{"id": one, "tenant": "a", "value": one} for one in range(5_000)])
    await whole.close()
    content = file.read_bytes()
    half = len(content) // 2
    for damaged in (b"this is no database" * 500, content[:4096] + b"\xff" * (half - 4096) + content[half:]):
        file.write_bytes(damaged)
        database = open_database(sqlite_url(str(file)))
        with pytest.raises(DatabaseDamagedError, match=r"sigmaguard\.db is damaged.*restore your backup"):
            async with database.read() as connection:
                await connection.execute(select(func.sum(things.c.value)))
        await database.close()
