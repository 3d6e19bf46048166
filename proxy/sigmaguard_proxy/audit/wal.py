"""A worker's write-ahead folder: appends payloads durably and boundedly. Knows files, no record and no database.

An append is one write(2), so it survives kill -9 of the process at once; power loss costs at most the
last `sync_every_s`, which a thread of its own brings to the disk.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from pathlib import Path

from sigmaguard_proxy.audit.frames import SEGMENT_HEADER_BYTES, frame, segment_header

SEGMENT_BYTES = 8 * 1024 * 1024
LIMIT_BYTES = 2 * 1024**3  # about an hour at 400 exchanges a second with the database down
TURN_AFTER_S = 60.0  # a shipped record stays in its segment until that is closed: erasure must not wait for 8 MiB
LOOK_AGAIN_S = 0.5  # how often a full folder is measured anew
LOCK_NAME = "lock"
SUFFIX = ".wal"
DRAFT_SUFFIX = ".new"


class Wal:
    """One writer's folder of segments. The folder is this process's alone until it ends.

    `sync_every_s` 0 never syncs (the system writes back in its own time). A segment that has held anything for
    `turn_after_s` is closed, so that it goes once it is shipped; syncing does that. Thread-safe.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        limit_bytes: int = LIMIT_BYTES,
        sync_every_s: float = 1.0,
        turn_after_s: float = TURN_AFTER_S,
    ) -> None:
        self.folder, self._lock_fd = _claim(root, name)
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._turn_after_s = turn_after_s
        self._filled_at = 0.0  # when the segment was first seen to hold something, 0 while it does not
        self._mutex = threading.Lock()
        self._fd = -1
        self._size = 0
        self._number = max((segment_number(path) for path in segments(self.folder)), default=0)
        self._full_until = 0.0
        self._dirty = False
        self._closed = threading.Event()
        self.appended = 0
        for draft in self.folder.glob(f"*{DRAFT_SUFFIX}"):  # of a writer that was killed between two steps
            draft.unlink(missing_ok=True)
        with self._mutex:
            self._open_next()
        self._syncer: threading.Thread | None = None
        if sync_every_s > 0:
            self._syncer = threading.Thread(target=self._sync, args=(sync_every_s,), name="audit-sync", daemon=True)
            self._syncer.start()

    def append(self, payload: bytes) -> None:
        """Writes one frame. Raises OSError where the disk or the folder's limit is full; nothing is then kept."""
        data = frame(payload)
        with self._mutex:
            if self._fd < 0 or (self._size > SEGMENT_HEADER_BYTES and self._size + len(data) > self._segment_bytes):
                self._rotate()
            if os.fstat(self._fd).st_nlink == 0:  # somebody removed the file: what is written to it would be lost
                self._rotate()
            written = os.write(self._fd, data)
            if written != len(data):
                self._undo()
                raise OSError(errno.ENOSPC, "the audit log's disk is full")
            self._size += written
            self._dirty = True
            self.appended += 1

    def close(self) -> None:
        """Syncs and gives the folder up; what is in it can be shipped by anyone."""
        self._closed.set()
        if self._syncer is not None:
            self._syncer.join(timeout=5.0)
        with self._mutex:
            if self._fd >= 0:
                os.fdatasync(self._fd)
                os.close(self._fd)
                self._fd = -1
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

    def _rotate(self) -> None:
        now = time.monotonic()
        # measuring a folder on every refused request would make a full disk a slow one as well
        if now >= self._full_until and self._used() >= self._limit_bytes:
            self._full_until = now + LOOK_AGAIN_S
        if now < self._full_until:
            raise OSError(
                errno.ENOSPC,
                f"the audit log's write-ahead folder holds its limit of {self._limit_bytes} bytes; "
                "records are not reaching the database",
            )
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._open_next()

    def _open_next(self) -> None:
        number = self._number + 1
        path = self.folder / f"{number:012d}{SUFFIX}"
        # written beside and renamed, so that a reader never meets a segment without its header
        draft = path.with_suffix(DRAFT_SUFFIX)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        header = segment_header(os.urandom(16))
        try:
            if os.write(fd, header) != len(header):
                raise OSError(errno.ENOSPC, "the audit log's disk is full")
            draft.rename(path)
        except OSError:
            os.close(fd)
            draft.unlink(missing_ok=True)  # a full disk refuses every request: they must not leave a file each
            raise
        self._fd, self._size, self._number, self._filled_at = fd, len(header), number, 0.0

    def _undo(self) -> None:
        """A short write leaves half a frame: cut it off, or leave the segment behind where even that fails."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            os.close(self._fd)
            self._fd = -1

    def _used(self) -> int:
        return sum(_size(path) for path in segments(self.folder))

    def _sync(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            self._turn()
            with self._mutex:
                if not self._dirty or self._fd < 0:
                    continue
                try:
                    copy = os.dup(self._fd)  # the loop may rotate while the disk works
                except OSError:  # no descriptor is left: the next turn tries again
                    continue
                self._dirty = False
            try:
                os.fdatasync(copy)
            except OSError:
                self._dirty = True
            finally:
                os.close(copy)

    def _turn(self) -> None:
        """Begins a new segment where this one has held something for long enough."""
        now = time.monotonic()
        with self._mutex:
            if self._fd < 0 or self._size <= SEGMENT_HEADER_BYTES:
                return
            self._filled_at = self._filled_at or now
            is_due = now - self._filled_at >= self._turn_after_s
        if not is_due or self._used() >= self._limit_bytes:  # the limit is kept by `append`, a segment at a time
            return
        with self._mutex:
            if self._closed.is_set():  # the folder may be another process's by now
                return
            old = self._fd
            try:
                self._open_next()
            except OSError:  # the disk is full: the old one has room left
                return
        if old >= 0:
            with contextlib.suppress(OSError):  # what is in it was written, and is shipped from there
                os.fdatasync(old)
            os.close(old)


def _claim(root: Path, name: str) -> tuple[Path, int]:
    """The folder `name`, or `name.2`, ... where another living process has it; locked until we end."""
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}.{number}")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            number += 1
        else:
            return folder, fd


def is_claimed(folder: Path) -> bool:
    """Whether a living process writes to this folder."""
    try:
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def segments(folder: Path) -> list[Path]:
    """The folder's segments, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def segment_number(path: Path) -> int:
    """The number of a segment within its folder."""
    return int(path.stem) if path.stem.isdigit() else 0


def writers(root: Path) -> list[Path]:
    """Every write-ahead folder under `root`, of the living and the dead."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
