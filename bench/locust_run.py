"""Runs the realistic mix against the bare forwarder and Sigmaguard, alternating, and holds it to the budgets.

    python -m locust_run [--seconds S] [--users N] [--rounds N] [--think MS] [--out DIR]

The provider thinks before it answers, as a model does: what a check costs beside an answer that is under way anyway is
what a client feels. Exits 1 where a ratio of `budgets.toml` is broken or a request failed.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from gateway.measuring import heading, store
from gateway.picture import bars
from gateway.servers import HERE, Server, bare, provider, sigmaguard

Row = dict[str, float]
BENCH = HERE.parent


def main() -> None:
    """Runs, prints, stores, judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--users", type=int, default=20, help="40 requests a second: below what one worker can")
    parser.add_argument("--think", type=float, default=250.0, metavar="MS", help="time to a model's first byte")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=BENCH / "results")
    arguments = parser.parse_args()
    rounds: dict[str, list[dict[str, Row]]] = {"bare": [], "basic": []}
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider(arguments.think)
        servers = [bare(upstream.url), sigmaguard("basic", upstream.url, folder)]
        try:
            for number in range(arguments.rounds):
                for server in servers if number % 2 == 0 else reversed(servers):
                    print(f"round {number + 1}/{arguments.rounds}: {server.name}", flush=True)
                    rounds[server.name].append(mix(server, folder, arguments.users, arguments.seconds))
                    failures += failed(server, folder)
        finally:
            for server in (*servers, upstream):
                server.stop()
    found = {name: merged(rows) for name, rows in rounds.items()}
    problems = judge(found)
    note = (
        f"{arguments.users} users, {arguments.rounds} rounds of {arguments.seconds} s, a provider that thinks for "
        f"{arguments.think:g} ms; times in milliseconds."
    )
    text = heading("A realistic mix", note)
    text += [
        "| task | requests | failed | bare p50 | basic p50 | ratio | bare p99 | basic p99 | ratio |",
        "|---|" + "---:|" * 8,
    ]
    for task, one in found["basic"].items():
        base = found["bare"].get(task)
        if base is None:
            continue
        text.append(
            f"| {task} | {one['requests']:.0f} | {one['failed']:.0f} | {base['p50']:.1f} | {one['p50']:.1f} | "
            f"{one['p50'] / base['p50']:.2f} | {base['p99']:.1f} | {one['p99']:.1f} | {one['p99'] / base['p99']:.2f} |"
        )
    text += ["", *failures, *(problems or ["Every budget is kept."])]
    store(arguments.out, "mix", text, {"figures": found, "problems": problems, "failures": failures})
    p50 = {task: {name: rows[task]["p50"] for name, rows in found.items() if task in rows} for task in found["basic"]}
    bars(p50, arguments.out / "mix.png", "Median latency of the realistic mix, ms")
    sys.exit(1 if problems else 0)


def mix(server: Server, folder: str, users: int, seconds: int) -> dict[str, Row]:
    """One locust run; figures by task."""
    prefix = Path(folder) / f"locust-{server.name}"
    command = [sys.executable, "-m", "locust", "-f", str(BENCH / "locustfile.py"), "--host", server.url, "--headless"]
    command += ["-u", str(users), "-r", str(users), "-t", f"{seconds}s", "--csv", str(prefix), "--loglevel", "ERROR"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds + 60)
    with (prefix.parent / f"{prefix.name}_stats.csv").open(newline="") as file:
        return {
            row["Name"]: {
                "requests": float(row["Request Count"]),
                "failed": float(row["Failure Count"]),
                "p50": max(0.1, float(row["50%"])),
                "p99": max(0.1, float(row["99%"])),
            }
            for row in csv.DictReader(file)
            if row["Name"] != "Aggregated"
        }


def failed(server: Server, folder: str) -> list[str]:
    """What failed in the last run against a server, and why."""
    with (Path(folder) / f"locust-{server.name}_failures.csv").open(newline="") as file:
        said = [
            f"{server.name} {row['Name']}: {row['Occurrences']} times {row['Error']}" for row in csv.DictReader(file)
        ]
    for line in said:
        print(line, flush=True)
    return said


def merged(rounds: list[dict[str, Row]]) -> dict[str, Row]:
    """Sums of counts and medians of latencies over rounds."""
    result: dict[str, Row] = {}
    for task in rounds[0]:
        rows = [one[task] for one in rounds if task in one]
        result[task] = {
            key: sum(row[key] for row in rows)
            if key in ("requests", "failed")
            else statistics.median(r[key] for r in rows)
            for key in rows[0]
        }
    return result


def judge(found: dict[str, dict[str, Row]]) -> list[str]:
    """The budgets that are broken."""
    budgets = tomllib.loads((BENCH / "budgets.toml").read_text())["latency"]
    problems = [f"{task}: {row['failed']:.0f} requests failed" for task, row in found["basic"].items() if row["failed"]]
    for quantile, limits in budgets.items():
        for task, limit in limits.items():
            ratio = found["basic"][task][quantile] / found["bare"][task][quantile]
            if ratio > limit:
                problems.append(f"{task} {quantile}: {ratio:.2f} times the bare forwarder; the budget is {limit:g}")
    return problems


if __name__ == "__main__":
    main()
