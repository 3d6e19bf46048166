"""Where each microsecond goes: stage by stage from the proxy's own metrics, and function by function by a profiler.

    python -m gateway.stages [--seconds S] [--before FILE] [--out DIR]

The profiler (cProfile, in the thread of the event loop, after a warm-up) slows everything down about twofold, so only
shares count; what pooled detectors do in their threads is in the stages, not in the shares. `--before` names the
JSON file of an earlier run, which then stands beside.
"""

import cProfile
import io
import os
import pstats
import re
import runpy
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import msgspec

from gateway.measuring import common_arguments, heading, measure, store
from gateway.picture import stacked
from gateway.servers import HERE, Server, free_port, module, provider, sigmaguard

_SAMPLE = re.compile(r'sigmaguard_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')
KINDS = ("chat", "seen", "stream")
LARGEST = 10
CONNECTIONS = 16


class Cost(msgspec.Struct, frozen=True):
    """A function's own share of the loop's time in percent, and how often it is called for a request."""

    function: str
    share: float
    calls: float


class Spent(msgspec.Struct, frozen=True):
    """Where the time of one kind of body goes: mean microseconds by stage, and the dearest functions."""

    stages_us: dict[str, float]
    costs: tuple[Cost, ...]


class Report(msgspec.Struct, frozen=True):
    """One run."""

    commit: str
    date: str
    kinds: dict[str, Spent]


def main() -> None:
    """Measures both, stores the tables."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--profile-to", type=Path, help="(internal) run the proxy under the profiler")
    parser.add_argument("--before", type=Path, help="JSON file of an earlier run (default: that in --out)")
    parser.add_argument("--name", default="stages", help="of the files written")
    arguments, rest = parser.parse_known_args()
    if arguments.profile_to:
        profiled(arguments.profile_to, rest)
        return
    before = _before(arguments.before or arguments.out / "stages-before.json")
    kinds: dict[str, Spent] = {}
    with tempfile.TemporaryDirectory() as folder:
        upstream = provider()
        try:
            for kind in KINDS:
                by_stage = stages(upstream.url, f"{folder}/{kind}", kind, arguments.seconds)
                kinds[kind] = Spent(by_stage, costs_of(upstream.url, folder, kind, arguments.seconds))
                print(f"{kind}: {sum(by_stage.values()):.0f} us in all stages", flush=True)
        finally:
            upstream.stop()
    found = Report(_commit(), f"{datetime.now(UTC):%Y-%m-%d %H:%M}", kinds)
    text = heading("Where the time goes", f"Policy basic, {CONNECTIONS} connections.")
    for kind, spent in kinds.items():
        text += rows_of(kind, spent, before)
    store(arguments.out, arguments.name, text, msgspec.to_builtins(found))
    series = {kind: spent.stages_us for kind, spent in kinds.items()}
    stacked(series, arguments.out / f"{arguments.name}.png", "Mean time in each stage", "microseconds")


def rows_of(kind: str, spent: Spent, before: Report | None) -> list[str]:
    """One kind of body as Markdown, beside an earlier run where there is one."""
    earlier = before.kinds.get(kind) if before else None
    extra = f" {before.commit}, {before.date[:10]} |" if before and earlier else ""
    text = [f"## {kind}", "", f"| stage | mean us |{extra}", "|---|---:|" + ("---:|" if extra else "")]
    for stage, mean in spent.stages_us.items():
        text.append(f"| {stage} | {mean:.1f} |" + (f" {earlier.stages_us.get(stage, 0.0):.1f} |" if earlier else ""))
    text += [
        "",
        f"The {LARGEST} largest costs, by a function's own time:",
        "",
        "| function | share % | calls a request |",
        "|---|---:|---:|",
        *(f"| `{one.function}` | {one.share:.1f} | {one.calls:.1f} |" for one in spent.costs),
        "",
    ]
    if before and earlier:
        text += [
            f"Before ({before.commit}, {before.date[:10]}):",
            "",
            "| function | share % | calls a request |",
            "|---|---:|---:|",
            *(f"| `{one.function}` | {one.share:.1f} | {one.calls:.1f} |" for one in earlier.costs),
            "",
        ]
    return text


def _before(file: Path) -> Report | None:
    return msgspec.json.decode(file.read_bytes(), type=Report) if file.is_file() else None


def _commit() -> str:
    line = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return line.stdout.strip()


def stages(upstream: str, folder: str, kind: str, seconds: float) -> dict[str, float]:
    """Mean microseconds of each stage."""
    Path(folder).mkdir()
    server = sigmaguard("basic", upstream, folder)
    try:
        measure(server, kind, CONNECTIONS, seconds)
        text = server.metrics()
    finally:
        server.stop()
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _SAMPLE.findall(text):
        found.setdefault(stage, {})[what] = float(value)
    return {stage: one["sum"] / max(1.0, one["count"]) * 1e6 for stage, one in found.items()}


def costs_of(upstream: str, folder: str, kind: str, seconds: float) -> tuple[Cost, ...]:
    """The functions that cost most by themselves, under load."""
    port, target = free_port(), Path(folder) / f"{kind}.prof"
    command = module(
        "gateway.stages",
        *("--profile-to", str(target), "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"),
        *("--upstream", f"openai={upstream}", "--data", f"{folder}/profiled-{kind}"),
    )
    server = Server("profiled", command, port, folder=folder)
    try:
        measure(server, kind, CONNECTIONS, min(1.0, seconds))  # warm
        os.kill(server.pid, signal.SIGUSR1)
        requests = measure(server, kind, CONNECTIONS, seconds)["requests"]
    finally:
        server.stop()
    table = pstats.Stats(str(target), stream=io.StringIO()).stats  # type: ignore[attr-defined]
    rows = sorted(((own, calls, name) for name, (_, calls, own, _, _) in table.items()), reverse=True)
    total = sum(own for own, _, _ in rows)
    return tuple(Cost(_label(name), own / total * 100, calls / requests) for own, calls, name in rows[:LARGEST])


def _label(name: tuple[str, int, str]) -> str:
    path, line, function = name
    return f"{'/'.join(Path(path).parts[-2:])}:{line} {function}" if line else function


def profiled(target: Path, arguments: list[str]) -> None:
    """Runs `sigmaguard`, under the profiler from SIGUSR1 on, and leaves the profile when it ends."""
    sys.argv = ["sigmaguard", *arguments]
    profiler = cProfile.Profile()

    def begin(_number: int, _frame: FrameType | None) -> None:
        profiler.enable()

    signal.signal(signal.SIGUSR1, begin)
    try:
        runpy.run_module("sigmaguard_proxy.cli", run_name="__main__")
    except SystemExit:
        pass
    finally:
        profiler.disable()
        profiler.dump_stats(target)


if __name__ == "__main__":
    main()
