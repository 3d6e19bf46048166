"""Redis and PostgreSQL that hang: reachable, silent, and worse than gone. Traffic goes on, and it heals by itself.

That they die and come back is proven by tests/proxy/control/test_failsafe.py and, under load and with the
audit log counted, by tests/proxy/audit/test_audit_crash.py.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.witness import until
from tests.control_servers import Postgres, Valkey
from tests.control_site import Site, site

DEADLINE_S = 40.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def freeze(pids: list[int], *, go_on: bool = False) -> None:
    """SIGSTOP: connections stay open, nothing answers. `go_on` lets them."""
    for one in pids:
        os.kill(one, signal.SIGCONT if go_on else signal.SIGSTOP)


async def key_of(place: Site) -> str:
    """A virtual key with limits, so that every exchange needs the counters."""
    await place.claim_owner()
    order = {"name": "k", "limits": {"requests_per_minute": 100_000}}
    key: str = (await place.owner.do("POST", "/tenants/default/keys", order))["secret"]
    await place.in_force()
    return key


async def degraded(place: Site, part: str, *, expected: bool) -> None:
    """Waits until readiness names a part, or no longer does."""
    await until(lambda: (part in place.node.degraded()) is expected, DEADLINE_S)


async def test_redis_hangs(tmp_path: Path, valkey: Valkey) -> None:
    async with site(tmp_path / "data", redis_url=valkey.url) as place:
        key = await key_of(place)
        assert (await place.chat(key=key))[0] == 200
        assert valkey._process is not None
        freeze([valkey._process.pid])
        loop = asyncio.get_running_loop()
        try:
            since = loop.time()
            answers = await asyncio.gather(*(place.chat(f"hello {number}", key=key) for number in range(60)))
            first = loop.time() - since
            assert {status for status, _, _ in answers} == {200}
            assert first < 10.0  # half a second each for those that find out, side by side; never their sum of 30
            await degraded(place, "redis", expected=True)
            since = loop.time()
            answers = [await place.chat(f"again {number}", key=key) for number in range(10)]
            assert {status for status, _, _ in answers} == {200}
            assert loop.time() - since < 10 * 0.5  # known to be away: not waited for by everyone anew
        finally:
            freeze([valkey._process.pid], go_on=True)
        await degraded(place, "redis", expected=False)
        assert (await place.chat(key=key))[0] == 200


async def test_postgresql_hangs(tmp_path: Path, postgres: Postgres) -> None:
    async with site(tmp_path / "data", database_url=postgres.database()) as place:
        key = await key_of(place)
        frozen = family(int((postgres._server.pgdata / "postmaster.pid").read_text().splitlines()[0]))
        freeze(frozen)
        loop = asyncio.get_running_loop()
        try:
            since = loop.time()
            answers = await asyncio.gather(*(place.chat(f"hello {number}", key=key) for number in range(60)))
            assert {status for status, _, _ in answers} == {200}
            assert loop.time() - since < 10.0  # nothing an exchange does waits for the database
        finally:
            freeze(frozen, go_on=True)
        records = place.node._audit
        assert records is not None
        await records.flush(DEADLINE_S)  # every record arrives
        async with place.node.control.database.read() as connection:
            rows = await connection.exec_driver_sql("SELECT id FROM audit_records WHERE id LIKE 'exc%%'")
            recorded = sorted(rows.scalars().all())
        assert recorded == sorted(headers["x-sigmaguard-exchange"] for _, _, headers in answers)
        await degraded(place, "database", expected=False)
        await degraded(place, "audit", expected=False)
