"""Rounds of load against several servers in alternating order; medians and ratios to the first. Knows no server."""

import argparse
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway.servers import HERE, Server, module

Figures = dict[str, float]
Table = dict[str, dict[str, Figures]]  # kind of body -> server -> figures


def measure(server: Server, kind: str, connections: int, seconds: float, rate: float = 0.0) -> Figures:
    """One round against one server; at a rate (requests a second) or, at 0, as fast as it answers."""
    before = server.cpu_s()
    line = subprocess.run(
        module("gateway.load", server.url, kind, str(connections), str(seconds), str(rate), *server.headers),
        check=True,
        capture_output=True,
        cwd=HERE.parent,
        timeout=seconds + 45,
    ).stdout
    result: Figures = orjson.loads(line)
    result["cpu_ms_per_1000"] = (server.cpu_s() - before) * 1_000_000 / max(1.0, result["requests"])
    return result


def compare(servers: Sequence[Server], kinds: Sequence[str], connections: int, seconds: float, rounds: int) -> Table:
    """Medians over rounds whose order alternates, so that a slow minute of the machine hits everyone.

    `ratio` is that to the first server's requests a second in the same round: a machine that is a third faster
    a minute later moves both.
    """
    table: Table = {}
    for kind in kinds:
        found: dict[str, list[Figures]] = {server.name: [] for server in servers}
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                measure(server, kind, connections, min(0.5, seconds))  # warm
                one = measure(server, kind, connections, seconds)
                found[server.name].append(one)
                print(
                    f"{kind:24} round {number + 1}/{rounds} {server.name:12} {one['rps']:9.0f} requests/s", flush=True
                )
        first = [row["rps"] for row in found[servers[0].name]]
        for rows in found.values():
            for row, base in zip(rows, first, strict=True):
                row["ratio"] = row["rps"] / max(0.001, base)
        table[kind] = {name: median(rows) for name, rows in found.items()}
    return table


def median(rows: Sequence[Figures]) -> Figures:
    """Figure by figure."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def rows_of(table: Table) -> list[str]:
    """A table as Markdown; ratios are to the first server, medians over the rounds."""
    lines = [
        "| body | server | requests/s | ratio | p50 ms | p99 ms | first byte p50 ms | CPU ms per 1,000 | failed |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, servers in table.items():
        for name, one in servers.items():
            lines.append(
                f"| {kind} | {name} | {one['rps']:.0f} | {one['ratio']:.2f} | {one['p50_ms']:.2f} | "
                f"{one['p99_ms']:.2f} | {one['first_p50_ms']:.2f} | {one['cpu_ms_per_1000']:.0f} | {one['failed']:.0f} |"
            )
    return lines


def heading(title: str, note: str) -> list[str]:
    """The top of a report: what, when, which commit, on what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return [
        f"# {title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores, Python {platform.python_version()}. "
        f"{note} Load generator, upstream and servers share the cores: absolute figures mean little, ratios are of one run.",
        "",
    ]


def store(folder: Path, name: str, lines: Sequence[str], figures: Mapping[str, object]) -> None:
    """Prints a report and stores it as Markdown and JSON."""
    text = "\n".join(lines) + "\n"
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_bytes(
        orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n"
    )


def common_arguments(description: str) -> argparse.ArgumentParser:
    """The flags every bench has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    return parser
