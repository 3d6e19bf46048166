"""`make bench`: every speed bench after the other, one page of what came out. Knows names and flags, measures nothing.

    python -m everything [--quick] [--out DIR]

Goes on after one that failed and exits 1 in the end. `--quick` only looks whether all of them run.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.measuring import heading
from gateway.servers import HERE, module

BENCH = HERE.parent


@dataclass(frozen=True)
class Bench:
    """A module, what it leaves (`NAME.md`), and its flags for the whole and for a quick look."""

    module: str
    name: str
    flags: tuple[str, ...]
    quick: tuple[str, ...]


# 16 to 19 minutes together on two cores with both peers, as busy as the machine is; the first takes seven of them
BENCHES = (
    Bench("gateway.run", "gateway", ("--seconds", "2", "--rounds", "3"), ("--seconds", "0.5", "--rounds", "1")),
    Bench("gateway.scaling", "scaling", ("--seconds", "0.8", "--rounds", "2"), ("--seconds", "0.3", "--rounds", "1")),
    Bench("gateway.stages", "stages", (), ("--seconds", "1")),
    Bench("gateway.first_token", "first_token", ("--requests", "40"), ("--requests", "5")),
    Bench("locust_run", "mix", (), ("--seconds", "5", "--rounds", "1")),
    Bench("gateway.soak", "soak", ("--minutes", "2"), ("--minutes", "0.4")),
)


def main() -> None:
    """Runs them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=BENCH / "results")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    lines = ["| bench | took s | ended |", "|---|---:|---|"]
    failed, began = 0, time.monotonic()
    for bench in BENCHES:
        since = time.monotonic()
        print(f"== {bench.module}", flush=True)
        flags = bench.quick if arguments.quick else bench.flags
        code = subprocess.run(module(bench.module, *flags, "--out", str(out)), cwd=BENCH).returncode
        failed += code != 0
        ended = "well" if code == 0 else f"with {code}: see its last lines"
        lines.append(f"| [{bench.name}]({bench.name}.md) | {time.monotonic() - since:.0f} | {ended} |")
    took = time.monotonic() - began
    text = [*heading("Speed", f"All benches in {took / 60:.1f} minutes."), *lines, "", *_aims(out / "gateway.md")]
    (out / "speed.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))
    sys.exit(1 if failed else 0)


def _aims(report: Path) -> list[str]:
    """The part of the gateway's report that says which aims are reached."""
    if not report.is_file():
        return []
    _, _, after = report.read_text().partition("## Aims\n")
    return ["## Aims", *after.splitlines()] if after else []


if __name__ == "__main__":
    main()
