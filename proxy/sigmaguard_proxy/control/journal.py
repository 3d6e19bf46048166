"""Counts written down as they change, so that a process killed at any moment loses none. Knows lines, no limit.

One write(2) a line into a file the system keeps; two files in turn, so that what is old goes away by itself.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sigmaguard_proxy.control.counters import MemoryCounters

KEEP_S = 62  # a rate looks back 61 s; spending is in the database after a second or two

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One change; `at` when it was written."""

    at: float
    kind: str
    space: str
    name: str
    amount: int
    second: int
    ends_at: float | None = None


class CountJournal:
    """Appends lines and reads those of the process before."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._now, self._before = folder / "counts.now", folder / "counts.before"
        self._fd = -1
        self._started = 0.0
        self._flushed = 0.0

    def read(self) -> Iterator[Line]:
        """Every line of both files, oldest first; a torn last line is left out."""
        decode = msgspec.json.Decoder(Line).decode
        for path in (self._before, self._now):
            if not path.exists():
                continue
            for raw in path.read_bytes().split(b"\n"):
                try:
                    yield decode(raw)
                except msgspec.DecodeError:
                    continue  # cut short by the end of the process, or the empty end of the file

    def restore(self, counters: MemoryCounters) -> None:
        """Puts back what the process before had counted and the database does not have."""
        lines = list(self.read())
        flushed = max((line.ends_at or 0.0 for line in lines if line.kind == "flushed"), default=0.0)
        oldest = int(time.time()) - KEEP_S
        for line in lines:
            if (line.kind == "rate" and line.second >= oldest) or (line.kind == "spend" and line.at > flushed):
                counters.restore(line.kind, line.space, line.name, line.amount, line.second, line.ends_at)

    def note(self, kind: str, space: str, name: str, amount: int, second: int, ends_at: float | None) -> None:
        """Writes one line. A full disk must not stop traffic: the counts in memory still hold."""
        now = time.time()
        try:
            # while the database is down nothing is thrown away: the file grows until it is back
            if self._fd < 0 or (now - self._started > KEEP_S and self._flushed >= self._started):
                self._turn(now)
            os.write(self._fd, _encode(Line(now, kind, space, name, amount, second, ends_at)) + b"\n")
        except OSError:
            return

    def flushed(self, at: float) -> None:
        """Says that all spending up to `at` is in the database."""
        self.note("flushed", "", "", 0, int(at), at)
        self._flushed = at

    def _turn(self, now: float) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        if self._now.exists():
            self._now.replace(self._before)
        self._fd = os.open(self._now, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._started = now

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
