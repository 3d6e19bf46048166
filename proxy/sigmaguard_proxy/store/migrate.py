"""Brings a database to the newest schema. Knows where the migrations are, not what they do."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
BRANCHES = ("control", "audit")
LOCK = 0x5167_6D61  # `Sigma`, a number of our own for PostgreSQL's advisory locks


async def migrate(database: Database) -> None:
    """Runs every migration not yet run, in one transaction; several processes may call it at once.

    Raises ConfigError where a newer version has already brought the database further than this one knows.
    """
    async with database.write() as connection:
        if not database.is_sqlite:  # SQLite's write transaction is a lock already
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if unknown:
        raise ConfigError(
            f"the database was upgraded by a newer version of Sigmaguard (it is at {', '.join(unknown)}); "
            "start that version, or restore the backup made before its first start"
        )
    command.upgrade(config, "heads")


def alembic_config() -> Config:
    """Alembic's settings: no ini file, one folder of versions for each branch."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(MIGRATIONS / branch) for branch in BRANCHES))
    return config
