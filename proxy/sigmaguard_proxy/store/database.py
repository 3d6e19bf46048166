"""One database, SQLite or PostgreSQL: transactions, and one error for `it is not there`. Knows no table."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from sigmaguard.errors import ConfigError

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
BUSY_MS = 5_000  # SQLite allows one writer; a short transaction of ours ends long before this
# What is deleted is overwritten: an erased person must not stay in free pages
PRAGMAS = (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
CONNECT_TIMEOUT_S = 3.0
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
POOL = 5  # connections a process; the control plane's reads and writes are short and few
_WRITES = "sigmaguard_writes"


class DatabaseDownError(OSError):
    """The database cannot be reached or gave up; what was asked may be asked again later."""


class DatabaseDamagedError(DatabaseDownError):
    """SQLite's file is no database, or parts of it are not what was written: no waiting mends that."""


class Database:
    """An async engine with two ways in: `read()` and `write()`, each one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path | None:
        """SQLite's file, None for PostgreSQL and for a database in memory."""
        name = self.engine.url.database
        return Path(name) if self.is_sqlite and name else None

    @asynccontextmanager
    async def read(self, *, isolated: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection in one transaction; `isolated`: all its reads see one state. Raises DatabaseDownError."""
        async with self._transaction(writes=False, isolated=isolated) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in one transaction: all of it happens or, on any exception, none. Raises DatabaseDownError."""
        async with self._transaction(writes=True) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, *, writes: bool, isolated: bool = False) -> AsyncIterator[AsyncConnection]:
        connection = await self._connect()
        try:
            await connection.execution_options(**{_WRITES: writes})
            if isolated and not self.is_sqlite:  # a transaction of SQLite is isolated anyway
                await connection.execution_options(isolation_level="REPEATABLE READ")
            async with connection.begin():
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise DatabaseDownError(_reason(error)) from error
        except DBAPIError as error:
            if _is_damage(error):
                raise self._damaged() from error
            if error.connection_invalidated:
                raise DatabaseDownError(_reason(error)) from error
            raise
        finally:
            await connection.close()

    async def _connect(self) -> AsyncConnection:
        try:
            return await self.engine.connect()
        # asyncpg's own errors come unwrapped while there is no connection yet
        except (DBAPIError, PoolTimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise (self._damaged() if _is_damage(error) else DatabaseDownError(_reason(error))) from error

    def _damaged(self) -> DatabaseDamagedError:
        return DatabaseDamagedError(
            f"database: {self.file} is damaged, or not a database; stop the server, put it and its -wal and -shm away "
            "and restore your backup of it (without one a new database begins empty)"
        )

    async def forget_freed(self) -> bool:
        """Empties SQLite's journal, which still holds pages as they were; False where readers are in its way.

        PostgreSQL drops what was deleted in its own time (autovacuum). Raises DatabaseDownError.
        """
        if self.file is None:
            return True
        connection = await self._connect()
        try:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            row = await (await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")).fetchone()
            return bool(row is not None and row[0] == 0)
        except sqlite3.DatabaseError as error:
            raise (self._damaged() if _is_damage(error) else DatabaseDownError(_reason(error))) from error
        finally:
            await connection.close()

    async def close(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()


def _is_damage(error: BaseException) -> bool:
    origin = getattr(error, "orig", None) or error
    # the low byte is the kind, the rest says which part of it (sqlite.org/rescode.html)
    return isinstance(origin, sqlite3.Error) and getattr(origin, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def _reason(error: BaseException) -> str:
    # SQLAlchemy's message repeats the statement and its values: those may be secrets
    origin = getattr(error, "orig", None) or error
    return f"database: {type(origin).__name__}"


def open_database(url: str) -> Database:
    """A database from a SQLAlchemy URL; nothing is connected yet. Raises ConfigError.

    `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST:PORT/NAME`; the driver is chosen here.
    """
    try:
        parsed = make_url(url)
    except Exception as error:  # SQLAlchemy raises several kinds for a bad URL
        raise ConfigError("database_url: not a URL; write postgresql://USER:PASSWORD@HOST:PORT/NAME") from error
    driver = DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(f"database_url: `{parsed.drivername}` is not supported; use postgresql or sqlite")
    parsed = parsed.set(drivername=driver)
    engine = _sqlite(parsed) if driver.startswith("sqlite") else _postgresql(parsed)
    return Database(engine)


def sqlite_url(path: str) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=path).render_as_string()


def _postgresql(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=POOL,
        max_overflow=POOL,
        pool_pre_ping=True,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_recycle=1800,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": 30.0},
        hide_parameters=True,
    )


def _sqlite(url: URL) -> AsyncEngine:
    options: dict[str, Any] = {} if url.database else {"poolclass": StaticPool}
    engine = create_async_engine(url, hide_parameters=True, **options)

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        # the driver's own transaction handling begins late and never for DDL; ours says BEGIN itself
        connection.isolation_level = None
        _make_private(url.database)
        try:
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except sqlite3.DatabaseError:
            connection.close()  # its thread would keep the process from ending
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # a transaction that will write takes the lock at once: upgrading later can fail half-way through
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_private(database: str | None) -> None:
    """A file SQLite has just made is its owner's alone; so are the journals, which take its mode over."""
    path = Path(database or ":memory:")
    with suppress(OSError):  # in memory, or not ours
        if path.stat().st_size == 0:
            path.chmod(0o600)
