"""The thread that ships: off the event loop, with patience for a database that is down. Knows when, not how."""

import asyncio
import threading
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.audit import positions
from sigmaguard_proxy.audit.retention import Retention, keep_house
from sigmaguard_proxy.audit.rows import Price
from sigmaguard_proxy.audit.shipping import BATCH_RECORDS, WAL_FOLDER, ShipLock, Shipping, unknown_price
from sigmaguard_proxy.audit.source import Source
from sigmaguard_proxy.audit.state import State, load_state, save_state
from sigmaguard_proxy.audit.steady import SteadyTime
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import Database, DatabaseDownError, open_database

# Also between two batches of a database that keeps up: a batch of many records costs little more than one of few
POLL_S = 0.2
TELL_EVERY_S = 0.5
LOCK_POLL_S = 1.0
BACKOFF_S = (0.1, 5.0)
STOP_TIMEOUT_S = 10.0
HOUSEKEEPING_EVERY_S = 600.0
RECORD_BYTES = 1_100  # of a record in the write-ahead log, as measured; only for telling how many wait


class Shipper:
    """Ships this data folder while it holds the lock, or stands by while another process does.

    `patience_s` lets a process that is just starting take the lock before us.

    Figures for metrics are read from any thread: `waiting_records` (an estimate), `lag_s` (age of the
    oldest record not yet stored), `is_down` (the database does not answer), `shipped`,
    `lost_heads` (of a database that was set back).
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        log: Log,
        price: Price = unknown_price,
        retention: Retention | None = None,
        *,
        patience_s: float = 0.0,
    ) -> None:
        self._folder = folder
        self._patience_s = patience_s
        self._url = database_url
        self._log = log
        self._price = price
        self._retention = retention or Retention()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._stopping = False
        self._backoff = BACKOFF_S[0]
        self._kept_house_at = 0.0
        self._steady = SteadyTime()
        self._oldest_at: float | None = None
        self._told_at = 0.0
        self._loop: asyncio.AbstractEventLoop
        self._wake: asyncio.Event
        self._database: Database
        self.waiting_records = 0
        self.is_down = False
        self.is_shipping = False
        self.shipped = 0
        self.lost_heads = 0

    @property
    def lag_s(self) -> float:
        """Seconds since the oldest record that is still waiting; 0 where none is."""
        oldest = self._oldest_at
        return max(0.0, time.time() - oldest) if oldest is not None else 0.0

    def start(self) -> None:
        """Starts the thread. The database has its tables by now."""
        self._thread = threading.Thread(target=self._run, name="audit-shipper", daemon=True)
        self._thread.start()
        self._ready.wait()

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Waits until everything recorded so far is in the database. Raises TimeoutError."""
        wanted = Source(self._folder / WAL_FOLDER, {}).sizes()
        waiting = asyncio.run_coroutine_threadsafe(self._flushed(wanted, timeout_s), self._loop)
        await asyncio.wrap_future(waiting)

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ships what is left, as far as the time allows, and ends the thread. What is not shipped stays on disk."""
        await asyncio.get_running_loop().run_in_executor(None, self.finish, timeout_s)

    def finish(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """`stop` for a caller without an event loop: blocks until the thread has ended."""
        thread = self._thread
        if thread is None:
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._wake.set)
        thread.join(timeout_s + 1.0)
        self._thread = None

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._database = open_database(self._url)
        lock = ShipLock(self._folder / WAL_FOLDER)
        shipping: Shipping | None = None
        self._ready.set()
        await self._pause(self._patience_s)
        try:
            while not self._stopping:
                if not lock.take():
                    self._listen()
                    await self._pause(LOCK_POLL_S)
                    continue
                shipping = shipping or self._begin()
                if shipping is None:
                    await self._pause(BACKOFF_S[1])
                    continue
                await self._pause(await self._turn(shipping))
            if shipping is not None:
                await self._finish(shipping)
        finally:
            if shipping is not None:
                shipping.close()
            lock.release()
            await self._database.close()

    def _begin(self) -> Shipping | None:
        """What ships, or None where its keys cannot be used: the records wait on disk, and readiness tells."""
        try:
            shipping = Shipping(self._folder, self._database, self._log, self._price)
        except (ConfigError, OSError) as error:
            if not self.is_down:
                self._log.error("audit_shipping_failed", error=f"{type(error).__name__}: {error}")
            self.is_down = True
            self.waiting_records = -(-self._waiting_bytes() // RECORD_BYTES)
            self._oldest_at = self._oldest_at or time.time()
            self._save_state()
            return None
        self.is_shipping = True
        return shipping

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _turn(self, shipping: Shipping) -> float:
        """One batch; how long to wait before the next."""
        try:
            brought = await shipping.ship()
            if brought < 0:
                await self._keep_house(shipping)
        except Exception as error:  # the audit writer's door: whatever happened, the records stay on disk
            return self._failed(shipping, error)
        if self.is_down:
            self._log.info("audit_shipping_resumed")
        self.is_down, self._backoff = False, BACKOFF_S[0]
        self._tell(shipping)
        return POLL_S if brought < BATCH_RECORDS else 0.0

    def _failed(self, shipping: Shipping, error: Exception) -> float:
        if not self.is_down or not isinstance(error, DatabaseDownError):
            self._log.error("audit_shipping_failed", error=f"{type(error).__name__}: {_safe(error)}")
        self.is_down = True
        self._tell(shipping)
        if self._oldest_at is None and self.waiting_records:
            self._oldest_at = time.time()
        self._backoff = min(BACKOFF_S[1], self._backoff * 2)
        return self._backoff

    def _tell(self, shipping: Shipping) -> None:
        waiting = shipping.source.waiting_bytes() if shipping.source else self._waiting_bytes()
        self.waiting_records = -(-waiting // RECORD_BYTES)
        self._oldest_at = shipping.oldest_at or (self._oldest_at if waiting else None)
        self.shipped, self.lost_heads = shipping.shipped, shipping.lost_heads
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._save_state()

    def _save_state(self) -> None:
        figures = State(self.waiting_records, self._oldest_at, self.is_down, self.shipped, self.lost_heads)
        save_state(self._folder, figures)

    def _listen(self) -> None:
        """While another process ships: its figures are ours."""
        state = load_state(self._folder)
        if state is not None:
            self.waiting_records, self._oldest_at = state.waiting_records, state.oldest_at
            self.is_down, self.shipped, self.lost_heads = state.is_down, state.shipped, state.lost_heads

    def _waiting_bytes(self) -> int:
        return sum(Source(self._folder / WAL_FOLDER, {}).sizes().values())

    async def _keep_house(self, shipping: Shipping) -> None:
        now = time.monotonic()
        if self._kept_house_at and now - self._kept_house_at < HOUSEKEEPING_EVERY_S:
            return
        self._kept_house_at = now
        at, ahead_s = self._steady.now()
        if ahead_s:
            self._log.error("audit_clock_ahead", seconds=round(ahead_s))
        await keep_house(self._database, shipping.appender, self._retention, round(at * 1e6))

    async def _finish(self, shipping: Shipping) -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await shipping.ship_all()
        except (DatabaseDownError, TimeoutError):
            self._log.warning("audit_records_left", bytes=self._waiting_bytes())
        self._tell(shipping)

    async def _flushed(self, wanted: dict[str, int], timeout_s: float) -> None:
        self._wake.set()
        await caught_up(self._folder, self._database, wanted, timeout_s)


async def caught_up(folder: Path, database: Database, wanted: dict[str, int], timeout_s: float) -> None:
    """Waits until whoever ships has brought every segment to these sizes. Raises TimeoutError."""
    source = Source(folder / WAL_FOLDER, {})
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                async with database.read() as connection:
                    reached = await positions.load(connection, wanted)
            except (DatabaseDownError, SQLAlchemyError):  # down, or without its tables yet
                reached = {}
            present = source.sizes()
            if all(reached.get(one, 0) >= size or one not in present for one, size in wanted.items() if size > 24):
                return
            await asyncio.sleep(0.02)


def _safe(error: Exception) -> str:
    """An error without the values it was about: a statement's parameters never reach a log."""
    return str(error) if isinstance(error, OSError | RuntimeError) else ""
