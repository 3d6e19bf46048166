"""Microseconds a record costs on the hot path: encoding, checksum, one write(2); and what each step is of it."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from audit.records import records
from sigmaguard_proxy.audit.entries import entry_to_bytes
from sigmaguard_proxy.audit.keys import load_cipher
from sigmaguard_proxy.audit.recorder import AuditRecorder
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.ports import ExchangeRecord

ROUNDS = 7


def measure(count: int = 20_000) -> dict[str, float]:
    """Microseconds a record, the median of seven rounds, by what was done."""
    made = list(records(count, time.time(), 1.0))
    encoded = [entry_to_bytes(record) for record in made]
    with tempfile.TemporaryDirectory() as folder:
        wal = Wal(Path(folder) / "wal", "worker-0")
        recorder = AuditRecorder(wal, load_cipher(Path(folder)))
        kept = [record for record in made[:200]]
        body = b'{"role":"user","content":"' + b"What is the capital of Portugal? " * 60 + b'"}'
        import msgspec

        with_content = [msgspec.structs.replace(record, content=(body, body)) for record in kept] * 10
        result = {
            "record (all of it)": _median(recorder.record, made),
            "encoding alone": _median(entry_to_bytes, made),
            "frame and write alone": _median(wal.append, encoded),
            "record with 2 + 2 KB of content encrypted": _median(recorder.record, with_content),
        }
        wal.close()
    result["bytes a record"] = sum(map(len, encoded)) / len(encoded)
    return result


def _median(work: Callable[[ExchangeRecord], object] | Callable[[bytes], object], items: list) -> float:  # type: ignore[type-arg]
    rounds = []
    for _ in range(ROUNDS):
        since = time.perf_counter()
        for item in items:
            work(item)
        rounds.append((time.perf_counter() - since) / len(items) * 1e6)
    return sorted(rounds)[ROUNDS // 2]


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:45} {value:8.2f}")
