"""A dashboard's questions, answered as reading every record would answer them."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import delete

from sigmaguard_proxy.audit import queries, tables
from sigmaguard_proxy.audit.append import MINUTE_US
from sigmaguard_proxy.audit.rows import ActFacts, Facts
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.store.database import Database
from tests.audit_records import exchange, open_recorder, record_all, ship_all

HOUR_US = 60 * MINUTE_US
NOW_US = time.time_ns() // 1000


@pytest.fixture
async def written(tmp_path: Path, database: Database) -> list[ExchangeRecord]:
    """400 records over the last four hours, with an act among them and another tenant beside."""
    chance = random.Random(5)
    records = [
        exchange(
            number,
            "acme",
            at=(NOW_US - chance.randrange(4 * HOUR_US)) / 1e6,
            added_ms=chance.lognormvariate(1, 1),
            status=chance.choice((200, 200, 200, 502)),
        )
        for number in range(400)
    ]
    record_all(tmp_path, [*records, *(exchange(number, "other") for number in range(20))])
    recorder, wal = open_recorder(tmp_path)
    recorder.record_act("acme", "anna", "policy.promoted", "basic", {"to": 2})
    wal.close()
    await ship_all(tmp_path, database)
    return records


async def test_pages_show_every_record_once_newest_first(database: Database, written: list[ExchangeRecord]) -> None:
    seen: list[queries.Line] = []
    before: tuple[int, int] | None = None
    async with database.read() as connection:
        while page := await queries.lines(connection, "acme", queries.Filter(kind="exchange"), before=before, limit=70):
            seen += page
            before = (page[-1].at_us, page[-1].sequence)
    assert [one.id for one in seen] == [one.exchange for one in sorted(written, key=lambda one: -one.at)]


async def test_filters_select_what_they_say(database: Database, written: list[ExchangeRecord]) -> None:
    since = NOW_US - HOUR_US
    cases = {
        queries.Filter(agent="agent-1", kind="exchange"): lambda one: one.subject.agent == "agent-1",
        queries.Filter(rule="injection.override"): lambda one: one.rule == "injection.override",
        queries.Filter(notable=True): lambda one: one.intended != "allow" or one.status >= 400,
        queries.Filter(since_us=since, kind="exchange"): lambda one: one.at * 1e6 >= since,
        queries.Filter(until_us=since, key="key_2"): lambda one: one.at * 1e6 < since and one.subject.key == "key_2",
        queries.Filter(action="block", notable=True): lambda one: one.action == "block",
    }
    async with database.read() as connection:
        for which, wanted in cases.items():
            found = await queries.lines(connection, "acme", which, limit=500)
            assert {one.id for one in found} == {one.exchange for one in written if wanted(one)}, which
        (act,) = await queries.lines(connection, "acme", queries.Filter(kind="act"))
        assert (act.actor, act.act, act.target) == ("anna", "policy.promoted", "basic")


async def test_detail_tells_everything_and_never_another_tenants(
    database: Database, written: list[ExchangeRecord]
) -> None:
    record = written[7]
    async with database.read() as connection:
        found = await queries.detail(connection, "acme", record.exchange)
        assert await queries.detail(connection, "other", record.exchange) is None
        (act,) = await queries.lines(connection, "acme", queries.Filter(kind="act"))
        told = await queries.detail(connection, "acme", act.id)
    assert found is not None and isinstance(found.facts, Facts) and found.personal is not None
    assert (found.personal.remote, found.personal.input_findings) == (record.remote, record.input_findings)
    assert (found.facts.model, found.facts.timings) == (record.model, dict(record.timings))
    assert told is not None and isinstance(told.facts, ActFacts) and told.facts.details == {"to": 2}


@pytest.mark.parametrize("step", [1, 15, 60])
@pytest.mark.parametrize("by", [None, "agent", "action", "rule"])
async def test_counts_are_those_of_the_records(
    database: Database, written: list[ExchangeRecord], step: int, by: queries.Group | None
) -> None:
    def group(one: ExchangeRecord) -> str:
        return {"agent": one.subject.agent, "action": one.action, "rule": one.rule}.get(by or "", "")

    expected: Counter[tuple[int, str]] = Counter()
    errors: Counter[tuple[int, str]] = Counter()
    for one in written:
        at = round(one.at * 1e6) // (step * MINUTE_US) * (step * MINUTE_US)
        expected[at, group(one)] += 1
        errors[at, group(one)] += one.status >= 500
    async with database.read() as connection:
        found = await queries.counts(connection, "acme", NOW_US - 6 * HOUR_US, NOW_US + 1, step_minutes=step, by=by)
    assert {(one.at_us, one.group): one.exchanges for one in found} == dict(expected)
    assert {(one.at_us, one.group): one.errors for one in found} == dict(errors)
    assert sum(one.input_tokens for one in found) == 400 * 100


@pytest.fixture
async def twelve_days(tmp_path: Path, database: Database) -> list[ExchangeRecord]:
    """300 records over twelve days, shipped in three batches."""
    chance = random.Random(7)
    records = [
        exchange(number, "acme", at=(NOW_US - chance.randrange(12 * 24 * HOUR_US)) / 1e6) for number in range(300)
    ]
    for at in range(0, 300, 100):
        record_all(tmp_path, records[at : at + 100])
        await ship_all(tmp_path, database)
    return records


@pytest.mark.parametrize("days", [1, 3, 7])
@pytest.mark.parametrize(("since_hours", "until_hours"), [(12 * 24, 0), (200, 3), (61, 30), (20, 2)])
async def test_counts_by_day_are_exact_at_both_ends(
    database: Database, twelve_days: list[ExchangeRecord], days: int, since_hours: int, until_hours: int
) -> None:
    step = days * 24 * HOUR_US
    since = (NOW_US - since_hours * HOUR_US) // HOUR_US * HOUR_US
    until = (NOW_US - until_hours * HOUR_US) // HOUR_US * HOUR_US
    expected: Counter[tuple[int, str]] = Counter()
    for one in twelve_days:
        at = round(one.at * 1e6)
        if since <= at < until:
            expected[at // step * step, one.subject.agent] += 1
    async with database.read() as connection:
        found = await queries.counts(connection, "acme", since, until, step_minutes=days * 1440, by="agent")
    assert {(one.at_us, one.group): one.exchanges for one in found} == dict(expected)


async def test_a_month_by_agent_reads_whole_days(database: Database, twelve_days: list[ExchangeRecord]) -> None:
    """The hours could be lost and the whole days still be told: they are what is read."""
    day = 24 * HOUR_US
    begins, ends = (NOW_US - 10 * day) // day * day, NOW_US // day * day
    async with database.write() as connection:
        await connection.execute(delete(tables.counts).where(tables.counts.c.span == 60))
    async with database.read() as connection:
        found = await queries.counts(connection, "acme", begins, ends, step_minutes=1440)
    assert sum(one.exchanges for one in found) == sum(begins <= one.at * 1e6 < ends for one in twelve_days)


@pytest.mark.parametrize("hours", [5, 30])
async def test_quantiles_are_within_five_percent(database: Database, written: list[ExchangeRecord], hours: int) -> None:
    wanted = (0.5, 0.9, 0.99)
    async with database.read() as connection:
        since = NOW_US - hours * HOUR_US
        found = await queries.quantiles(connection, "acme", since, NOW_US + 1, "added", wanted)
        nothing = await queries.quantiles(connection, "nobody", since, NOW_US, "added", wanted)
    exact = sorted(one.added_ms for one in written)
    for quantile, value in zip(wanted, found, strict=True):
        assert value == pytest.approx(exact[round(quantile * len(exact)) - 1], rel=0.05)
    assert nothing == [None, None, None]


async def test_too_many_buckets_are_refused(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(ValueError, match="longer step"):
            await queries.counts(connection, "acme", 0, NOW_US, step_minutes=1)
