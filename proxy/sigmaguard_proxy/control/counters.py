"""Counts what is limited, all or nothing: rates in any 60 seconds, concurrency, budgets. In memory, in one process.

Knows names and numbers, no tenant and no model. `counters_link.py` lets workers share one of these,
`counters_redis.py` does the same in Redis; one test suite runs over all three.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

WINDOW_S = 60
SWEEP_EVERY = 4_096  # claims between two looks for windows that nobody uses any more
LEASE_S = 30.0  # a claim whose worker is gone gives its place back after this


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """One thing a claim asks for.

    `rate`: `amount` more in the last 60 s. `gauge`: one more at once. `spend`: `amount` more until
    `ends_at` (Unix seconds, None: for ever). At most `most` of it in all.
    """

    kind: Literal["rate", "gauge", "spend"]
    name: str
    most: int
    amount: int = 1
    ends_at: float | None = None


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """Everything one exchange asks for at once; `id` settles it. `space` keeps tenants apart."""

    id: str
    space: str
    limits: tuple[Limit, ...]


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """The answer: `refused` names the limit that stood in the way, empty where the claim is granted.

    `second` is when it was counted, by the clock of whoever counts.
    """

    refused: str = ""
    retry_after_s: float = 0.0
    second: int = 0


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """What was really used: limits as claimed with their final amount. Gauges in it are given back."""

    id: str
    space: str
    second: int
    limits: tuple[Limit, ...]
    claimed: tuple[int, ...]


class Counters(Protocol):
    """Shared counting. `settle` never waits; `close` sends what is left."""

    async def claim(self, claim: Claim) -> Grant:
        """Takes everything or nothing. Raises OSError where the counters cannot be reached."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Gives back and corrects; never blocks and never raises."""
        ...

    async def close(self) -> None:
        """Lets go."""
        ...


class Journal(Protocol):
    """Remembers counts over the death of the process."""

    def note(self, kind: str, space: str, name: str, amount: int, second: int, ends_at: float | None) -> None:
        """Writes down that a count changed."""
        ...


class Window:
    """How much in the last 60 seconds, by whole seconds.

    61 buckets are counted, the oldest of which may lie partly outside: never too much is let through.
    """

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets: deque[list[int]] = deque()  # [second, amount]
        self.total = 0

    def prune(self, second: int) -> None:
        """Forgets what lies too far back."""
        while self.buckets and self.buckets[0][0] < second - WINDOW_S:
            self.total -= self.buckets.popleft()[1]

    def add(self, second: int, amount: int) -> None:
        """Counts `amount` (may be negative: a correction) at a second."""
        if not self.buckets or self.buckets[-1][0] < second:
            if amount > 0:
                self.buckets.append([second, amount])
                self.total += amount
            return
        # a correction, or a clock that went back: never into an older bucket, which would be forgotten sooner
        newer = next(bucket for bucket in self.buckets if bucket[0] >= second)
        if amount > 0 or newer[0] == second:
            newer[1] += amount
            self.total += amount

    def wait_s(self, now: float, most: int, amount: int) -> float:
        """How long until `amount` fits."""
        excess = self.total + amount - most
        for second, count in self.buckets:
            excess -= count
            if excess <= 0:
                return max(1.0, second + WINDOW_S + 1 - now)
        return float(WINDOW_S)


