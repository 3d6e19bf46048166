"""One process's share of the audit log: its recorder, and a shipper that works or stands by."""

import asyncio
from pathlib import Path

from sigmaguard_proxy.audit.keys import load_cipher
from sigmaguard_proxy.audit.recorder import AuditRecorder
from sigmaguard_proxy.audit.retention import Retention
from sigmaguard_proxy.audit.rows import Price
from sigmaguard_proxy.audit.ship_process import ShipProcess
from sigmaguard_proxy.audit.shipper import Shipper
from sigmaguard_proxy.audit.shipping import WAL_FOLDER, unknown_price
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.logs import Log

PROCESS_STARTS_S = 10.0  # a new process imports for about a second; on a busy machine for several


class AuditLog:
    """Opened once a process. `worker` is its number, None for the supervisor, which records only acts.

    `own_process` ships in a process of its own, so that shipping never holds this one's interpreter;
    the thread here then only steps in where that process has died. The database has its tables before
    `start`. `recorder` works from the beginning, and goes on working while the database is down.
    """

    def __init__(
        self,
        data: Path,
        database_url: str,
        worker: int | None,
        log: Log,
        *,
        price: Price = unknown_price,
        retention: Retention | None = None,
        own_process: bool = False,
    ) -> None:
        folder = data / "audit"
        self._wal = Wal(folder / WAL_FOLDER, "control" if worker is None else f"worker-{worker}")
        self.recorder = AuditRecorder(self._wal, load_cipher(folder))
        self._process = ShipProcess(folder, database_url, retention or Retention()) if own_process else None
        patience_s = PROCESS_STARTS_S if own_process else 0.0
        self.shipper = Shipper(folder, database_url, log, price, retention, patience_s=patience_s)

    def start(self) -> None:
        """Starts shipping, or waiting for the process that ships to end."""
        if self._process is not None:
            self._process.start()
        self.shipper.start()

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Waits until everything recorded so far is in the database. Raises TimeoutError."""
        await self.shipper.flush(timeout_s)

    async def stop(self) -> None:
        """Gives the write-ahead folder up, then ships what is left as far as time allows."""
        self._wal.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)
        await self.shipper.stop()

    def backlog(self) -> tuple[int, float, int]:
        """For metrics: records not yet stored (an estimate), seconds since the oldest, heads that the database lost."""
        return self.shipper.waiting_records, self.shipper.lag_s, self.shipper.lost_heads

    def degraded(self) -> list[str]:
        """`audit` while records do not reach the database, for readiness."""
        return ["audit"] if self.shipper.is_down else []
