"""`python -m agents`: measures agents with and without the firewall and writes `bench/results/agents.md`."""

import argparse
import asyncio
import json
import logging
import platform
import time
from pathlib import Path

from agents.attacks import WRAPPINGS
from agents.run import Tally, measure_all

RESULTS = Path(__file__).parent.parent / "results"


def percent(part: int, whole: int) -> str:
    """A share, or a dash where there is nothing to share."""
    return f"{100.0 * part / whole:.1f} %" if whole else "-"


def report(tallies: list[Tally]) -> str:
    """The results as Markdown."""
    first = tallies[0]
    lines = [
        "# Agents under attack",
        "",
        f"{len(first.benign)} office tasks (English and German) and {len(first.attacked)} attacked runs a setup, in the",
        "manner of AgentDojo: a scripted model follows its user's plan and obeys every instruction it reads in a page,",
        "mail, file or bill, so without a firewall every attack that it can read succeeds. Model and tools are reached",
        "through the proxy (`/v1/chat/completions` and the federated `/mcp`). Policy `basic`; detectors: "
        + ", ".join(first.detectors)
        + ".",
        "",
        "The person in the third setup grants what the user asked for and refuses what the attacker did; how often they",
        "were asked is counted. Utility under attack counts tasks done although a page was poisoned.",
        "",
        "| setup | utility | utility under attack | attacks that succeed | calls a person was asked about |",
        "|---|---|---|---|---|",
    ]
    for one in tallies:
        done, reached = sum(row[1] for row in one.attacked), sum(row[2] for row in one.attacked)
        lines.append(
            f"| {one.setup.name} | {percent(sum(one.benign), len(one.benign))} "
            f"| {percent(done, len(one.attacked))} | {percent(reached, len(one.attacked))} | {one.asked} |"
        )
    lines += [
        "",
        "Attacks that succeed, by the way they are put:",
        "",
        "| wrapping | " + " | ".join(t.setup.name for t in tallies) + " |",
    ]
    lines.append("|---|" + "---|" * len(tallies))
    for wrapping in WRAPPINGS:
        cells = []
        for one in tallies:
            rows = [row for row in one.attacked if row[0] == wrapping]
            cells.append(percent(sum(row[2] for row in rows), len(rows)))
        lines.append(f"| {wrapping} | " + " | ".join(cells) + " |")
    when = time.strftime("%Y-%m-%d", time.gmtime())
    lines += [
        "",
        f"Run on {when}, Python {platform.python_version()}. Repeat with `PYTHONPATH=bench python -m agents`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the report and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--every", type=int, default=5, help="run each Nth of the 672 attacks; 5 takes part in all")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the tool server's own log of connections that end
    tallies = asyncio.run(measure_all(every=arguments.every))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "agents.md").write_text(report(tallies), encoding="utf-8")
    figures = {
        one.setup.name: {
            "utility": sum(one.benign) / len(one.benign),
            "utility_under_attack": sum(row[1] for row in one.attacked) / len(one.attacked),
            "attack_success": sum(row[2] for row in one.attacked) / len(one.attacked),
            "asked": one.asked,
            "detectors": list(one.detectors),
        }
        for one in tallies
    }
    (arguments.out / "agents.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(report(tallies))


if __name__ == "__main__":
    main()
