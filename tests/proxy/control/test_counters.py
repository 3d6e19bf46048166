"""One suite over the counters in memory, behind the link and in Redis: never too much, all or nothing, nothing lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from sigmaguard_proxy.control.counters import Claim, Counters, Limit, MemoryCounters, Settlement
from sigmaguard_proxy.control.counters_redis import RedisCounters, open_redis
from sigmaguard_proxy.control.link import LinkClient, LinkServer
from sigmaguard_proxy.tasks import Tasks
from tests.control_servers import Valkey, until

Booked = list[tuple[str, str, int]]


class Ground(Protocol):
    """Several workers' counters over one shared state."""

    workers: list[Counters]
    booked: Booked


class _Ground:
    def __init__(self, workers: list[Counters], booked: Booked) -> None:
        self.workers = workers
        self.booked = booked


@pytest.fixture(params=["memory", "link", "redis"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    booked: Booked = []

    def book(space: str, name: str, amount: int, _: float | None) -> None:
        booked.append((space, name, amount))

    tasks = Tasks()
    if request.param == "memory":
        yield _Ground([MemoryCounters(booked=book)] * 4, booked)
    elif request.param == "link":
        server = LinkServer(MemoryCounters(booked=book), lambda _: None)
        await server.start(tmp_path / "link.sock")
        clients = [LinkClient(tmp_path / "link.sock", tasks, lambda _: None) for _ in range(4)]
        for client in clients:
            await client.connected(5.0)
        yield _Ground(list(clients), booked)
        for client in clients:
            await client.close()
        await server.stop()
    else:
        valkey: Valkey = request.getfixturevalue("valkey")
        valkey.flush()
        client = open_redis(valkey.url)

        async def seed(_space: str, _name: str) -> int:
            return 0

        workers = [RedisCounters(client, seed, book, tasks) for _ in range(4)]
        yield _Ground(list(workers), booked)
        for worker in workers:
            await worker.close()
        await client.aclose()
    await tasks.drain(1.0)


def claim(number: int, *limits: Limit, space: str = "t") -> Claim:
    return Claim(f"exc_{number}", space, limits)


async def rush(ground: Ground, count: int, *limits: Limit) -> list[bool]:
    grants = await asyncio.gather(
        *(ground.workers[number % len(ground.workers)].claim(claim(number, *limits)) for number in range(count))
    )
    return [not grant.refused for grant in grants]


async def test_a_rate_is_exact_across_workers(ground: Ground) -> None:
    assert sum(await rush(ground, 200, Limit("rate", "key:a|requests", 50))) == 50
    refused = await ground.workers[0].claim(claim(999, Limit("rate", "key:a|requests", 50)))
    assert refused.refused == "key:a|requests"
    assert 1.0 <= refused.retry_after_s <= 61.0


async def test_amounts_count_as_much_as_they_are(ground: Ground) -> None:
    assert sum(await rush(ground, 30, Limit("rate", "key:a|tokens", 100, 30))) == 3
    grant = await ground.workers[1].claim(claim(99, Limit("rate", "key:a|tokens", 100, 10)))
    assert not grant.refused


async def test_a_refused_claim_takes_nothing(ground: Ground) -> None:
    full, free = Limit("rate", "full", 1), Limit("rate", "free", 3)
    assert not (await ground.workers[0].claim(claim(0, full))).refused
    for number in range(1, 10):
        answer = await ground.workers[number % 4].claim(claim(number, free, full))
        assert answer.refused == "full"
    assert sum(await rush(ground, 10, free)) == 3


async def test_places_are_given_back(ground: Ground) -> None:
    limit = Limit("gauge", "key:a|concurrent", 5)
    granted = await rush(ground, 20, limit)
    assert sum(granted) == 5
    for number, is_in in enumerate(granted):
        if is_in:
            ground.workers[number % 4].settle(Settlement(f"exc_{number}", "t", 0, (limit,), (1,)))

    async def again() -> int:
        return sum(await rush(ground, 20, limit))

    async with asyncio.timeout(5.0):
        total = 0
        while total < 5:  # settlements travel on their own
            total += await again()
    assert total == 5


async def test_spending_is_corrected_and_booked(ground: Ground) -> None:
    limit = Limit("spend", "key:a|day:x|usd", 1_000, 300, 4_000_000_000.0)
    grant = await ground.workers[0].claim(claim(1, limit))
    assert not grant.refused
    used = Limit("spend", limit.name, 1_000, 950, limit.ends_at)
    ground.workers[0].settle(Settlement("exc_1", "t", grant.second, (used,), (300,)))
    await until(lambda: sum(amount for *_, amount in ground.booked) == 950)
    worker, probe = ground.workers[1], Limit("spend", limit.name, 900, 0, limit.ends_at)
    async with asyncio.timeout(5.0):
        while not (await worker.claim(claim(2, probe))).refused:  # until the settlement has travelled
            pass
    assert (await worker.claim(claim(2, Limit("spend", limit.name, 1_000, 51, limit.ends_at)))).refused
    assert not (await worker.claim(claim(3, Limit("spend", limit.name, 1_000, 50, limit.ends_at)))).refused


async def test_spaces_do_not_share(ground: Ground) -> None:
    limit = Limit("rate", "tenant|requests", 1)
    for space in ("a", "b"):
        assert not (await ground.workers[0].claim(claim(1, limit, space=space))).refused
    assert (await ground.workers[1].claim(claim(2, limit, space="a"))).refused


async def test_token_corrections_open_the_rate_again(ground: Ground) -> None:
    limit = Limit("rate", "key:a|tokens", 100, 90)
    grant = await ground.workers[0].claim(claim(1, limit))
    used = Limit("rate", limit.name, 100, 20)
    ground.workers[0].settle(Settlement("exc_1", "t", grant.second, (used,), (90,)))
    async with asyncio.timeout(5.0):
        while (await ground.workers[0].claim(claim(2, Limit("rate", limit.name, 100, 80)))).refused:
            pass
    assert (await ground.workers[0].claim(claim(3, Limit("rate", limit.name, 100, 1)))).refused


async def test_a_worker_that_dies_gives_its_places_back(tmp_path: Path) -> None:
    server = LinkServer(MemoryCounters(), lambda _: None)
    await server.start(tmp_path / "link.sock")
    tasks = Tasks()
    doomed, other = (LinkClient(tmp_path / "link.sock", tasks, lambda _: None) for _ in range(2))
    for client in (doomed, other):
        await client.connected(5.0)
    limit = Limit("gauge", "g", 1)
    assert not (await doomed.claim(claim(1, limit))).refused
    assert (await other.claim(claim(2, limit))).refused
    assert doomed.transport is not None
    doomed._closing = True  # a killed process does not come back
    doomed.transport.abort()
    await until(lambda: len(server.lines) == 1)
    assert not (await other.claim(claim(3, limit))).refused
    for client in (doomed, other):
        await client.close()
    await server.stop()
    with pytest.raises(OSError):
        await other.claim(claim(4, limit))
    await tasks.drain(1.0)


async def test_a_lost_redis_is_an_oserror_at_once(tmp_path: Path) -> None:
    tasks = Tasks()
    client = open_redis(f"unix://{tmp_path}/none.sock")

    async def seed(_space: str, _name: str) -> int:
        return 0

    counters = RedisCounters(client, seed, lambda *_: None, tasks)
    async with asyncio.timeout(1.0):
        with pytest.raises(OSError):
            await counters.claim(claim(1, Limit("rate", "r", 1)))
    await counters.close()
    await tasks.drain(1.0)
    await client.aclose()


async def test_redis_is_seeded_with_what_was_spent(valkey: Valkey) -> None:
    valkey.flush()
    tasks = Tasks()
    client = open_redis(valkey.url)
    asked: list[str] = []

    async def seed(_space: str, name: str) -> int:
        asked.append(name)
        return 990

    counters = RedisCounters(client, seed, lambda *_: None, tasks)
    limit = Limit("spend", "b", 1_000, 11, 4_000_000_000.0)
    assert (await counters.claim(claim(1, limit))).refused == "b"
    assert not (await counters.claim(claim(2, Limit("spend", "b", 1_000, 10, limit.ends_at)))).refused
    assert asked == ["b"]
    await counters.close()
    await tasks.drain(1.0)
    await client.aclose()
