"""One tool server as a child process: started, read line by line, bounded, ended. Knows lines, not methods."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import orjson

from sigmaguard_proxy.faults import FaultError, overloaded, upstream_fault
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.tasks import Tasks

# what a program needs to run at all; nothing else of our environment is the server's to see
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SYSTEMROOT")
BURST_S = 10.0  # a server may send this many seconds' worth of its rate at once
END_S = 2.0  # between closing stdin, SIGTERM and SIGKILL
BACKOFF_S = (0.5, 60.0)  # first and longest wait after a start that failed


class Backoff:
    """How long to wait before a server that failed is started again."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def check(self, name: str) -> None:
        """Raises FaultError while it is too early to try again."""
        left = self._until - time.monotonic()
        if left > 0:
            fault = overloaded(
                "upstream_restarting", f"tool server `{name}` failed; it is started again in {left:.1f} s"
            )
            fault.retry_after_s = left
            raise fault

    def failed(self) -> None:
        """Doubles the wait."""
        first, longest = BACKOFF_S
        self._until = time.monotonic() + min(longest, first * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)

    def worked(self) -> None:
        """Forgets the failures."""
        self._failures, self._until = 0, 0.0


class Meter:
    """Whether a server keeps to its rate (a token bucket)."""

    def __init__(self, per_s: float, burst_s: float = BURST_S) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * burst_s)
        self._left = self._most
        self._at = time.monotonic()

    def admit(self) -> bool:
        """Counts one message; False where it is one too many."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class ServerProcess:
    """A running server. `on_message` gets each parsed line, `on_end` the reason why no more will come."""

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        tasks: Tasks,
        log: Log,
        on_message: Callable[[object], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._name = name
        self._settings = settings
        self._tasks = tasks
        self._log = log
        self._on_message = on_message
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._meter = Meter(settings.messages_per_s)
        self._ended = False

    async def start(self) -> None:
        """Starts the program. Raises FaultError where that is not possible."""
        settings = self._settings
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | settings.env
        try:
            self._process = await asyncio.create_subprocess_exec(
                settings.command,
                *settings.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # may hold anything; a server that wants to log has a file
                env=environment,
                cwd=settings.cwd or None,
                limit=settings.message_bytes,
                start_new_session=True,  # so that what it starts itself ends with it
            )
        except OSError as error:
            what = error.strerror or "failed"
            raise upstream_fault(
                "upstream_unreachable", f"tool server `{self._name}` cannot be started: {what}"
            ) from error
        self._log.info("tool_server_started", server=self._name, process=self._process.pid)
        self._tasks.spawn(self._read(), name=f"mcp-{self._name}")

    async def send(self, line: bytes) -> None:
        """Writes one message. Raises FaultError where the server is gone or does not read."""
        process = self._process
        if process is None or process.stdin is None or self._ended:
            raise self._gone()
        try:
            process.stdin.write(line + b"\n")
            async with asyncio.timeout(self._settings.timeout_s):
                await process.stdin.drain()
        except TimeoutError as error:
            raise upstream_fault("upstream_timeout", f"tool server `{self._name}` does not read", 504) from error
        except (OSError, RuntimeError) as error:
            raise self._gone() from error

    def _gone(self) -> FaultError:
        return upstream_fault("upstream_reset", f"tool server `{self._name}` has ended")

    async def _read(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None
        reason = "ended"
        try:
            while line := await process.stdout.readline():
                if not self._meter.admit():
                    reason = "flooded"
                    break
                if not line.strip():
                    continue
                try:
                    body = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue  # programs print things; only JSON lines are the protocol's (MCP, "stdio")
                self._on_message(body)
        except ValueError:  # a line over the limit
            reason = "message_too_large"
        finally:
            self._ended = True
            self._on_end(reason)
            await self.stop()

    async def stop(self) -> None:
        """Ends the program and what it started: its input closed, then asked, then killed."""
        process, self._ended = self._process, True
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                _signal(process.pid, number)
            try:
                async with asyncio.timeout(END_S):
                    await process.wait()
                break
            except TimeoutError:
                continue
        self._log.info("tool_server_ended", server=self._name, status=process.returncode)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.killpg(process, number)
    except ProcessLookupError:
        return
