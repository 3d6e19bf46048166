"""Making sure that nobody else counts: one node for a data folder, and for a database that has no Redis beside it."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.store.database import Database

PATIENCE_S = 10.0  # a node that is being replaced drains first
RETRY_S = 0.1
LOCK = 0x5167_6D62  # a number of our own for PostgreSQL's advisory locks


class Alone:
    """Holds the locks while it lives; a process that dies lets go of them by dying."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._fd = -1
        self._connection: AsyncConnection | None = None

    async def take_folder(self, data: Path) -> None:
        """Locks the data folder. Raises ConfigError where another node has it."""
        self._fd = os.open(data / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"another Sigmaguard runs on data folder `{data}`; give this one its own --data"
                    ) from error
            await asyncio.sleep(RETRY_S)

    async def take_database(self, database: Database) -> None:
        """Locks PostgreSQL for this node. Raises ConfigError: two nodes would each count their own limits."""
        if database.is_sqlite:
            return
        connection = await database.engine.connect()
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        deadline = time.monotonic() + self._patience_s
        while True:
            taken = await connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK})
            if taken.scalar_one():
                self._connection = connection
                return
            if time.monotonic() > deadline:
                await connection.close()
                raise ConfigError(
                    "another Sigmaguard runs on this database: several nodes need a shared --redis-url "
                    "(SIGMAGUARD_REDIS_URL) so that limits hold across them"
                )
            await asyncio.sleep(RETRY_S)

    async def release(self) -> None:
        """Lets go."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.invalidate()  # a pooled connection would keep the lock
            await connection.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
