"""One process's control plane, put together: store, keys, counters, snapshot, notices. Opens no port.

The first process of a node (the only one, or the supervisor) owns the counters and the locks; a worker
reaches them over the link. With Redis the counters are everybody's, and the node's own stand in while it is gone.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from redis.asyncio import Redis

from sigmaguard.errors import ConfigError
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard_policies import policies_root
from sigmaguard_proxy.control.alone import Alone
from sigmaguard_proxy.control.change import Acts, Changes
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.counters import Counters, MemoryCounters
from sigmaguard_proxy.control.counters_redis import RedisCounters, open_redis
from sigmaguard_proxy.control.directory import SnapshotDirectory
from sigmaguard_proxy.control.hashicorp import HashicorpKeys
from sigmaguard_proxy.control.installing import install, owner_link_token
from sigmaguard_proxy.control.journal import CountJournal
from sigmaguard_proxy.control.keyring import Keyring, find_source
from sigmaguard_proxy.control.ledger import Ledger, load_usage, spent
from sigmaguard_proxy.control.limiter import CountingLimiter, SteadyCounters
from sigmaguard_proxy.control.link import LinkClient, LinkServer, socket_path
from sigmaguard_proxy.control.notices import Notices, RedisNotices
from sigmaguard_proxy.control.prices import PriceTable, load_prices
from sigmaguard_proxy.control.refresh import Refresher
from sigmaguard_proxy.control.snapshot import SnapshotBuilder
from sigmaguard_proxy.control.trials import TrialRunner
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.store.database import Database, DatabaseDamagedError, DatabaseDownError, open_database
from sigmaguard_proxy.store.location import locate
from sigmaguard_proxy.store.migrate import migrate
from sigmaguard_proxy.store.scope import Scope
from sigmaguard_proxy.tasks import Tasks

FLUSH_EVERY_S = 1.0
LINK_START_S = 10.0
ORPHAN_S = 5.0  # a worker whose supervisor is gone for so long ends


class ControlPlane:
    """Built once a process. `worker` is its number, None for the supervisor."""

    def __init__(
        self, settings: Settings, worker: int | None, log: Log, *, on_command: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.log = log
        self.data = Path(settings.data)
        self.url = locate(self.data, settings.database_url)
        self.database: Database = open_database(self.url)
        self.prices: PriceTable = load_prices(self.data)
        self.notices = Notices()
        self.tasks = Tasks()
        self.loader = PolicyLoader(policies_root())
        self.keyring: Keyring
        self.refresher: Refresher
        self.directory: SnapshotDirectory
        self.limiter: CountingLimiter
        self.trials = TrialRunner(self.database, self.tasks)
        self.link_server: LinkServer | None = None
        self.link: LinkClient | None = None
        self._on_command = on_command
        self._orphaned: Callable[[], object] = lambda: None
        self._has_started = False
        self.owner_token = ""
        self._worker = worker
        self._is_first = worker is None or settings.workers == 1
        self._alone = Alone()
        self._journal: CountJournal | None = None
        self._ledger: Ledger | None = None
        self._has_counters = False
        self._counters: Counters
        self._own: MemoryCounters | None = None
        self._steady: SteadyCounters | None = None
        self._redis: Redis | None = None
        self._redis_notices: RedisNotices | None = None

    async def start(self) -> None:
        """Everything but ports. Raises ConfigError."""
        settings = self.settings
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._is_first:
            await self._alone.take_folder(self.data)
            await self._prepare_database()
        self.keyring = await asyncio.to_thread(self._open_keyring)
        if self._is_first:
            await self._install()
        await self._open_counters()
        self.limiter = CountingLimiter(self._counters, self.prices)
        self.refresher = Refresher(
            self.database,
            SnapshotBuilder(Compiler(self.loader), self.keyring, settings.policy, frozenset(settings.upstreams)),
            self.data,
            self.log,
            redis_is_down=self._redis_is_down,
        )
        self.notices.listen(self.refresher.wake)
        if self._worker is not None:
            snapshot = await self.refresher.first()
            self.directory = SnapshotDirectory(snapshot, start_mode=settings.mode, require_keys=settings.require_keys)
            self.refresher.start(self.directory, self.tasks)
        else:
            self.refresher.watch(self.tasks)
        self.tasks.spawn(self._flush_regularly(), name="flush")
        self._has_started = True

    async def _prepare_database(self) -> None:
        """Migrates; one that is down is waited for, then done without. Raises ConfigError where it is damaged."""
        deadline = time.monotonic() + 3.0
        while True:
            try:
                await migrate(self.database)
                if self.database.file is not None:
                    _make_private(self.database.file)
                if not self.settings.redis_url:
                    await self._alone.take_database(self.database)
                return
            except DatabaseDamagedError as error:
                raise ConfigError(str(error)) from error
            except DatabaseDownError as error:
                if time.monotonic() > deadline:
                    self.log.error("database_unreachable", reason=str(error))
                    return
                await asyncio.sleep(0.25)

    def _open_keyring(self) -> Keyring:
        environ = dict(os.environ)
        return Keyring(find_source(environ, self.data, lambda path: HashicorpKeys(path, environ)))

    async def _install(self) -> None:
        try:
            await install(self.database, self.keyring)
            self.owner_token = await owner_link_token(self.database) if self.settings.admin else ""
        except DatabaseDownError as error:
            self.log.error("database_unreachable", reason=str(error))

    async def _open_counters(self) -> None:
        local = await self._local_counters()
        self._counters, self._has_counters = local, True
        if not self.settings.redis_url:
            return
        self._redis = open_redis(self.settings.redis_url)
        self._redis_notices = RedisNotices(self._redis, self.notices.tell, self.tasks)
        if self._worker is None:
            return
        ledger = self._ledger = self._ledger or Ledger(self.database)
        shared = RedisCounters(self._redis, self._spent, ledger.book, self.tasks)
        self._counters = self._steady = SteadyCounters(shared, local)

    async def _local_counters(self) -> Counters:
        """This node's own counters: here, or at the other end of the link."""
        path = socket_path(self.data)
        if not self._is_first:
            self.link = LinkClient(path, self.tasks, self.notices.tell, self._on_command)
            try:
                await self.link.connected(LINK_START_S)
            except TimeoutError as error:
                raise ConfigError("the supervisor does not answer") from error
            self.tasks.spawn(self._watch_link(self.link), name="watch-link")
            return self.link
        self._journal = CountJournal(self.data / "counts")
        self._ledger = Ledger(self.database, self._journal.flushed)
        counters = self._own = MemoryCounters(booked=self._ledger.book, journal=self._journal)
        try:
            await self._seed(counters)
        except DatabaseDownError as error:
            self.log.error("budgets_unknown", reason=str(error))
        self._journal.restore(counters)
        if self._worker is None:
            self.link_server = LinkServer(counters, lambda _: None)
            await self.link_server.start(path)
            self.notices.listen(self.link_server.notify)
        return counters

    async def _seed(self, counters: MemoryCounters) -> None:
        async with self.database.read() as connection:
            for tenant, name, value, ends_at in await load_usage(connection, time.time()):
                counters.seed(tenant, name, value, ends_at)

    async def _watch_link(self, link: LinkClient) -> None:
        """A worker does not outlive its supervisor: two generations would share the port."""
        lost_at: float | None = None
        while True:
            await asyncio.sleep(0.5)
            if link.is_up:
                lost_at = None
            elif lost_at is None:
                lost_at = time.monotonic()
            elif time.monotonic() - lost_at > ORPHAN_S:
                self.log.error("supervisor_gone")
                self._orphaned()
                return

    async def _spent(self, tenant: str, counter: str) -> int:
        try:
            async with self.database.read() as connection:
                return await spent(Scope(connection, tenant), counter)
        except DatabaseDownError:
            return 0

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()
            if self._redis is not None and self._own is not None and not self._redis_is_down():
                with contextlib.suppress(DatabaseDownError):  # what stands in for Redis must not start from zero
                    await self._seed(self._own)

    async def flush(self) -> None:
        """Writes spending and trials; a database that is down gets them later."""
        for one in (self._ledger, self.trials):
            if one is not None:
                try:
                    await one.flush()
                except DatabaseDownError:
                    return

    def changes(self, acts: Acts) -> Changes:
        """How this process makes changes."""
        return Changes(self.database, acts, self._announce)

    def _announce(self, generation: int) -> None:
        self.notices.tell(generation)
        if self._redis_notices is not None:
            self._redis_notices.publish(generation)

    def _redis_is_down(self) -> bool:
        notices, steady = self._redis_notices, self._steady
        return (notices is not None and notices.is_down) or (steady is not None and steady.is_degraded)

    def when_orphaned(self, end: Callable[[], object]) -> None:
        """Calls `end` once the supervisor has been gone for a while."""
        self._orphaned = end

    def degraded(self) -> list[str]:
        """What is not working right now."""
        return self.refresher.degraded() if self._has_started else []

    def problems(self) -> Sequence[str]:
        """Policies, agents and keys that could not be put in force as written."""
        return self.directory.snapshot.problems if self._worker is not None else ()

    async def stop(self) -> None:
        """Settles what is left and lets go of everything; also what a start that failed had begun."""
        if self._has_counters:
            await self._counters.close()
            await self.flush()
        await self.tasks.drain(0.0)
        if self.link_server is not None:
            await self.link_server.stop()
        if self._redis is not None:
            await self._redis.aclose()
        if self._journal is not None:
            self._journal.close()
        await self._alone.release()
        await self.database.close()


def _make_private(database: Path) -> None:
    """A SQLite file is its owner's alone, and so are its journals, which an older version left open to all."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).chmod(0o600)
