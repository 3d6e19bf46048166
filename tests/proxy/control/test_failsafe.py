"""The data plane serves by its last good state while PostgreSQL or Redis are gone, and says so."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sigmaguard.model import Mode
from sigmaguard_proxy.control.change import SYSTEM, Changes
from sigmaguard_proxy.control.permissions import EVERYWHERE
from sigmaguard_proxy.control.rows import Rows
from sigmaguard_proxy.control.snapshot import Snapshot, SnapshotBuilder
from sigmaguard_proxy.control.toggles import ToggleOrder, Toggles
from tests.control_servers import Postgres, Valkey
from tests.control_site import ATTACK, Site, site


@pytest.fixture(scope="module")
def mortal_postgres() -> Iterator[Postgres]:
    """A server that only these tests kill."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def mortal_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    yield server
    server.kill()


async def until_degraded(place: Site, wanted: set[str], timeout_s: float = 15.0) -> None:
    """Waits until readiness names exactly these parts, on both ports."""
    since = time.monotonic()
    while True:
        seen = []
        for url in (f"http://127.0.0.1:{place.node.port}/readyz", f"{place.admin}/readyz"):
            async with place.client.get(url) as answer:
                assert answer.status == 200  # degraded, not out of service
                seen.append(set((await answer.json())["degraded"]) - {"audit"})
        if seen == [wanted, wanted]:
            return
        assert time.monotonic() - since < timeout_s, seen


async def test_redis_goes_and_comes_back(tmp_path: Path, mortal_valkey: Valkey) -> None:
    async with site(tmp_path / "data", redis_url=mortal_valkey.url) as place:
        await place.claim_owner()
        order = {"name": "k", "limits": {"requests_per_minute": 5}}
        key = (await place.owner.do("POST", "/tenants/default/keys", order))["secret"]
        await place.in_force()
        assert (await place.chat(key=key))[0] == 200
        mortal_valkey.kill()
        answers = [(await place.chat(key=key))[0] for _ in range(12)]
        assert answers == [200] * 5 + [429] * 7  # this node counts by itself meanwhile, and exactly
        await until_degraded(place, {"redis"})
        await place.owner.do("PUT", "/toggle", {"mode": "shadow", "reason": "without Redis"})
        await place.in_force()
        assert (await place.chat(ATTACK))[2]["x-sigmaguard-mode"] == "shadow"
        mortal_valkey.start()
        await until_degraded(place, set())
        assert (await place.chat(key=key))[0] == 200
        async with place.client.get(f"{place.admin}/metrics") as answer:
            assert 'sigmaguard_degraded{part="redis"}' in await answer.text()


async def test_postgresql_goes_and_comes_back(tmp_path: Path, mortal_postgres: Postgres) -> None:
    async with site(tmp_path / "data", database_url=mortal_postgres.database()) as place:
        await place.claim_owner()
        order = {"name": "k", "limits": {"requests_per_minute": 1000}}
        key = (await place.owner.do("POST", "/tenants/default/keys", order))["secret"]
        await place.owner.do("PUT", "/toggle", {"mode": "shadow", "reason": "before"})
        await place.in_force()
        mortal_postgres.kill()
        try:
            for _ in range(5):
                status, _, headers = await place.chat(ATTACK, key=key)
                assert (status, headers["x-sigmaguard-mode"]) == (200, "shadow")
            await until_degraded(place, {"database"})
            refused = await place.owner.ask("PUT", "/toggle", {"mode": "off", "reason": "cannot be kept"})
            assert (refused.status, refused.body["code"]) == (503, "database_unavailable")
            assert (await place.chat(ATTACK, key=key))[2]["x-sigmaguard-mode"] == "shadow"
        finally:
            mortal_postgres.start()
        await until_degraded(place, set())
        await place.owner.do("PUT", "/toggle", {"mode": "enforce", "reason": "after"})
        await place.in_force()
        assert (await place.chat(ATTACK, key=key))[0] == 403


