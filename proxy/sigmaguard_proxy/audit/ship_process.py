"""The shipper as a process of its own: shipping never competes with a worker for its interpreter.

It ends with its parent, however that ends: its standard input closes, it ships what is left, and goes.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from sigmaguard_proxy.audit.retention import Retention
from sigmaguard_proxy.audit.shipper import STOP_TIMEOUT_S, Shipper
from sigmaguard_proxy.control.prices import load_prices
from sigmaguard_proxy.logs import Log

NICENESS = 10  # traffic goes first; records wait on disk


class Task(msgspec.Struct, frozen=True):
    """What the process is told on its standard input: the folder `DATA/audit`, and the database's URL."""

    folder: str
    database_url: str
    retention: Retention


class ShipProcess:
    """The parent's handle on its shipping process."""

    def __init__(self, folder: Path, database_url: str, retention: Retention) -> None:
        self._task = Task(str(folder), database_url, retention)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process; it works as soon as it is up and nobody else holds the lock."""
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        # the URL holds a password: it never stands in an argument list or the environment
        self._process.stdin.write(msgspec.json.encode(self._task) + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Lets it ship what is left and waits for its end; blocking, so call it in a thread."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended already; the next that starts ships the rest
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S + 5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Ships until the parent is gone."""
    os.nice(NICENESS)
    os.setsid()  # a Ctrl-C at the terminal is for the parent, which then closes our input
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    folder = Path(task.folder)
    prices = load_prices(folder.parent)
    shipper = Shipper(folder, task.database_url, Log("sigmaguard-audit"), prices.cost_usd, task.retention)
    shipper.start()
    sys.stdin.buffer.read()
    shipper.finish()


if __name__ == "__main__":
    main()