class MemoryCounters:
    """The counters themselves. Every method but the protocol's is for the process that owns them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        booked: Callable[[str, str, int, float | None], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._clock = clock
        self._booked = booked
        self._journal = journal
        self._windows: dict[tuple[str, str], Window] = {}
        self._held: dict[tuple[str, str], set[str]] = {}
        self._spent: dict[tuple[str, str], tuple[int, float | None]] = {}
        self._claims = 0

    def seed(self, space: str, name: str, value: int, ends_at: float | None) -> None:
        """A budget's spending so far, as the database remembers it."""
        self._spent[space, name] = (value, ends_at)

    def restore(self, kind: str, space: str, name: str, amount: int, second: int, ends_at: float | None) -> None:
        """One line of the journal of the process before this one."""
        key = (space, name)
        if kind == "rate":
            self._windows.setdefault(key, Window()).add(second, amount)
        elif kind == "spend":
            self._spent[key] = (self._spent.get(key, (0, None))[0] + amount, ends_at)

    def spent(self, space: str) -> Mapping[str, int]:
        """What was spent in a space, by counter."""
        return {name: value for (owner, name), (value, _) in self._spent.items() if owner == space}

    async def claim(self, claim: Claim) -> Grant:
        """Takes everything or nothing."""
        return self.claim_now(claim)

    def claim_now(self, claim: Claim) -> Grant:
        """The same without a loop."""
        now = self._clock()
        self._sweep(now)
        for limit in claim.limits:
            wait_s = self._wait_s(claim.space, limit, now)
            if wait_s is not None:
                return Grant(limit.name, wait_s)
        for limit in claim.limits:
            self._take(claim, limit, int(now))
        return Grant(second=int(now))

    def _wait_s(self, space: str, limit: Limit, now: float) -> float | None:
        key = (space, limit.name)
        match limit.kind:
            case "rate":
                window = self._windows.get(key)
                if window is None:
                    return float(WINDOW_S) if limit.amount > limit.most else None
                window.prune(int(now))
                if window.total + limit.amount > limit.most:
                    return window.wait_s(now, limit.most, limit.amount)
            case "gauge":
                if len(self._held.get(key, ())) >= limit.most:
                    return 1.0
            case "spend":
                spent = self._spent.get(key, (0, None))[0]
                # the estimate may overshoot by itself; only what is spent already closes the door
                if spent >= limit.most or spent + limit.amount > limit.most:
                    return max(1.0, limit.ends_at - now) if limit.ends_at is not None else 86_400.0
        return None

    def _take(self, claim: Claim, limit: Limit, second: int) -> None:
        key = (claim.space, limit.name)
        if limit.kind == "gauge":
            self._held.setdefault(key, set()).add(claim.id)
        else:
            self._add(limit, key, limit.amount, second)

    def _add(self, limit: Limit, key: tuple[str, str], amount: int, second: int) -> None:
        if limit.kind == "rate":
            self._windows.setdefault(key, Window()).add(second, amount)
        else:
            self._spent[key] = (self._spent.get(key, (0, None))[0] + amount, limit.ends_at)
            if self._booked is not None and amount:
                self._booked(*key, amount, limit.ends_at)
        if self._journal is not None and amount:
            self._journal.note(limit.kind, *key, amount, second, limit.ends_at)

    def settle(self, settlement: Settlement) -> None:
        """Gives places back and turns estimates into what was used."""
        for limit, claimed in zip(settlement.limits, settlement.claimed, strict=True):
            key = (settlement.space, limit.name)
            if limit.kind == "gauge":
                held = self._held.get(key)
                if held is not None:
                    held.discard(settlement.id)
                    if not held:
                        del self._held[key]
            elif limit.amount != claimed:
                self._add(limit, key, limit.amount - claimed, settlement.second)

    def release(self, claim: Claim) -> None:
        """Gives back the places of a claim whose worker is gone."""
        for limit in claim.limits:
            if limit.kind == "gauge":
                held = self._held.get((claim.space, limit.name))
                if held is not None:
                    held.discard(claim.id)

    def _sweep(self, now: float) -> None:
        self._claims += 1
        if self._claims % SWEEP_EVERY:
            return
        for key, window in list(self._windows.items()):
            window.prune(int(now))
            if not window.buckets:
                del self._windows[key]
        for key, (_, ends_at) in list(self._spent.items()):
            if ends_at is not None and ends_at < now:
                del self._spent[key]

    async def close(self) -> None:
        """Nothing to let go of."""
