"""Stage 4's limiter: an identity's limits as one claim, an answer as a ticket or a 429. Counts nothing itself."""

import time
from collections.abc import Callable

from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.control.counters import Claim, Counters, Grant, Limit, Settlement
from sigmaguard_proxy.control.limits import Period, ScopedLimits, SubjectLimits, period_id
from sigmaguard_proxy.control.prices import MICRO, PriceTable
from sigmaguard_proxy.ports import Identity, Ticket

RETRY_FALLBACK_S = 1.0  # a counter's connection takes less than this to come back
WORDS = {
    "requests": "requests a minute",
    "tokens": "tokens a minute",
    "concurrent": "exchanges at once",
    "usd": "the budget in money",
    "budget_tokens": "the budget in tokens",
}


class CountingLimiter:
    """Implements `ports.Limiter` over any `Counters`."""

    def __init__(self, counters: Counters, prices: PriceTable, clock: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._prices = prices
        self._clock = clock

    async def admit(self, identity: Identity, model: str, estimated_tokens: int, exchange: str) -> Ticket | Refusal:
        """A ticket, or a refusal: 429 for a limit, 503 where nobody can count."""
        limits = identity.limits
        assert isinstance(limits, SubjectLimits)
        now = self._clock()
        cost = self._prices.cost_micro(model, estimated_tokens, 0)
        asked = tuple(limit for scope in limits.scopes for limit in _asked(scope, estimated_tokens, cost, now))
        claim = Claim(exchange, limits.tenant, asked)
        try:
            grant = await self._counters.claim(claim)
        except OSError:
            return Refusal(
                503,
                "overloaded_error",
                "limits_unavailable",
                "this key has limits and they cannot be counted right now; try again",
                exchange,
                RETRY_FALLBACK_S,
            )
        if grant.refused:
            return _refusal(grant, exchange)
        return _CountedTicket(self._counters, self._prices, claim, model, estimated_tokens, grant.second)


class _CountedTicket:
    """Leave to run one exchange, with what was claimed for it."""

    __slots__ = ("_claim", "_counters", "_estimated", "_model", "_prices", "_second", "_settled")

    def __init__(
        self, counters: Counters, prices: PriceTable, claim: Claim, model: str, estimated: int, second: int
    ) -> None:
        self._counters, self._prices, self._claim = counters, prices, claim
        self._model, self._estimated, self._second = model, estimated, second
        self._settled = False

    def settle(self, input_tokens: int, output_tokens: int) -> None:
        """Books what was used; where the upstream did not say, the estimate stands."""
        if self._settled:
            return
        self._settled = True
        known = input_tokens >= 0 or output_tokens >= 0
        tokens = max(0, input_tokens) + max(0, output_tokens) if known else self._estimated
        cost = (
            self._prices.cost_micro(self._model, input_tokens, output_tokens)
            if known
            else self._prices.cost_micro(self._model, self._estimated, 0)
        )
        claimed = self._claim.limits
        used = tuple(
            Limit(one.kind, one.name, one.most, _used(one, tokens, cost), one.ends_at)
            for one in claimed
            if one.kind == "gauge" or _unit(one.name) != "requests"
        )
        amounts = tuple(one.amount for one in claimed if one.kind == "gauge" or _unit(one.name) != "requests")
        if used:
            self._counters.settle(Settlement(self._claim.id, self._claim.space, self._second, used, amounts))


def _used(limit: Limit, tokens: int, cost: int) -> int:
    match _unit(limit.name):
        case "tokens" | "budget_tokens":
            return tokens
        case "usd":
            return cost
        case _:
            return limit.amount


def _asked(scoped: ScopedLimits, tokens: int, cost: int, now: float) -> list[Limit]:
    limits, scope = scoped.limits, scoped.scope
    asked: list[Limit] = []
    if limits.concurrent is not None:
        asked.append(Limit("gauge", f"{scope}|concurrent", limits.concurrent))
    if limits.requests_per_minute is not None:
        asked.append(Limit("rate", f"{scope}|requests", limits.requests_per_minute))
    if limits.tokens_per_minute is not None:
        asked.append(Limit("rate", f"{scope}|tokens", limits.tokens_per_minute, tokens))
    for budget in limits.budgets:
        name, ends_at = period_id(budget.period, now)
        if budget.usd is not None:
            asked.append(
                Limit("spend", spend_name(scope, budget.period, name, "usd"), round(budget.usd * MICRO), cost, ends_at)
            )
        if budget.tokens is not None:
            asked.append(
                Limit("spend", spend_name(scope, budget.period, name, "budget_tokens"), budget.tokens, tokens, ends_at)
            )
    return asked


def spend_name(scope: str, period: Period, name: str, unit: str) -> str:
    """The counter of a budget: whose it is, which period, and what it counts."""
    return f"{scope}|{period}:{name}|{unit}"


def _unit(name: str) -> str:
    return name.rpartition("|")[2]


def _refusal(grant: Grant, exchange: str) -> Refusal:
    unit = _unit(grant.refused)
    scope = grant.refused.partition("|")[0]
    whose = {"tenant": "this tenant's", "agent": "this agent's", "key": "this key's"}[scope.partition(":")[0]]
    is_budget = unit in ("usd", "budget_tokens")
    return Refusal(
        429,
        "insufficient_quota" if is_budget else "rate_limit_error",
        "budget_exceeded" if is_budget else "rate_limit_exceeded",
        f"{whose} limit of {WORDS[unit]} is reached; try again in {round(grant.retry_after_s)} s",
        exchange,
        grant.retry_after_s,
    )


class SteadyCounters:
    """Counters that go on, on this node alone, while the shared ones are gone."""

    def __init__(self, shared: Counters, local: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared, self._local = shared, local
        self._clock = clock
        self._again_at = 0.0
        self._local_claims: set[str] = set()

    @property
    def is_degraded(self) -> bool:
        """Whether the shared counters failed a moment ago; without traffic nobody knows better."""
        return self._clock() < self._again_at

    async def claim(self, claim: Claim) -> Grant:
        """Asks the shared counters; where they are gone, the local ones, and the shared again a second later."""
        if self._clock() >= self._again_at:
            try:
                grant = await self._shared.claim(claim)
            except OSError:
                self._again_at = self._clock() + RETRY_FALLBACK_S
            else:
                self._again_at = 0.0
                return grant
        grant = await self._local.claim(claim)
        if not grant.refused:
            self._local_claims.add(claim.id)
        return grant

    def settle(self, settlement: Settlement) -> None:
        """Settles where it was claimed."""
        if settlement.id in self._local_claims:
            self._local_claims.discard(settlement.id)
            self._local.settle(settlement)
        else:
            self._shared.settle(settlement)

    async def close(self) -> None:
        """Closes both."""
        await self._shared.close()
        await self._local.close()
