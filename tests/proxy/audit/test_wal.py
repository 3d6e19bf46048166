"""The write-ahead folder: nothing half-written counts, nothing grows without bound, no two writers share it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sigmaguard_proxy.audit.frames import SEGMENT_HEADER_BYTES, Payload, frames, segment_identity
from sigmaguard_proxy.audit.wal import Wal, is_claimed, segments


def _read(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in segments(folder):
        data = path.read_bytes()
        assert segment_identity(data) is not None
        found += [piece.data for piece in frames(data[SEGMENT_HEADER_BYTES:]) if isinstance(piece, Payload)]
    return found


def test_appends_survive_without_a_close_and_rotate(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", segment_bytes=500, sync_every_s=0)
    written = [f"{number}:".encode() + b"x" * (number % 90) for number in range(100)]
    for payload in written:
        wal.append(payload)
    assert _read(wal.folder) == written  # read while still open: write(2) is all there is
    assert len(segments(wal.folder)) > 5
    assert all(path.stat().st_size <= 500 for path in segments(wal.folder))
    wal.close()


def test_a_payload_larger_than_a_segment_is_kept_whole(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", segment_bytes=500, sync_every_s=0)
    for payload in (b"a", b"b" * 5_000, b"c"):
        wal.append(payload)
    assert _read(wal.folder) == [b"a", b"b" * 5_000, b"c"]
    wal.close()


def test_a_living_writer_keeps_its_folder_to_itself(tmp_path: Path) -> None:
    first = Wal(tmp_path, "worker-0", sync_every_s=0)
    second = Wal(tmp_path, "worker-0", sync_every_s=0)
    assert first.folder != second.folder
    assert is_claimed(first.folder) and is_claimed(second.folder)
    first.close()
    assert not is_claimed(first.folder)
    third = Wal(tmp_path, "worker-0", sync_every_s=0)
    assert third.folder == first.folder
    third.append(b"later")
    assert _read(third.folder) == [b"later"]
    second.close()
    third.close()


def test_the_limit_refuses_loudly_and_lifts_when_segments_go(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", segment_bytes=1_000, limit_bytes=5_000, sync_every_s=0)
    kept = 0
    with pytest.raises(OSError, match="limit of 5000 bytes"):
        for _ in range(100):
            wal.append(b"x" * 200)
            kept += 1
    assert len(_read(wal.folder)) == kept  # nothing of what was refused was written, nothing else was lost
    assert sum(path.stat().st_size for path in segments(wal.folder)) <= 6_000
    for path in segments(wal.folder)[:-1]:  # as shipping does it
        path.unlink()
    while True:  # the folder is measured anew after at most half a second
        try:
            wal.append(b"y" * 900)
            break
        except OSError:
            continue
    assert _read(wal.folder)[-1] == b"y" * 900
    wal.close()


def test_a_segment_that_somebody_removed_is_not_written_to_unseen(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", sync_every_s=0)
    wal.append(b"gone with its file")
    for path in segments(wal.folder):
        path.unlink()
    wal.append(b"kept")
    assert _read(wal.folder) == [b"kept"]
    wal.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from sigmaguard_proxy.audit.wal import Wal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
wal = Wal(Path(sys.argv[1]), "worker-0", sync_every_s=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
kept = 0
try:
    while True:
        wal.append(b"y" * 90)
        kept += 1
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
wal.append(b"after")
print(kept)
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_frame_leaves_no_half(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert _read(tmp_path / "worker-0") == [b"y" * 90] * int(done.stdout) + [b"after"]
    assert int(done.stdout) == 9


def test_what_was_written_reaches_the_disk_in_its_time(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", sync_every_s=0.01)
    wal.append(b"one")
    wal.close()  # waits for the syncing thread, then syncs what is left
    assert _read(wal.folder) == [b"one"]


def test_a_segment_that_has_held_something_for_its_time_is_closed_so_that_it_can_go(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", sync_every_s=0.01, turn_after_s=0.05)
    wal.append(b"one")
    deadline = time.monotonic() + 10.0
    while len(segments(wal.folder)) == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(segments(wal.folder)) == 2
    wal.append(b"two")
    assert _read(wal.folder) == [b"one", b"two"]
    wal.close()


def test_an_empty_segment_stays(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", sync_every_s=0.01, turn_after_s=0.0)
    wal._turn()
    assert len(segments(wal.folder)) == 1
    wal.close()


def test_a_folder_at_its_limit_gets_no_room_by_turning(tmp_path: Path) -> None:
    wal = Wal(tmp_path, "worker-0", segment_bytes=500, limit_bytes=400, sync_every_s=0, turn_after_s=0.0)
    wal.append(b"x" * 400)
    wal._turn()
    assert len(segments(wal.folder)) == 1
    with pytest.raises(OSError, match="limit"):
        wal.append(b"x" * 400)
    wal.close()
