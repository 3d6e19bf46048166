"""Throughput and latency: bare forwarder, Sigmaguard off, shadow and basic, nginx and the peers, in one run.

python -m gateway.run [--seconds S] [--rounds N] [--connections N] [--out DIR]
"""

import sys
import tempfile
from collections.abc import Sequence

from gateway.aims import aim_rows, broken, load_aims
from gateway.half_load import half_load, rows_of_half
from gateway.measuring import Table, common_arguments, compare, heading, rows_of, store
from gateway.picture import bars
from gateway.servers import Server, bare, litellm, nginx, portkey, provider, rules, sigmaguard

KINDS = ("small", "chat", "seen", "stream")


def main() -> None:
    """Runs everything, prints the table, stores JSON, Markdown and a picture."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--policies", nargs="*", default=["basic"])
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider()
        servers: list[Server] = []
        try:
            servers += start(upstream.url, folder, arguments.policies, peers=not arguments.no_peers)
            table = compare(servers, arguments.kinds, arguments.connections, arguments.seconds, arguments.rounds)
            named = ["rules", *arguments.policies]
            half = half_load(servers, named, table, arguments.connections, arguments.seconds, arguments.rounds)
        finally:
            for server in (*servers, upstream):
                server.stop()
    aims = load_aims()
    problems = broken(aims, table)
    note = f"{arguments.connections} connections, median of {arguments.rounds} rounds of {arguments.seconds:g} s."
    text = [*heading("Gateway: proxy beside a bare forwarder", note), *rows_of(table), ""]
    text += ["`rules` is `basic` without the classifier. Peers run with their guardrails and authentication off.", ""]
    text += ["## At half load", "", *rows_of_half(half), "", "## Aims", "", *aim_rows(aims, table, half), ""]
    text += problems or ["Every budget is kept."]
    store(arguments.out, "gateway", text, {"closed loop": table, "half load": half, "problems": problems})
    bars(ratios(table), arguments.out / "gateway.png", "Requests a second, as a ratio to the bare forwarder")
    sys.exit(1 if problems else 0)


def start(upstream: str, folder: str, policies: Sequence[str], *, peers: bool) -> list[Server]:
    """The servers of a comparison, the bare forwarder first."""
    found: list[Server | None] = [
        bare(upstream),
        sigmaguard("off", upstream, folder, "--mode", "off"),
        rules(upstream, folder),
        *(sigmaguard(policy, upstream, folder, policy=policy) for policy in policies),
        sigmaguard("shadow", upstream, folder, "--mode", "shadow"),
        nginx(upstream, folder),
    ]
    if peers:
        found += [litellm(upstream, folder), portkey(upstream)]
    names = {server.name for server in found if server is not None}
    for name in {"nginx", "litellm", "portkey"} - names:
        print(f"{name} is not there and left out (nginx: install it; peers: make bench-peers)", flush=True)
    return [server for server in found if server is not None]


def ratios(table: Table) -> dict[str, dict[str, float]]:
    """Requests a second by kind and server, as a ratio to the first server."""
    return {kind: {name: one["ratio"] for name, one in servers.items()} for kind, servers in table.items()}


if __name__ == "__main__":
    main()
