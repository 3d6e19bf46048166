"""Every test of the audit log that needs a database runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sigmaguard_proxy.store.database import Database, open_database, sqlite_url
from sigmaguard_proxy.store.migrate import migrate
from tests.control_servers import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(str(tmp_path / "test.sqlite"))
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    await migrate(opened)
    yield opened
    await opened.close()
