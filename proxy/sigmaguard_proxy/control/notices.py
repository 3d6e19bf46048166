"""Telling others that something changed: this process, its workers, other machines. Carries a number, no content."""

import asyncio
import contextlib
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sigmaguard_proxy.tasks import Tasks

CHANNEL = "sg:notices"
RETRY_S = 0.5


class Notices:
    """Passes a change on to everyone who listens; what is lost is found by polling within a second."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[int], None]] = []

    def listen(self, hear: Callable[[int], None]) -> None:
        """Calls `hear` with the generation of every change."""
        self._listeners.append(hear)

    def tell(self, generation: int) -> None:
        """There was a change; never waits."""
        for hear in self._listeners:
            hear(generation)


class RedisNotices:
    """The same among machines. `is_down` while the subscription does not stand."""

    def __init__(self, redis: Redis, hear: Callable[[int], None], tasks: Tasks) -> None:
        self._redis = redis
        self._hear = hear
        self._tasks = tasks
        self.is_down = False
        tasks.spawn(self._subscribe(), name="notices")

    def publish(self, generation: int) -> None:
        """Tells other machines."""
        self._tasks.spawn(self._publish(generation), name="notice")

    async def _publish(self, generation: int) -> None:
        with contextlib.suppress(RedisError, OSError):  # they poll
            await self._redis.publish(CHANNEL, str(generation))

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    self.is_down = False
                    self._hear(0)
                    while True:
                        message = await subscription.get_message(timeout=RETRY_S)
                        if message is not None:
                            self._hear(int(message["data"]))
                        else:
                            await self._redis.ping()
            except (RedisError, OSError):
                self.is_down = True
                await asyncio.sleep(RETRY_S)
