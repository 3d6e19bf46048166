"""Migrations make exactly what is declared, however often and by however many they are run."""

import asyncio

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import sigmaguard_proxy.audit.tables
import sigmaguard_proxy.control.tables  # noqa: F401
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
