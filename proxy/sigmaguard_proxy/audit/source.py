"""What the write-ahead folders of this data folder hold that is not in the database yet. Reads files only."""

import os
from pathlib import Path

import msgspec

from sigmaguard_proxy.audit.entries import Entry, EntryError, bytes_to_entry
from sigmaguard_proxy.audit.frames import (
    FRAME_LIMIT_BYTES,
    SEGMENT_HEADER_BYTES,
    Damage,
    frames,
    segment_identity,
)
from sigmaguard_proxy.audit.wal import is_claimed, segments, writers

CHUNK_BYTES = 1024 * 1024


class Moved(msgspec.Struct, frozen=True):
    """How far one segment goes with a batch: from `start` to `end`."""

    segment: str
    start: int
    end: int


class Batch(msgspec.Struct, frozen=True):
    """Entries to be stored together. `refused` are whole frames nobody understands, with their segment."""

    entries: list[Entry]
    moved: list[Moved]
    finished: list[tuple[Path, str]]
    refused: list[tuple[str, bytes]]
    damage: list[tuple[str, Damage]]

    def __bool__(self) -> bool:
        return bool(self.moved or self.finished)


class Source:
    """Reads batches; `positions` is how far each segment was shipped, as the database says."""

    def __init__(self, root: Path, positions: dict[str, int]) -> None:
        self._root = root
        self._positions = dict(positions)
        self._identities: dict[Path, str] = {}

    def read(self, limit: int) -> Batch:
        """The next entries, about `limit` of them, oldest first within each writer."""
        batch = Batch([], [], [], [], [])
        folders = writers(self._root)
        share = max(1, limit // max(1, len(folders)))
        for folder in folders:
            self._read_folder(folder, share, batch)
        return batch

    def advance(self, batch: Batch) -> list[str]:
        """Takes a stored batch as done and removes segments that are; the ids of those removed."""
        for moved in batch.moved:
            self._positions[moved.segment] = moved.end
        for path, segment in batch.finished:
            path.unlink(missing_ok=True)
            self._identities.pop(path, None)
            self._positions.pop(segment, None)
        return [segment for _, segment in batch.finished]

    def waiting_bytes(self) -> int:
        """Bytes that no batch has brought to the database yet."""
        return sum(max(0, size - self._offset(segment)) for segment, size in self.sizes().items())

    def sizes(self) -> dict[str, int]:
        """Every segment's id and size now."""
        found: dict[str, int] = {}
        for folder in writers(self._root):
            for path in segments(folder):
                segment = self._identity(path)
                if segment is not None:
                    found[segment] = _size(path)
        return found

    def _read_folder(self, folder: Path, share: int, batch: Batch) -> None:
        is_live = is_claimed(folder)  # asked before listing: a writer that comes now begins a new segment
        paths = segments(folder)
        wanted = len(batch.entries) + share
        for number, path in enumerate(paths):
            is_closed = not is_live or number < len(paths) - 1
            if not self._read_segment(path, wanted - len(batch.entries), batch, is_closed=is_closed):
                return

    def _read_segment(self, path: Path, limit: int, batch: Batch, *, is_closed: bool) -> bool:
        """Adds a segment's frames; whether the segment is exhausted, so that the next may follow."""
        segment = self._identity(path)
        if segment is None:
            return True
        start = at = self._offset(segment)
        size = _size(path)  # what is below this size is final: segments only grow, and a reader never passes it
        taken = 0
        chunk = CHUNK_BYTES
        while at < size and taken < limit:
            data = _read(path, at, min(chunk, size - at))
            before = at
            for piece in frames(data, at):
                at = piece.end
                if isinstance(piece, Damage):
                    batch.damage.append((segment, piece))
                    continue
                taken += 1
                try:
                    batch.entries.append(bytes_to_entry(piece.data))
                except EntryError:
                    batch.refused.append((segment, piece.data))
                if taken >= limit:
                    break
            if at == before:
                if chunk > FRAME_LIMIT_BYTES or before + chunk >= size:
                    break
                chunk *= 8
        if at > start:
            batch.moved.append(Moved(segment, start, at))
        if taken >= limit and at < size:
            return False
        if is_closed:  # what is left of a closed segment is a frame torn by kill -9: it was never answered for
            batch.finished.append((path, segment))
        return is_closed

    def _offset(self, segment: str) -> int:
        return max(self._positions.get(segment, 0), SEGMENT_HEADER_BYTES)

    def _identity(self, path: Path) -> str | None:
        known = self._identities.get(path)
        if known is None:
            known = segment_identity(_read(path, 0, SEGMENT_HEADER_BYTES))
            if known is not None:
                self._identities[path] = known
        return known


def _read(path: Path, offset: int, length: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
