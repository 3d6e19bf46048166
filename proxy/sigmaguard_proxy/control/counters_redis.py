"""The counters in Redis, for workers on many machines: one atomic script a claim. Same promises as in memory.

Keys of one tenant share a hash tag (`sg:{TENANT}:...`), so a claim touches one slot of a Redis cluster.
Time is Redis' own, so that machines whose clocks differ still count alike.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sigmaguard_proxy.control.counters import LEASE_S, WINDOW_S, Claim, Grant, Limit, Settlement
from sigmaguard_proxy.tasks import Tasks

SOCKET_TIMEOUT_S = 0.5  # a request waits for this at most when Redis hangs
RENEW_EVERY_S = LEASE_S / 3
WAITING = 50_000  # settlements that may wait for a Redis that is away; the oldest are dropped first
BATCH = 200
CONNECTIONS = 32  # a worker; a claim holds one for about a tenth of a millisecond

CLAIM = """
local time = redis.call('TIME')
local now = tonumber(time[1])
local id, lease, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = function(i) return 3 + (i - 1) * 4 end
for i, key in ipairs(KEYS) do
  local kind, most, amount = ARGV[at(i) + 1], tonumber(ARGV[at(i) + 2]), tonumber(ARGV[at(i) + 3])
  local ends = tonumber(ARGV[at(i) + 4])
  if kind == 'rate' then
    local counts, total, old, seconds = redis.call('HGETALL', key), 0, {}, {}
    for j = 1, #counts, 2 do
      local second = tonumber(counts[j])
      if second < now - window then old[#old + 1] = counts[j]
      else total = total + tonumber(counts[j + 1]); seconds[#seconds + 1] = {second, tonumber(counts[j + 1])} end
    end
    if #old > 0 then redis.call('HDEL', key, unpack(old)) end
    if total + amount > most then
      table.sort(seconds, function(a, b) return a[1] < b[1] end)
      local excess, wait = total + amount - most, window
      for _, pair in ipairs(seconds) do
        excess = excess - pair[2]
        if excess <= 0 then wait = math.max(1, pair[1] + window + 1 - now); break end
      end
      return {i, wait}
    end
  elseif kind == 'gauge' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= most then return {i, 1} end
  else
    local spent = redis.call('GET', key)
    if not spent then return {-i, 0} end
    spent = tonumber(spent)
    if spent >= most or spent + amount > most then
      return {i, ends > 0 and math.max(1, math.ceil(ends - now)) or 86400}
    end
  end
end
for i, key in ipairs(KEYS) do
  local kind, amount = ARGV[at(i) + 1], tonumber(ARGV[at(i) + 3])
  if kind == 'rate' then
    redis.call('HINCRBY', key, time[1], amount)
    redis.call('EXPIRE', key, window + 2)
  elseif kind == 'gauge' then
    redis.call('ZADD', key, now + lease, id)
    redis.call('EXPIRE', key, lease * 2)
  else
    redis.call('INCRBY', key, amount)
  end
end
return {0, 0, now}
"""

SETTLE = """
local id, second = ARGV[1], ARGV[2]
for i, key in ipairs(KEYS) do
  local kind, change = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  if kind == 'gauge' then redis.call('ZREM', key, id)
  elseif kind == 'rate' then
    if change > 0 or redis.call('HEXISTS', key, second) == 1 then
      redis.call('HINCRBY', key, second, change)
      redis.call('EXPIRE', key, 62)
    end
  elseif redis.call('EXISTS', key) == 1 then redis.call('INCRBY', key, change) end
end
return 1
"""

Seed = Callable[[str, str], Awaitable[int]]
Book = Callable[[str, str, int, float | None], None]


def open_redis(url: str) -> Redis:
    """A client that fails at once instead of trying again for seconds; a burst waits for a connection."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


class RedisCounters:
    """Counts in Redis. `seed` tells what a budget had spent where Redis has forgotten; `booked` hears of spending."""

    def __init__(self, redis: Redis, seed: Seed, booked: Book, tasks: Tasks) -> None:
        self._redis = redis
        self._seed = seed
        self._booked = booked
        self._claim = redis.register_script(CLAIM)
        self._settle = redis.register_script(SETTLE)
        self._waiting: deque[Settlement] = deque(maxlen=WAITING)
        self._wake = asyncio.Event()
        self._made = self._sent = 0  # settlements so far
        self._moved = asyncio.Event()  # set, and replaced, whenever `_sent` grows or sending fails
        self._is_failing = False
        self._live: dict[str, tuple[str, ...]] = {}
        self._sender = tasks.spawn(self._send_settlements(), name="redis-settle")
        self._renewer = tasks.spawn(self._renew_leases(), name="redis-renew")

    async def claim(self, claim: Claim) -> Grant:
        """Takes everything or nothing, after all that this worker settled before. Raises OSError without Redis."""
        made = self._made
        while self._sent < made and not self._is_failing:  # else a caller's next request could overtake its last one
            await self._moved.wait()
        keys = [_key(claim.space, limit) for limit in claim.limits]
        arguments: list[Any] = [claim.id, int(LEASE_S), WINDOW_S]
        for limit in claim.limits:
            arguments += [limit.kind, limit.most, limit.amount, limit.ends_at or 0]
        try:
            while True:
                answer = await self._claim(keys=keys, args=arguments)
                if answer[0] >= 0:
                    break
                limit = claim.limits[-answer[0] - 1]
                value = await self._seed(claim.space, limit.name)
                ends = int(limit.ends_at + 86_400) if limit.ends_at else None
                await self._redis.set(_key(claim.space, limit), value, nx=True, exat=ends)
        except RedisError as error:
            raise OSError(f"redis: {type(error).__name__}") from error
        if answer[0] > 0:
            return Grant(claim.limits[answer[0] - 1].name, float(answer[1]))
        gauges = tuple(key for key, limit in zip(keys, claim.limits, strict=True) if limit.kind == "gauge")
        if gauges:
            self._live[claim.id] = gauges
        for limit in claim.limits:
            if limit.kind == "spend":
                self._booked(claim.space, limit.name, limit.amount, limit.ends_at)
        return Grant(second=int(answer[2]))

    def settle(self, settlement: Settlement) -> None:
        """Queues the settlement; a task sends it."""
        self._live.pop(settlement.id, None)
        for limit, claimed in zip(settlement.limits, settlement.claimed, strict=True):
            if limit.kind == "spend" and limit.amount != claimed:
                self._booked(settlement.space, limit.name, limit.amount - claimed, limit.ends_at)
        self._made += 1
        if len(self._waiting) == WAITING:
            self._sent += 1  # the oldest gives way
        self._waiting.append(settlement)
        self._wake.set()

    async def _send_settlements(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                try:
                    async with self._redis.pipeline(transaction=False) as pipe:
                        for one in batch:
                            keys = [_key(one.space, limit) for limit in one.limits]
                            await self._settle(keys=keys, args=_arguments(one), client=pipe)
                        await pipe.execute()
                except (RedisError, OSError):
                    self._waiting.extendleft(reversed(batch))
                    self._tell(failing=True)
                    await asyncio.sleep(SOCKET_TIMEOUT_S)
                else:
                    self._sent += len(batch)
                    self._tell(failing=False)

    def _tell(self, *, failing: bool) -> None:
        self._is_failing = failing
        self._moved.set()
        self._moved = asyncio.Event()

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            with contextlib.suppress(RedisError, OSError):
                seconds, _ = await self._redis.time()
                async with self._redis.pipeline(transaction=False) as pipe:
                    for claim, keys in list(self._live.items()):
                        for key in keys:
                            pipe.zadd(key, {claim: seconds + int(LEASE_S)}, xx=True)
                            pipe.expire(key, int(LEASE_S * 2))
                    await pipe.execute()

    async def close(self) -> None:
        """Sends what is waiting, for a moment, and stops."""
        for _ in range(20):
            if not self._waiting:
                break
            self._wake.set()
            await asyncio.sleep(0.02)
        for task in (self._sender, self._renewer):
            task.cancel()


def _arguments(settlement: Settlement) -> list[Any]:
    arguments: list[Any] = [settlement.id, settlement.second]
    for limit, claimed in zip(settlement.limits, settlement.claimed, strict=True):
        arguments += [limit.kind, limit.amount - claimed]
    return arguments


def _key(space: str, limit: Limit) -> str:
    return f"sg:{{{space}}}:{limit.kind}:{limit.name}"
