"""One process's share of the audit log: its recorder, and a shipper that works or stands by."""

from pathlib import Path

from sigmaguard_proxy.audit.keys import load_cipher
from sigmaguard_proxy.audit.recorder import AuditRecorder
from sigmaguard_proxy.audit.retention import Retention
from sigmaguard_proxy.audit.rows import Price
from sigmaguard_proxy.audit.shipper import Shipper
from sigmaguard_proxy.audit.shipping import WAL_FOLDER, unknown_price
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.logs import Log


class AuditLog:
    """Opened once a process. `worker` is its number, None for the supervisor, which records only acts.

    The database has its tables before `start`. `recorder` works from the beginning, and goes on working
    while the database is down.
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
    ) -> None:
        folder = data / "audit"
        self._wal = Wal(folder / WAL_FOLDER, "control" if worker is None else f"worker-{worker}")
        self.recorder = AuditRecorder(self._wal, load_cipher(folder))
        self.shipper = Shipper(folder, database_url, log, price, retention)

    def start(self) -> None:
        """Starts shipping, or waiting for the process that ships to end."""
        self.shipper.start()

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Waits until everything recorded so far is in the database. Raises TimeoutError."""
        await self.shipper.flush(timeout_s)

    async def stop(self) -> None:
        """Gives the write-ahead folder up, then ships what is left as far as time allows."""
        self._wal.close()
        await self.shipper.stop()

    def backlog(self) -> tuple[int, float]:
        """Records not yet in the database (an estimate) and the age of the oldest in seconds, for metrics."""
        return self.shipper.waiting_records, self.shipper.lag_s

    def degraded(self) -> list[str]:
        """`audit` while records do not reach the database, for readiness."""
        return ["audit"] if self.shipper.is_down else []
