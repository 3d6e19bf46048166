"""A rate holds in any 60 seconds, whatever the clock shows and whatever is corrected."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sigmaguard_proxy.control.counters import Claim, Limit, MemoryCounters, Settlement, Window
from sigmaguard_proxy.control.journal import CountJournal


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


steps = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 5)), min_size=1, max_size=120)


@given(steps, st.integers(1, 12))
def test_never_more_than_the_limit_in_any_window(taken: list[tuple[float, int]], most: int) -> None:
    clock = Clock()
    counters = MemoryCounters(clock)
    granted: list[tuple[float, int]] = []
    for number, (pause, amount) in enumerate(taken):
        clock.now += pause
        if not counters.claim_now(Claim(str(number), "t", (Limit("rate", "r", most, amount),))).refused:
            granted.append((clock.now, amount))
    for start, _ in granted:
        assert sum(amount for at, amount in granted if start <= at < start + 60.0) <= most


@given(steps, st.integers(5, 12))
def test_retry_after_is_enough(taken: list[tuple[float, int]], most: int) -> None:
    clock = Clock()
    counters = MemoryCounters(clock)
    for number, (pause, amount) in enumerate(taken):
        clock.now += pause
        claim = Claim(str(number), "t", (Limit("rate", "r", most, amount),))
        grant = counters.claim_now(claim)
        if grant.refused:
            clock.now += grant.retry_after_s
            assert not counters.claim_now(claim).refused


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(-5, 9)), max_size=80))
def test_a_window_counts_like_a_list(changes: list[tuple[int, int]]) -> None:
    window = Window()
    for second, amount in changes:
        before = window.total
        window.add(second, amount)
        assert window.total == sum(count for _, count in window.buckets)
        assert amount <= 0 or window.total == before + amount
        assert all(one[0] < other[0] for one, other in itertools.pairwise(window.buckets))


def test_the_journal_brings_counts_back(tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("journal")
    first = CountJournal(folder)
    counters = MemoryCounters(journal=first)
    limits = (Limit("rate", "r", 3), Limit("spend", "s", 100, 40, 4e9), Limit("gauge", "g", 5))
    assert not counters.claim_now(Claim("1", "t", limits)).refused
    first.flushed(0.0)
    used = (Limit("spend", "s", 100, 70, 4e9),)
    counters.settle(Settlement("1", "t", 0, used, (40,)))
    # no close: the process was killed in the middle of a line
    with (folder / "counts.now").open("ab") as file:
        file.write(b'[1,"rate","t"')
    second = CountJournal(folder)
    after = MemoryCounters(journal=second)
    second.restore(after)
    assert after.spent("t") == {"s": 70}
    assert [after.claim_now(Claim(str(n), "t", (Limit("rate", "r", 3),))).refused for n in range(3)] == ["", "", "r"]
    assert not after.claim_now(Claim("x", "t", (Limit("gauge", "g", 1),))).refused
