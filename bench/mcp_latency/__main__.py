"""`python -m mcp_latency`: time per MCP message and per HTTP tool call, through the gateway against a direct one.

Direct and gateway requests alternate one by one in the same process, so whatever else the machine does
meets both; figures are ratios and differences of medians. Policy `basic`, without its classifier where no
trained model is there (the report names the detectors).
"""

import argparse
import asyncio
import contextlib
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from agents.run import SETUPS, basic, policy, served
from agents.world import Office
from aiohttp import web

from sigmaguard.model import Mode
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.settings import Settings

RESULTS = Path(__file__).parent.parent / "results"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
TEXT = "The third quarter closed at 418,000 euros; the report is in the shared folder. " * 12  # about 1 KB
Send = Callable[[], Awaitable[bytes]]


async def lean(request: web.BaseRequest) -> web.Response:
    """A server that does nothing: what is measured is the way to it."""
    asked = orjson.loads(await request.read() or b"{}")
    if request.path == "/api/page":
        return web.json_response({"text": TEXT})
    if asked.get("method") == "tools/list":
        tool = {"name": "t", "description": "Reads a report.", "inputSchema": {"type": "object", "properties": {}}}
        result: dict[str, Any] = {"tools": [{**tool, "name": f"tool_{number}"} for number in range(20)]}
    elif asked.get("method") == "ping":
        result = {}
    else:
        result = {"content": [{"type": "text", "text": f"{TEXT} {asked.get('id')}"}]}
    return web.json_response({"jsonrpc": "2.0", "id": asked.get("id"), "result": {**result, "resultType": "complete"}})


def mcp_sender(http: aiohttp.ClientSession, url: str, method: str, params: dict[str, Any]) -> Send:
    """Sends one request of the stateless revision; every call carries another text, so nothing is remembered."""
    number = iter(range(1, 1_000_000))

    async def send() -> bytes:
        at = next(number)
        sent = dict(params)
        if "arguments" in sent:
            sent["arguments"] = {
                **sent["arguments"],
                **({"note": f"{TEXT[:400]} {at}"} if "note" in sent["arguments"] else {}),
            }
        body = {"jsonrpc": "2.0", "id": at, "method": method, "params": {**sent, "_meta": META}}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            **({"Mcp-Name": sent["name"]} if "name" in sent else {}),
        }
        async with http.post(url, data=orjson.dumps(body), headers=headers) as answer:
            raw = await answer.read()
            assert answer.status == 200, raw
            return raw

    return send


def http_sender(http: aiohttp.ClientSession, url: str) -> Send:
    """Sends one HTTP call."""

    async def send() -> bytes:
        async with http.get(url) as answer:
            raw = await answer.read()
            assert answer.status == 200, raw
            return raw

    return send


async def compare(direct: Send, through: Send, count: int) -> dict[str, float]:
    """Alternates the two; medians and 99th percentiles in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    refused = 0
    for _ in range(count // 10):
        await direct()
        await through()
    for _ in range(count):
        for which, send in enumerate((direct, through)):
            since = time.perf_counter()
            answer = await send()
            times[which].append((time.perf_counter() - since) * 1000.0)
            refused += b"sigmaguard" in answer
    plain, guarded = (statistics.median(one) for one in times)
    return {
        "direct_p50_ms": plain,
        "gateway_p50_ms": guarded,
        "added_p50_ms": guarded - plain,
        "ratio_p50": guarded / plain,
        "direct_p99_ms": statistics.quantiles(times[0], n=100)[98],
        "gateway_p99_ms": statistics.quantiles(times[1], n=100)[98],
        "refused": refused / count,
    }


async def measure(count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Every message in every mode."""
    async with contextlib.AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(lean))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bare = f"http://127.0.0.1:{runner.addresses[0][1]}"
        real = await stack.enter_async_context(served(Office().server.streamable_http_app(json_response=True)))
        data = stack.enter_context(tempfile.TemporaryDirectory())
        directory = FixedDirectory(policy(SETUPS[1]), Mode.ENFORCE)
        settings = Settings(
            listen="127.0.0.1:0",
            upstreams={"openai": bare},
            data=data,
            mcp={"servers": {"lean": {"url": f"{bare}/mcp", "messages_per_s": 1e6}, "real": {"url": f"{real}/mcp"}}},
            egress={"tools": {"api": {"url": f"{bare}/api", "networks": ["127.0.0.0/8"]}}},
        )
        plane = DataPlane(settings, Plane(directory, NoLimits(), ListRecorder(), Healthy()))
        await plane.start()
        stack.push_async_callback(plane.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        gate = f"http://127.0.0.1:{plane.port}"
        call = {"name": "read_page", "arguments": {"name": "weather"}}
        note = {"name": "t", "arguments": {"note": ""}}

        def pair(direct: str, name: str, method: str, params: dict[str, Any]) -> tuple[Send, Send]:
            return mcp_sender(http, direct, method, params), mcp_sender(http, f"{gate}/mcp/{name}", method, params)

        cases = {
            "ping, a server that does nothing": pair(f"{bare}/mcp", "lean", "ping", {}),
            "tools/list of 20 tools, a server that does nothing": pair(f"{bare}/mcp", "lean", "tools/list", {}),
            "tools/call with 1 KB back, always new, a server that does nothing": pair(
                f"{bare}/mcp", "lean", "tools/call", note
            ),
            "tools/call, a server of the official SDK": pair(f"{real}/mcp", "real", "tools/call", call),
            "HTTP tool with 1 KB back": (
                http_sender(http, f"{bare}/api/page"),
                http_sender(http, f"{gate}/egress/api/page"),
            ),
        }
        figures: dict[str, dict[str, dict[str, float]]] = {}
        for mode in (Mode.OFF, Mode.SHADOW, Mode.ENFORCE):
            directory.mode = mode
            for name, (direct, through) in cases.items():
                figures.setdefault(name, {})[mode.value] = await compare(direct, through, count)
                print(f"{mode.value}: {name}", flush=True)
        return figures


def report(figures: dict[str, dict[str, dict[str, float]]], count: int) -> str:
    """The figures as Markdown."""
    lines = [
        "# Tool latency",
        "",
        f"Time per message through the gateway against a direct one, {count} of each alternating, one at a time. The bare",
        "server answers in the process of the bench, so ratios against it are the worst there are; the real one is the",
        "official SDK's. Detectors: " + ", ".join(basic().detectors) + ".",
        "",
        "`refused` counts messages that the policy's time budget ended: more than none means that the machine was busy.",
        "",
        "| message | mode | direct p50 | gateway p50 | added p50 | ratio | gateway p99 | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, modes in figures.items():
        for mode, one in modes.items():
            lines.append(
                f"| {name} | {mode} | {one['direct_p50_ms']:.2f} ms | {one['gateway_p50_ms']:.2f} ms "
                f"| {one['added_p50_ms']:.2f} ms | {one['ratio_p50']:.2f} | {one['gateway_p99_ms']:.2f} ms "
                f"| {100 * one['refused']:.0f} % |"
            )
    when = time.strftime("%Y-%m-%d", time.gmtime())
    lines += [
        "",
        f"Run on {when}, Python {platform.python_version()}, on a shared machine: read the ratios. Repeat with",
        "`PYTHONPATH=bench python -m mcp_latency`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures and writes report and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.count))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "mcp.md").write_text(report(figures, arguments.count), encoding="utf-8")
    (arguments.out / "mcp.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(report(figures, arguments.count))


if __name__ == "__main__":
    main()
