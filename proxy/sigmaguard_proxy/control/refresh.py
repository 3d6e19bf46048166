"""Keeps a worker's snapshot fresh: when told, else twice a second; survives a dead database.

A change is seen by a notice (at once) or, where that was lost, by the generation's number (within POLL_S).
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard_proxy.control.change import generation_of
from sigmaguard_proxy.control.directory import SnapshotDirectory
from sigmaguard_proxy.control.rows import Rows, load_modes, load_rows, save_rows, saved_rows
from sigmaguard_proxy.control.snapshot import Snapshot, SnapshotBuilder, narrowed, turned
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import Database, DatabaseDownError
from sigmaguard_proxy.tasks import Tasks

# A look costs 0.6 ms of the loop's thread, on SQLite and PostgreSQL alike: a thousandth of it at this rate. A lost
# notice is found within this and a few milliseconds; what is promised is a second.
POLL_S = 0.5
RETRY_S = 1.0  # between two tries at a database that is down
SHORT_S = 0.1  # a build that takes longer compiles something; the usual one takes milliseconds
PATIENCE_S = 3.0  # how long a start waits for the database before it serves by what was last good


class Refresher:
    """Owns a directory's snapshot. `degraded` tells what is wrong, for readiness and metrics."""

    def __init__(
        self,
        database: Database,
        builder: SnapshotBuilder,
        folder: Path,
        log: Log,
        *,
        redis_is_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._builder = builder
        self._folder = folder
        self._log = log
        self._redis_is_down = redis_is_down
        self._wake = asyncio.Event()
        self._database_is_down = False
        self._directory: SnapshotDirectory | None = None
        self._changed: set[Callable[[Snapshot], None]] = set()
        # of its own: what is taken away must not wait behind bodies that are read in the loop's threads
        self._threads = ThreadPoolExecutor(2, "snapshot")

    async def first(self) -> Snapshot:
        """The snapshot to start with. Raises ConfigError where there is neither a database nor anything last good."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                rows = await self._load()
                await asyncio.to_thread(save_rows, self._folder, rows)
                break
            except DatabaseDownError as error:
                self._database_is_down = True
                saved = await asyncio.to_thread(saved_rows, self._folder)
                if saved is not None:
                    self._log.warning("started_without_database", generation=saved.generation)
                    rows = saved
                    break
                if time.monotonic() > deadline:
                    raise ConfigError(f"{error}: cannot be reached, and nothing is known from before") from error
                await asyncio.sleep(POLL_S)
        return await asyncio.to_thread(self._builder.build, rows)

    def start(self, directory: SnapshotDirectory, tasks: Tasks) -> None:
        """Keeps this directory fresh from now on."""
        self._directory = directory
        tasks.spawn(self._keep_fresh(directory), name="refresh")

    async def _beside(self, work: Callable[..., Any], *given: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    def watch(self, tasks: Tasks) -> None:
        """Only looks whether the database is there; for a process without a directory."""
        tasks.spawn(self._keep_fresh(None), name="refresh")

    def wake(self, _generation: int = 0) -> None:
        """There may be something new."""
        self._wake.set()

    def on_change(self, hear: Callable[[Snapshot], None]) -> None:
        """Tells `hear` of every new snapshot."""
        self._changed.add(hear)

    def degraded(self) -> list[str]:
        """What is not working right now."""
        found = ["database"] if self._database_is_down else []
        if self._redis_is_down():
            found.append("redis")
        if self._directory is not None and self._directory.snapshot.problems:
            found.append("policies")  # which ones is for those who may read the admin API
        return found

    async def _keep_fresh(self, directory: SnapshotDirectory | None) -> None:
        while True:
            await self._woken()
            try:
                await self._refresh(directory)
            except DatabaseDownError as error:
                if not self._database_is_down:
                    self._log.error("database_lost", reason=str(error))
                self._database_is_down = True
            except ConfigError as error:  # the default policy itself broke: what runs goes on running
                self._log.error("snapshot_refused", reason=str(error))

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(RETRY_S if self._database_is_down else POLL_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _refresh(self, directory: SnapshotDirectory | None) -> None:
        rows = await self._look(directory, directory.snapshot.generation if directory is not None else 0)
        if directory is None or rows is None:
            return
        building = asyncio.get_running_loop().run_in_executor(self._threads, self._builder.build, rows)
        newest = await self._meanwhile(directory, building, rows)
        snapshot = await building
        if newest is not rows:  # what was taken away meanwhile must not come back with what was begun before
            snapshot = await self._beside(narrowed, snapshot, newest)
            self.wake()
        directory.swap(snapshot)
        await self._beside(save_rows, self._folder, newest)
        self._log.info("snapshot_in_force", generation=snapshot.generation, problems=len(snapshot.problems))
        for hear in self._changed:
            hear(snapshot)

    async def _meanwhile(self, directory: SnapshotDirectory, building: asyncio.Future[Snapshot], rows: Rows) -> Rows:
        """Obeys what takes something away while policies compile, which may load a model; gives the newest rows."""
        await asyncio.wait({building}, timeout=SHORT_S)
        if building.done():
            return rows
        building.add_done_callback(lambda _: self.wake())
        newest = rows
        found: Rows | None = rows
        while True:
            if found is not None:
                newest = found
                directory.swap(await self._beside(narrowed, directory.snapshot, newest))
            if building.done():
                return newest
            await self._woken()
            try:
                found = await self._look(directory, newest.generation)
            except DatabaseDownError:  # the next look says so
                return newest

    async def _look(self, directory: SnapshotDirectory | None, known: int) -> Rows | None:
        """What there is where it is newer than what is known; the toggle is obeyed at once."""
        modes: dict[str, Mode] | None = None
        async with self._database.read() as connection:
            generation = await generation_of(connection)
            if directory is not None and generation != known:
                modes = await load_modes(connection)
        if self._database_is_down:
            self._log.info("database_back")
            self._database_is_down = False
        if directory is None or modes is None:
            return None
        # the toggle first: it must not wait for the rest to be read and compiled on a busy machine
        directory.swap(turned(directory.snapshot, modes))
        return await self._load()

    async def _load(self) -> Rows:
        async with self._database.read(isolated=True) as connection:
            return await load_rows(connection)
