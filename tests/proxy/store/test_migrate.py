"""Migrations make exactly what is declared, however often and by however many they are run."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

import sigmaguard_proxy.control.tables  # noqa: F401
from sigmaguard.errors import ConfigError
from sigmaguard_proxy.audit.tables import counts
from sigmaguard_proxy.store.database import Database, open_database
from sigmaguard_proxy.store.metadata import metadata
from sigmaguard_proxy.store.migrate import alembic_config, migrate


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [
        one
        for one in compare_metadata(context, metadata)
        if not (isinstance(one, tuple) and one[0] == "remove_index" and not one[1].name.startswith("ix_"))
    ]


async def test_the_schema_is_what_is_declared(database: Database) -> None:
    await migrate(database)
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_many_may_migrate_at_once(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(4)]
    await asyncio.gather(*(migrate(one) for one in databases))
    async with databases[0].read() as connection:
        revisions = {row[0] for row in await connection.execute(text("SELECT version_num FROM alembic_version"))}
    assert revisions == set(ScriptDirectory.from_config(alembic_config()).get_heads())
    await migrate(databases[0])
    for one in databases:
        await one.close()


async def test_counts_by_day_are_summed_from_those_by_hour(database: Database) -> None:
    """A database from before the counts by day has them after its migration."""
    hours = [  # minute, agent, exchanges, input tokens
        (1440 * 20_000 + 60, "a", 3, 30),
        (1440 * 20_000 + 1380, "a", 4, 5),
        (1440 * 20_000 + 1380, "b", 1, 1),
        (1440 * 20_001, "a", 9, 2),
    ]
    async with database.write() as connection:
        await connection.run_sync(_migrate_to, "0001_audit")
        for minute, agent, exchanges, tokens in hours:
            values = {"tenant": "t", "span": 60, "minute": minute, "agent": agent, "exchanges": exchanges}
            rest = dict.fromkeys(("model", "mode", "action", "intended", "rule"), "x")
            numbers = {"errors": 0, "input_tokens": tokens, "output_tokens": 0, "cost_micros": 0}
            await connection.execute(insert(counts).values(**values, **rest, **numbers))
    await migrate(database)
    days = select(counts.c.minute, counts.c.agent, counts.c.exchanges, counts.c.input_tokens).where(
        counts.c.span == 1440
    )
    async with database.read() as connection:
        found = {tuple(row) for row in await connection.execute(days)}
    assert found == {(1440 * 20_000, "a", 7, 35), (1440 * 20_000, "b", 1, 1), (1440 * 20_001, "a", 9, 2)}


def _migrate_to(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def test_a_database_of_a_newer_version_is_refused_with_the_remedy(database: Database) -> None:
    await migrate(database)
    async with database.write() as connection:
        await connection.execute(
            text("UPDATE alembic_version SET version_num = '0999_later' WHERE version_num LIKE '%control%'")
        )
    with pytest.raises(ConfigError, match=r"newer version .*0999_later.* restore the backup"):
        await migrate(database)
