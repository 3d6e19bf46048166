"""Where each microsecond goes: stage by stage from the proxy's own metrics, and function by function by a profiler.

    python -m gateway.stages [--seconds S] [--out DIR]

The profiler (cProfile, inside the proxy's process) slows everything down about twofold, so only shares count.
"""

import cProfile
import io
import pstats
import re
import runpy
import sys
import tempfile
import urllib.request
from pathlib import Path

from gateway.measuring import common_arguments, heading, measure, store
from gateway.servers import Server, free_port, module, provider, sigmaguard

_SAMPLE = re.compile(r'sigmaguard_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')
LARGEST = 25


def main() -> None:
    """Measures both, stores the tables."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--profile-to", type=Path, help="(internal) run the proxy under the profiler")
    arguments, rest = parser.parse_known_args()
    if arguments.profile_to:
        profiled(arguments.profile_to, rest)
        return
    text = heading("Where the time goes", "Policy basic, 16 connections.")
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider()
        try:
            for kind in ("chat", "seen", "stream"):
                by_stage = stages(upstream.url, f"{folder}/{kind}", kind, arguments.seconds)
                costs = costs_of(upstream.url, folder, kind, arguments.seconds)
                figures[kind] = {"stages_us": by_stage, "profile": costs}
                text += [f"## {kind}", "", "| stage | mean us |", "|---|---:|"]
                text += [f"| {stage} | {spent:.1f} |" for stage, spent in by_stage.items()]
                text += ["", "| function | share of CPU % | calls a request |", "|---|---:|---:|"]
                text += [f"| `{name}` | {share:.1f} | {calls:.1f} |" for name, share, calls in costs]
                text.append("")
        finally:
            upstream.stop()
    store(arguments.out, "stages", text, figures)


def stages(upstream: str, folder: str, kind: str, seconds: float) -> dict[str, float]:
    """Mean microseconds of each stage."""
    Path(folder).mkdir()
    server = sigmaguard("basic", upstream, folder)
    try:
        measure(server, kind, 16, seconds)
        with urllib.request.urlopen(f"{server.admin_url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.stop()
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _SAMPLE.findall(text):
        found.setdefault(stage, {})[what] = float(value)
    return {stage: one["sum"] / max(1.0, one["count"]) * 1e6 for stage, one in found.items()}


def costs_of(upstream: str, folder: str, kind: str, seconds: float) -> list[tuple[str, float, float]]:
    """The functions that cost most by themselves: name, share in percent, calls a request."""
    port, target = free_port(), Path(folder) / f"{kind}.prof"
    command = module(
        "gateway.stages",
        *("--profile-to", str(target), "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"),
        *("--upstream", f"openai={upstream}", "--data", f"{folder}/profiled-{kind}"),
    )
    server = Server("profiled", command, port, folder=folder)
    try:
        requests = measure(server, kind, 16, seconds)["requests"]
    finally:
        server.stop()
    table = pstats.Stats(str(target), stream=io.StringIO()).stats  # type: ignore[attr-defined]
    rows = [(own, calls, name) for name, (_, calls, own, _, _) in table.items()]
    total = sum(own for own, _, name in rows if "run_until_complete" not in name[2])
    rows = sorted((row for row in rows if "run_until_complete" not in row[2][2]), reverse=True)[:LARGEST]
    return [(_label(name), own / total * 100, calls / requests) for own, calls, name in rows]


def _label(name: tuple[str, int, str]) -> str:
    path, line, function = name
    return f"{'/'.join(Path(path).parts[-2:])}:{line} {function}" if line else function


def profiled(target: Path, arguments: list[str]) -> None:
    """Runs `sigmaguard` under the profiler and leaves the profile when it ends."""
    sys.argv = ["sigmaguard", *arguments]
    profiler = cProfile.Profile()
    try:
        profiler.runcall(runpy.run_module, "sigmaguard_proxy.cli", run_name="__main__")
    except SystemExit:
        pass
    finally:
        profiler.dump_stats(target)


if __name__ == "__main__":
    main()
