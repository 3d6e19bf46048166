"""What the firewall adds where it is not saturated: each server at half of what it can, the bare forwarder at the same.

Knows rates and medians; the servers and what they can are given.
"""

from collections.abc import Sequence

from gateway.measuring import Figures, Table, measure, median
from gateway.servers import Server

HalfLoad = dict[str, dict[str, dict[str, Figures]]]  # kind -> server -> `bare` and `own` -> figures


def half_load(
    servers: Sequence[Server], names: Sequence[str], table: Table, connections: int, seconds: float, rounds: int
) -> HalfLoad:
    """Latencies at half of the throughput in `table`, for the named servers and every kind that is answered whole."""
    base, found = servers[0], HalfLoad()
    for kind, figures in table.items():
        if kind == "stream":  # paced by its chunks, not by its requests
            continue
        for server in servers:
            if server.name not in names:
                continue
            rate = figures[server.name]["rps"] / 2
            pairs: dict[str, list[Figures]] = {"bare": [], "own": []}
            for number in range(rounds):
                for which, one in (("bare", base), ("own", server))[:: 1 if number % 2 == 0 else -1]:
                    pairs[which].append(measure(one, kind, connections, seconds, rate))
            found.setdefault(kind, {})[server.name] = {which: median(rows) for which, rows in pairs.items()}
            added = added_ms(found[kind][server.name], "p99_ms")
            print(f"{kind:24} half load {server.name:12} {rate:6.0f} requests/s, {added:6.2f} ms at p99", flush=True)
    return found


def added_ms(pair: dict[str, Figures], quantile: str) -> float:
    """What a server adds to the bare forwarder's quantile."""
    return pair["own"][quantile] - pair["bare"][quantile]


def rows_of_half(found: HalfLoad) -> list[str]:
    """As Markdown."""
    lines = [
        "| body | server | requests/s | bare p50 ms | p50 ms | added p50 ms | bare p99 ms | p99 ms | added p99 ms |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, servers in found.items():
        for name, pair in servers.items():
            own, base = pair["own"], pair["bare"]
            lines.append(
                f"| {kind} | {name} | {own['rps']:.0f} | {base['p50_ms']:.2f} | {own['p50_ms']:.2f} | "
                f"{added_ms(pair, 'p50_ms'):.2f} | {base['p99_ms']:.2f} | {own['p99_ms']:.2f} | "
                f"{added_ms(pair, 'p99_ms'):.2f} |"
            )
    return lines
