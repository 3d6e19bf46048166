"""Background tasks with a name and an owner. The only place that starts one."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Keeps a reference to every task it starts and can wait for all of them at shutdown."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts `work`; the task is kept until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is running, then cancels the rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1.0)

    def __len__(self) -> int:
        return len(self._running)
