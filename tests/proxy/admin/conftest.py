"""Admin API tests on a whole node: with SQLite and counters in memory, and with PostgreSQL and Redis.

A node with an owner is made once a module: hashing passwords well takes its time.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.control_servers import Postgres, Valkey
from tests.control_site import Site, site


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


@pytest.fixture(params=["embedded", "production"], scope="module")
def state(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of where state is kept."""
    if request.param == "embedded":
        return {}
    postgres: Postgres = request.getfixturevalue("postgres")
    valkey: Valkey = request.getfixturevalue("valkey")
    valkey.flush()
    return {"database_url": postgres.database(), "redis_url": valkey.url}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, state: dict[str, str]) -> AsyncIterator[Site]:
    """A node with an owner."""
    async with site(tmp_path_factory.mktemp("site"), **state) as running:
        await running.claim_owner()
        yield running
