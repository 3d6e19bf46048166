"""How throughput changes with workers, connections, history, message size and stream length.

python -m gateway.scaling [--seconds S] [--rounds N] [--out DIR]
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.measuring import Figures, common_arguments, compare, heading, rows_of, store
from gateway.picture import lines as draw
from gateway.servers import Server, bare, provider, sigmaguard

CHAT = "messages=20,chars=790"


@dataclass(frozen=True)
class Sweep:
    """One thing that grows: its name, and for each size the kind of body and the connections."""

    name: str
    points: tuple[tuple[int, str, int], ...]


SWEEPS = (
    Sweep("connections", tuple((count, CHAT, count) for count in (1, 4, 16, 64, 256))),
    Sweep("messages of history", tuple((count, f"messages={count},chars=790", 16) for count in (1, 5, 20, 80, 320))),
    Sweep("code points of a message", tuple((size, f"chars={size}", 16) for size in (100, 1000, 10_000, 100_000))),
    Sweep("chunks of a stream", tuple((count, f"chunks={count}", 16) for count in (10, 50, 250, 1000))),
)


def main() -> None:
    """Runs every sweep, stores tables and pictures."""
    arguments = common_arguments(__doc__ or "").parse_args()
    text = heading("Scaling", f"Median of {arguments.rounds} rounds of {arguments.seconds:g} s, policy basic.")
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider()
        servers = [bare(upstream.url), sigmaguard("basic", upstream.url, folder)]
        try:
            for sweep in SWEEPS:
                found = run(sweep, servers, arguments.seconds, arguments.rounds)
                figures[sweep.name] = found
                text += [f"## By {sweep.name}", "", *table(sweep.name, found), ""]
                series = {
                    name: [(float(size), row[name]["rps"]) for size, row in found.items()] for name in ("bare", "basic")
                }
                path = arguments.out / f"scaling-{sweep.name.split()[0]}.png"
                arguments.out.mkdir(parents=True, exist_ok=True)
                draw(series, path, f"Requests a second by {sweep.name}", sweep.name, "requests/s")
        finally:
            stop(servers)
        workers = [sigmaguard(f"{count} workers", upstream.url, folder, "--workers", str(count)) for count in (1, 2, 4)]
        try:
            by_workers = compare(workers, ["chat"], 32, arguments.seconds, arguments.rounds)
        finally:
            stop([*workers, upstream])
    figures["workers"] = by_workers
    text += ["## By workers", "", "Ratios are to one worker.", "", *rows_of(by_workers)]
    store(arguments.out, "scaling", text, figures)


def run(sweep: Sweep, servers: list[Server], seconds: float, rounds: int) -> dict[int, dict[str, Figures]]:
    """Figures by size and server."""
    return {
        size: compare(servers, [kind], connections, seconds, rounds)[kind] for size, kind, connections in sweep.points
    }


def table(name: str, found: dict[int, dict[str, Figures]]) -> list[str]:
    """A sweep as Markdown."""
    rows = [f"| {name} | bare requests/s | basic requests/s | ratio | basic p50 ms | basic p99 ms |", "|---:" * 6 + "|"]
    for size, row in found.items():
        one = row["basic"]
        rows.append(
            f"| {size} | {row['bare']['rps']:.0f} | {one['rps']:.0f} | {one['ratio']:.2f} "
            f"| {one['p50_ms']:.2f} | {one['p99_ms']:.2f} |"
        )
    return rows


def stop(servers: Iterable[Server]) -> None:
    """Ends them all."""
    for server in servers:
        server.stop()


if __name__ == "__main__":
    main()