async def test_a_start_without_database_serves_by_what_was_last_good(tmp_path: Path, mortal_postgres: Postgres) -> None:
    url = mortal_postgres.database()
    async with site(tmp_path / "data", database_url=url, require_keys=True) as place:
        await place.claim_owner()
        key = (await place.owner.do("POST", "/tenants/default/keys", {"name": "k"}))["secret"]
        await place.owner.do("PUT", "/toggle", {"mode": "shadow", "reason": "before"})
        await place.in_force()
    mortal_postgres.kill()
    try:
        async with site(tmp_path / "data", database_url=url, require_keys=True) as place:
            status, _, headers = await place.chat(ATTACK, key=key)
            assert (status, headers["x-sigmaguard-mode"]) == (200, "shadow")
            assert (await place.chat(key="sg-wrong"))[0] == 401
            await until_degraded(place, {"database"})
            mortal_postgres.start()
            await until_degraded(place, set())
    finally:
        mortal_postgres.start()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_change_whose_notice_is_lost_is_obeyed_within_a_second(
    tmp_path: Path, mortal_postgres: Postgres, kind: str
) -> None:
    """Somebody else changes the database and tells nobody, as a node does whose Redis died with the message."""
    url = mortal_postgres.database() if kind == "postgresql" else ""
    async with site(tmp_path / "data", database_url=url) as place:
        assert (await place.chat(ATTACK))[0] == 403
        silent = Toggles(Changes(place.node.control.database, _Nobody(), lambda _: None), Mode.ENFORCE)
        snapshots = asyncio.Queue[float]()
        place.node.control.refresher.on_change(lambda _: snapshots.put_nowait(time.monotonic()))
        turned = []
        for mode in (Mode.SHADOW, Mode.ENFORCE, Mode.SHADOW):
            await silent.turn(EVERYWHERE, ToggleOrder(mode, "nobody is told"), SYSTEM)
            since = time.monotonic()
            turned.append(await asyncio.wait_for(snapshots.get(), 10.0) - since)
        assert (await place.chat(ATTACK))[2]["x-sigmaguard-mode"] == "shadow"
        assert min(turned) < 1.0, turned  # a machine busy with other tests may stretch one or two


class _Nobody:
    """Takes acts and keeps none."""

    def record_act(
        self, tenant: str, actor: str, action: str, target: str, details: Mapping[str, Any] | None = None
    ) -> str:
        """As if it were written down."""
        return f"{tenant} {actor} {action} {target} {details}"


async def test_limits_and_budgets_survive_a_restart(tmp_path: Path) -> None:
    limits = {"requests_per_minute": 10, "budgets": [{"period": "day", "tokens": 400}]}
    async with site(tmp_path / "data") as place:
        await place.claim_owner()
        key = (await place.owner.do("POST", "/tenants/default/keys", {"name": "k", "limits": limits}))["secret"]
        await place.in_force()
        assert [(await place.chat(key=key))[0] for _ in range(4)] == [200] * 4
        control = place.node.control
        control._ledger = None  # the process is killed before spending reaches the database: only the journal is left
    async with site(tmp_path / "data") as place:
        statuses = [(await place.chat(key=key))[0] for _ in range(10)]
        assert statuses == [200] * 6 + [429] * 4


async def test_a_second_node_without_redis_refuses_to_start(tmp_path: Path, mortal_postgres: Postgres) -> None:
    from sigmaguard.errors import ConfigError
    from sigmaguard_proxy.control.alone import Alone
    from sigmaguard_proxy.store.database import open_database

    url = mortal_postgres.database()
    async with site(tmp_path / "one", database_url=url):
        second = open_database(url)
        with pytest.raises(ConfigError, match="redis-url"):
            await Alone(patience_s=0.2).take_database(second)
        with pytest.raises(ConfigError, match="--data"):
            await Alone(patience_s=0.2).take_folder(tmp_path / "one")
        await second.close()
    again = open_database(url)
    alone = Alone(patience_s=5.0)
    await alone.take_database(again)
    await alone.release()
    await again.close()


class _Slow:
    """Builds snapshots like another, but only once the gate is open: a policy whose model takes its time to load."""

    def __init__(self, builder: SnapshotBuilder) -> None:
        self._builder = builder
        self.gate = threading.Event()
        self.begun = threading.Event()

    def build(self, rows: Rows) -> Snapshot:
        """The snapshot, late."""
        self.begun.set()
        self.gate.wait(30.0)
        return self._builder.build(rows)


