"""Masking under load: mails full of personal data and secrets, masked for the provider, restored in what it says back.

    python -m gateway.masking [--seconds S] [--rounds N] [--exchanges N] [--out DIR]

First requests a second beside the bare forwarder, then `--exchanges` of them in one process whose memory must stay
flat. Every text is new. An answer without the caller's own address counts as failed, and each server has a provider
of its own that counts the addresses it was sent: none but the bare forwarder's may see any. Exits 1 otherwise.
"""

import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import orjson

from gateway.measuring import Table, common_arguments, compare, heading, measure, rows_of, store
from gateway.servers import Server, bare, free_port, module, sigmaguard
from gateway.soak import judge, sample

KINDS = {
    "planted": "planted=1",
    "planted chat": "planted=1,messages=20,chars=790",
    "planted stream": "planted=1,chunks=1",
}
# What is on in each; all of them mask, none refuses
PACKS = {
    "masking": "{leaks: {action: mask}, pii: {action: {input: mask, output: flag}, threshold: 0.5}}",
    "masking, names": "{leaks: {action: mask}, pii: {action: {input: mask, output: flag}, threshold: 0.5},"
    " names: {action: {input: mask, output: flag}, options: {entities: [PERSON], languages: [en, de]}}}",
}
SOAKED = ("planted", "planted stream")  # in turn, so that restoring in a stream is part of it
TURN_S = 10.0


def main() -> None:
    """Compares, then soaks; stores Markdown and JSON."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--exchanges", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, sent = beside(folder, arguments.connections, arguments.seconds, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        samples, seen, planted, failed = soak(folder, arguments.exchanges, arguments.connections)
    note = f"{arguments.connections} connections, median of {arguments.rounds} rounds of {arguments.seconds:g} s."
    problems = [*told(sent), *judge(samples)]
    if planted or failed:
        problems.append(f"soak: the provider was sent {planted} addresses, {failed} answers came without theirs")
    lines = [*heading("Masking under load", note), *_explained(), *rows_of(table), "", *_sent(sent), ""]
    lines += [
        f"## Memory over {seen:,} exchanges", "",
        f"One process, {' and '.join(SOAKED)} in turn, policy `masking`, a verdict memory of 5,000 entries.", "",
        "| after s | exchanges | memory MB | descriptors | threads |", "|---:" * 5 + "|",
        *(
            f"| {one['at_s']:.0f} | {one['exchanges']:,.0f} | {one['memory_mb']:.1f} | {one['descriptors']:.0f} "
            f"| {one['threads']:.0f} |"
            for one in samples
        ),
        "", *(problems or ["Flat: nothing grows; no value reached the provider, every answer was restored."]),
    ]  # fmt: skip
    store(arguments.out, "masking", lines, {"table": table, "sent": sent, "samples": samples, "problems": problems})
    sys.exit(1 if problems else 0)


def beside(folder: str, connections: int, seconds: float, rounds: int) -> tuple[Table, dict[str, dict[str, int]]]:
    """The table, and how many requests with an address in them each server's provider was sent."""
    providers: dict[str, Server] = {}
    servers: list[Server] = []
    try:
        for name in ("bare", "off", *PACKS):
            providers[name] = provider()
            servers.append(started(name, providers[name].url, folder))
        measured = compare(servers, list(KINDS.values()), connections, seconds, rounds)
        sent = {name: counts(one) for name, one in providers.items()}
    finally:
        for server in (*servers, *providers.values()):
            server.stop()
    return {name: measured[kind] for name, kind in KINDS.items()}, sent


def started(name: str, upstream: str, folder: str) -> Server:
    """A server by its name in the table."""
    if name == "bare":
        return bare(upstream)
    if name == "off":
        return sigmaguard(name, upstream, folder, "--mode", "off")
    short = name.replace(", ", "-")
    pack = Path(folder) / f"{short}.yaml"
    # the load saturates on purpose: what waits longer than the usual budget is still measured, not refused
    pack.write_text(f"name: {short}\nbudget_ms: 5000\ndetectors: {PACKS[name]}\n")
    server = sigmaguard(short, upstream, folder, policy=str(pack))
    server.name = name
    return server


def provider() -> Server:
    """A provider that says back what it is told."""
    port = free_port()
    return Server("echo", module("gateway.echo", str(port)), port)


def counts(server: Server) -> dict[str, int]:
    """What a provider was sent: requests, and those with an address."""
    with urllib.request.urlopen(f"{server.url}/seen", timeout=10) as answer:
        found: dict[str, int] = orjson.loads(answer.read())
    return found


def soak(folder: str, exchanges: int, connections: int) -> tuple[list[dict[str, float]], int, int, float]:
    """Samples of one process over that many exchanges; how many there were, how many leaked and how many failed."""
    # a memory that is full after a few seconds, so that its bound is part of what is watched
    (Path(folder) / "sigmaguard.yaml").write_text("memory_entries: 5000\n")
    upstream = provider()
    server = started("masking", upstream.url, folder)
    samples: list[dict[str, float]] = []
    done = failed = 0.0
    began = time.monotonic()
    try:
        while done < exchanges:
            figures = measure(server, KINDS[SOAKED[len(samples) % len(SOAKED)]], connections, TURN_S)
            done += figures["requests"]
            failed += figures["failed"]
            samples.append({**sample(server, time.monotonic() - began), "exchanges": done})
            last = samples[-1]
            print(f"{last['at_s']:6.0f} s  {done:9,.0f} exchanges  {last['memory_mb']:7.1f} MB", flush=True)
        seen = counts(upstream)
    finally:
        server.stop()
        upstream.stop()
    return samples, seen["seen"], seen["planted"], failed


def told(sent: dict[str, dict[str, int]]) -> list[str]:
    """Servers that let an address through, and providers that were sent nothing at all."""
    problems = [f"{name}: the provider saw nothing" for name, one in sent.items() if not one["seen"]]
    return problems + [
        f"{name}: the provider was sent {one['planted']} addresses" for name, one in sent.items() if name in PACKS and one["planted"]
    ]  # fmt: skip


def _explained() -> Sequence[str]:
    return (
        "Every request is a new mail of 90 words with six values: address, IBAN, card, phone, token, password. `planted` "
        "is one such message, `planted chat` the last of 20, `planted stream` comes back a word a frame. The provider "
        "says back what it was told, so every answer is restored. `off` passes bytes, `masking` has leaks and personal "
        "data on, `masking, names` people's names as well. A failed answer is one without the caller's own address.",
        "",
    )


def _sent(sent: dict[str, dict[str, int]]) -> list[str]:
    lines = ["| server | requests its provider was sent | of them with the address |", "|---|---:|---:|"]
    return lines + [f"| {name} | {one['seen']} | {one['planted']} |" for name, one in sent.items()]


if __name__ == "__main__":
    main()
