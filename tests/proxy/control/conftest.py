"""Control plane tests run on SQLite and PostgreSQL, counters in memory, over the link and in Redis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sigmaguard_proxy.store.database import Database, open_database, sqlite_url
from sigmaguard_proxy.store.migrate import migrate
from tests.control_servers import Postgres, Valkey


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(str(tmp_path / "test.db"))
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    await migrate(opened)
    yield opened
    await opened.close()