async def test_an_agents_firewall_comes_back_without_waiting_for_a_policy_to_compile(tmp_path: Path) -> None:
    async with site(tmp_path / "data") as place:
        owner, agents = await place.claim_owner(), "/tenants/default/agents"
        free = {"firewall": False, "trust_header": True}
        for name in ("back", "gone", "untrusted", "inheriting", "kept"):
            off = {"policy": "off", "trust_header": True}
            await owner.do("PUT", f"{agents}/{name}", off if name == "inheriting" else free)
        await place.in_force()
        refresher = place.node.control.refresher
        slow = _Slow(refresher._builder)
        refresher._builder = slow  # type: ignore[assignment]

        async def seen() -> dict[str, str]:
            names = ("back", "gone", "untrusted", "inheriting", "kept", "eased")
            answers = {name: await place.chat(ATTACK, x_sigmaguard_agent=name) for name in names}
            return {name: answer[2]["x-sigmaguard-verdict"] for name, answer in answers.items()}

        try:
            await owner.do("PUT", f"{agents}/eased", {**free, "description": "new"})
            assert await asyncio.to_thread(slow.begun.wait, 10.0)
            await owner.do("PUT", f"{agents}/back", {"trust_header": True})
            await owner.do("DELETE", f"{agents}/gone")
            await owner.do("PUT", f"{agents}/untrusted", {"firewall": False})
            await owner.do("PUT", f"{agents}/inheriting", {"trust_header": True})
            guarded = dict.fromkeys(("back", "gone", "untrusted", "inheriting", "eased"), "block")
            async with asyncio.timeout(20.0):
                while await seen() != {**guarded, "kept": "allow"}:
                    pass
        finally:
            slow.gate.set()
        async with asyncio.timeout(30.0):
            while (now := await seen())["eased"] != "allow":
                assert now == {**guarded, "kept": "allow"}, "nothing comes back when the older build is done"
        assert now == {**guarded, "kept": "allow", "eased": "allow"}


async def test_what_is_taken_away_does_not_wait_for_a_policy_to_compile(tmp_path: Path) -> None:
    async with site(tmp_path / "data") as place:
        owner, keys = await place.claim_owner(), "/tenants/default/keys"
        made = [await owner.do("POST", keys, {"name": "k"}) for _ in range(4)]
        revoked, rotated, narrowed, kept = (one["secret"] for one in made)
        ids = [one["key"]["id"] for one in made]
        await place.in_force()
        refresher = place.node.control.refresher
        slow = _Slow(refresher._builder)
        refresher._builder = slow  # type: ignore[assignment]
        try:
            await owner.do("PUT", "/tenants/default/agents/bot", {})
            assert await asyncio.to_thread(slow.begun.wait, 10.0)
            await owner.do("DELETE", f"{keys}/{ids[0]}")
            renewed = (await owner.do("POST", f"{keys}/{ids[1]}/rotate"))["secret"]
            await owner.do("PATCH", f"{keys}/{ids[2]}", {"models": ["none"]})
            await owner.do("PATCH", f"{keys}/{ids[3]}", {"policy": "off"})
            await owner.do("PUT", "/toggle", {"mode": "shadow", "reason": "meanwhile"})

            async def seen() -> list[int]:
                return [(await place.chat(key=key))[0] for key in (revoked, rotated, narrowed, kept)]

            async with asyncio.timeout(10.0):
                while await seen() != [401, 401, 403, 200]:
                    pass
                while (await place.chat(ATTACK, key=kept))[2]["x-sigmaguard-mode"] != "shadow":
                    pass
            assert (await place.chat(key=renewed))[0] == 401, "what is new waits for the whole"
        finally:
            slow.gate.set()
        async with asyncio.timeout(30.0):
            while (await place.chat(key=renewed))[0] != 200:
                assert await seen() == [401, 401, 403, 200], "nothing comes back when the older build is done"
        assert await seen() == [401, 401, 403, 200]
