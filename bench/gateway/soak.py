"""A soak of bounded length: memory, descriptors, threads and asyncio tasks must stay flat under a mix of traffic.

    python -m gateway.soak [--minutes M] [--out DIR]

Every text is new, so the verdict memory is exercised to its bound. Exits 1 where something grows.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from gateway.measuring import common_arguments, heading, measure, store
from gateway.picture import lines as draw
from gateway.servers import Server, provider, sigmaguard

KINDS = ("small", "chat", "stream", "chars=20000")
MEMORY_GROWTH = 1.10  # of the last quarter over the second; the first fills caches and warms allocators
WARM_SHARE = 4
SETTLE_S = 1.2  # until the server has sampled itself without the load's connections


def main() -> None:
    """Runs the mix, watches the process, judges the growth."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    samples: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider()
        # a memory that is full after a few seconds, so that its bound is part of what is watched
        (Path(folder) / "sigmaguard.yaml").write_text("memory_entries: 5000\n")
        server = sigmaguard("basic", upstream.url, folder)
        began = time.monotonic()
        try:
            while time.monotonic() - began < arguments.minutes * 60:
                for kind in KINDS:
                    measure(server, kind, arguments.connections, 2.0)
                time.sleep(SETTLE_S)
                samples.append(sample(server, time.monotonic() - began))
                last = samples[-1]
                print(
                    f"{last['at_s']:6.0f} s  {last['memory_mb']:7.1f} MB  {last['descriptors']:4.0f} files  "
                    f"{last['threads']:3.0f} threads  {last['tasks']:3.0f} tasks",
                    flush=True,
                )
        finally:
            server.stop()
            upstream.stop()
    problems = judge(samples)
    text = heading("Soak", f"{arguments.minutes:g} minutes of {', '.join(KINDS)}, every text new.")
    text += ["| after s | memory MB | descriptors | threads | tasks |", "|---:" * 5 + "|"]
    text += [
        f"| {one['at_s']:.0f} | {one['memory_mb']:.1f} | {one['descriptors']:.0f} | {one['threads']:.0f} | {one['tasks']:.0f} |"
        for one in samples
    ]
    text += ["", *(problems or ["Flat: nothing grows."])]
    store(arguments.out, "soak", text, {"samples": samples, "problems": problems})
    series = {"memory MB": [(one["at_s"], one["memory_mb"]) for one in samples]}
    draw(series, arguments.out / "soak.png", "Resident memory under a mix of traffic", "seconds", "MB")
    sys.exit(1 if problems else 0)


def sample(server: Server, at_s: float) -> dict[str, float]:
    """What the process holds right now."""
    threads = sum(int(_status(pid, "Threads")) for pid in server.processes())
    return {
        "at_s": at_s,
        "memory_mb": server.memory_bytes() / 1e6,
        "descriptors": server.descriptors(),
        "threads": threads,
        "tasks": _metric(server, "sigmaguard_event_loop_tasks"),
    }


def _status(pid: int, field: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in text.splitlines() if line.startswith(field + ":"))


def _metric(server: Server, name: str) -> float:
    lines = server.metrics().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))


def judge(samples: list[dict[str, float]]) -> list[str]:
    """What grew between the second quarter and the last."""
    quarter = max(1, len(samples) // WARM_SHARE)
    early, late = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]
    problems = []
    for key, allowed in (("memory_mb", MEMORY_GROWTH), ("descriptors", 1.2), ("threads", 1.0), ("tasks", 1.2)):
        before = statistics.median(one[key] for one in early)
        after = statistics.median(one[key] for one in late)
        if after > before * allowed:
            problems.append(f"{key} grew from {before:.1f} to {after:.1f}")
    return problems


if __name__ == "__main__":
    main()
