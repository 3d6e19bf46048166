"""A detector that hangs or raises in bursts: the policy's `on_fault` is obeyed, others go on, it heals by itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import DetectorError
from sigmaguard.model import Action, Finding, Mode, OnFault
from sigmaguard.policy.compiled import Policy
from tests.chaos.witness import Seen, at_rest, recorded_once, see, until
from tests.engine.fakes import Waits, Words, active, blocks, masks, policy_of
from tests.proxy.scripted import Gateway, chat, completion, gateway, whole

INLINE = policy_of(blocks("forbidden"), masks("swordfish"))
FAULTS = pytest.mark.parametrize("on_fault", list(OnFault))
POOL: dict[str, Any] = {"pool_threads": 2, "pool_queue": 4}


async def crowd(gate: Gateway, count: int, word: str = "text") -> list[Seen]:
    """So many different chats at once."""
    return list(await asyncio.gather(*(see(gate, chat(f"{word} {number}")) for number in range(count))))


@FAULTS
async def test_a_hanging_detector_is_shed_and_heals(on_fault: OnFault) -> None:
    """Both threads hang and the queue is full: no exchange waits longer than its budget, none is forgotten."""
    hanging = Waits(Words({"forbidden": "test.bad"}, "waits"))
    policy = policy_of(active(hanging, Action.BLOCK, on_fault=on_fault), budget_ms=1_500.0, on_fault=on_fault)
    async with gateway(policy, script=whole(completion("fine")), **POOL) as gate:
        loop, pool = asyncio.get_running_loop(), gate.plane.services.inspecting.pool
        since = loop.time()
        during = await crowd(gate, 40)
        assert loop.time() - since < 10.0  # two budgets and a slow machine; never the hang's own half minute
        # two threads may each have taken a batch of four, and four wait; all others were turned away at once
        assert pool.shed >= 40 - (4 + 4 + 4)
        if on_fault is OnFault.CLOSED:
            assert {one.status for one in during} == {503}
            assert {one.code for one in during} == {"detector_timeout", "detector_failed"}
            assert gate.provider.received == []  # nothing uninspected has left
        else:
            assert {one.status for one in during} == {200}
        records = await gate.recorder.after(40)
        recorded_once(records, during)
        assert {fault.kind for record in records for fault in record.faults} == {"detector_timeout", "detector_failed"}

        gate.directory.policy = INLINE  # what needs no pool is served meanwhile
        assert {one.status for one in await crowd(gate, 10, "inline")} == {200}
        pooled = active(Words({"forbidden": "test.bad"}, "pooled", Cost.POOLED), Action.BLOCK)
        gate.directory.policy = policy_of(pooled, budget_ms=10_000.0)  # and what does: a hung thread is replaced
        assert (await see(gate, chat("forbidden"))).status == 403
        gate.directory.policy = policy

        hanging.go_on.set()
        await until(lambda: pool.waiting == 0)
        after = [await see(gate, chat(f"after {number}")) for number in range(4)]
        assert [one.status for one in after] == [200] * 4
        assert (await see(gate, chat("forbidden"))).status == 403  # and it looks again
        assert not [record for record in gate.recorder.records[-5:] if record.faults]
        await at_rest(gate)


async def test_shadow_does_not_feel_a_hanging_detector() -> None:
    hanging = Waits(Words({"forbidden": "test.bad"}, "waits"))
    policy = policy_of(active(hanging, Action.BLOCK), budget_ms=300.0)
    async with gateway(policy, Mode.SHADOW, whole(completion("fine")), **POOL) as gate:
        during = await crowd(gate, 20)
        assert {(one.status, one.headers["x-sigmaguard-mode"]) for one in during} == {(200, "shadow")}
        assert len(gate.provider.received) == 20
        records = await gate.recorder.after(20)
        recorded_once(records, during)
        assert all(record.faults for record in records)  # passed, but not unnoticed
        hanging.go_on.set()
        await at_rest(gate)


async def test_work_nobody_waits_for_any_more_is_not_done_afterwards() -> None:
    """After a hang a detector does not first work off what has long been answered."""
    inner = Words({"forbidden": "test.bad"}, "waits")
    hanging = Waits(inner)
    policy = policy_of(active(hanging, Action.BLOCK), budget_ms=300.0)
    async with gateway(policy, script=whole(completion("fine")), pool_threads=1, pool_queue=32) as gate:
        pool = gate.plane.services.inspecting.pool
        # one after the other, until every thread and every spare of it hangs
        stuck = [await see(gate, chat("stuck"))]
        while pool.waiting == 0:
            stuck.append(await see(gate, chat("stuck")))
        late = await crowd(gate, 20, "too late")
        assert {one.status for one in [*stuck, *late]} == {503}
        hanging.go_on.set()
        await until(lambda: pool.waiting == 0)
        assert (await see(gate, chat("fresh"))).status == 200
        assert "fresh" in inner.seen and not [text for text in inner.seen if text.startswith("too late")]


class Moody:
    """Raises while it is ill, and always for one text: a bug that one input brings out."""

    def __init__(self, cost: Cost) -> None:
        self.name, self.version, self.cost = "moody", "1", cost
        self.is_ill = False
        self._inner = Words({"forbidden": "test.bad"}, "moody")

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """What `Words` finds, or an exception: one of its own or any other."""
        if self.is_ill:
            raise DetectorError("ill")
        if any("poison" in passage.segment.text for passage in passages):
            raise ZeroDivisionError
        return self._inner.detect(passages)

    def hold(self, text: str) -> int:
        """As `Words` does."""
        return self._inner.hold(text)


def moody_policy(cost: Cost, on_fault: OnFault) -> tuple[Moody, Policy]:
    """The detector and a policy of it alone."""
    moody = Moody(cost)
    return moody, policy_of(active(moody, Action.BLOCK, on_fault=on_fault), on_fault=on_fault)


@FAULTS
@pytest.mark.parametrize("cost", list(Cost))
async def test_a_detector_that_raises_in_bursts(cost: Cost, on_fault: OnFault) -> None:
    moody, policy = moody_policy(cost, on_fault)
    expected = 503 if on_fault is OnFault.CLOSED else 200
    seen: list[Seen] = []
    async with gateway(policy, script=whole(completion("fine")), **{**POOL, "pool_queue": 64}) as gate:
        for burst in range(3):
            moody.is_ill = True
            ill = await crowd(gate, 15, f"ill {burst}")
            assert {one.status for one in ill} == {expected}
            moody.is_ill = False
            well = await crowd(gate, 15, f"well {burst}")
            assert {one.status for one in well} == {200}
            seen += [*ill, *well]
        # what failed was not remembered as clean: the same texts are looked at again
        moody.is_ill = True
        assert (await see(gate, chat("forbidden"))).status == expected
        moody.is_ill = False
        assert (await see(gate, chat("forbidden"))).status == 403
        records = await gate.recorder.after(92)
        recorded_once(records, seen)
        assert sum(bool(record.faults) for record in records) == 46
        assert {fault.kind for record in records for fault in record.faults} == {"detector_failed"}
        await at_rest(gate)


@pytest.mark.parametrize("cost", list(Cost))
async def test_one_poisoned_text_fails_its_own_exchange_alone(cost: Cost) -> None:
    """Pooled texts of several exchanges are run as one batch; an exception is that of one of them."""
    _, policy = moody_policy(cost, OnFault.CLOSED)
    async with gateway(policy, script=whole(completion("fine")), pool_threads=1, pool_queue=64) as gate:
        texts = [f"poison {number}" if number % 5 == 0 else f"good {number}" for number in range(30)]
        seen = await asyncio.gather(*(see(gate, chat(text)) for text in texts))
        assert [one.status for one in seen] == [503 if text.startswith("poison") else 200 for text in texts]
        recorded_once(await gate.recorder.after(30), seen)
