"""What a run is held to: budgets, which fail it, and aims, of which it tells whether they are reached.

Both are ratios of one run, from `budgets.toml`; nothing here knows an absolute time but the added p99.
"""

import tomllib
from pathlib import Path

import msgspec

from gateway.half_load import HalfLoad, added_ms
from gateway.measuring import Table

FILE = Path(__file__).parents[1] / "budgets.toml"


class Aim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At least `ratio` times the throughput of `against` with a kind of body."""

    server: str
    against: str
    kind: str
    ratio: float


class Added(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `p99_ms` more than the bare forwarder at half load."""

    server: str
    kind: str
    p99_ms: float


class Aims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything aimed at, and the floors under what has been reached: server -> kind -> ratio to the bare one."""

    throughput: dict[str, dict[str, float]]
    aims: tuple[Aim, ...] = ()
    added: tuple[Added, ...] = ()
    latency: dict[str, dict[str, float]] = {}


def load_aims(file: Path = FILE) -> Aims:
    """From the file. Raises msgspec.ValidationError with the place."""
    return msgspec.convert(tomllib.loads(file.read_text()), Aims)


def broken(aims: Aims, table: Table) -> list[str]:
    """The floors a run fell through, a sentence each."""
    found = []
    for server, kinds in aims.throughput.items():
        for kind, floor in kinds.items():
            ratio = _ratio(table, kind, server, "bare")
            if ratio is not None and ratio < floor:
                found.append(f"{server} with {kind}: {ratio:.2f} of the bare forwarder; the budget is {floor:g}")
    return found


def aim_rows(aims: Aims, table: Table, half: HalfLoad) -> list[str]:
    """Every aim with what was measured, as Markdown; those whose servers are not there are left out."""
    lines = ["| aim | at least | measured | reached |", "|---|---:|---:|---|"]
    for aim in aims.aims:
        ratio = _ratio(table, aim.kind, aim.server, aim.against)
        if ratio is not None:
            reached = "yes" if ratio >= aim.ratio else "no"
            lines.append(f"| `{aim.server}` to {aim.against}, {aim.kind} | {aim.ratio:g} | {ratio:.2f} | {reached} |")
    for one in aims.added:
        pair = half.get(one.kind, {}).get(one.server)
        if pair is not None:
            added = added_ms(pair, "p99_ms")
            reached = "yes" if added <= one.p99_ms else "no"
            lines.append(
                f"| `{one.server}` added p99 at half load, {one.kind} | under {one.p99_ms:g} ms | {added:.2f} ms | {reached} |"
            )
    return lines


def _ratio(table: Table, kind: str, server: str, against: str) -> float | None:
    figures = table.get(kind, {})
    if server not in figures or against not in figures:
        return None
    return figures[server]["ratio"] / max(0.001, figures[against]["ratio"])
