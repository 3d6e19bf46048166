"""Bare forwarder, proxy `off`, proxy `basic` and nginx where installed: one upstream, one load, one run.

    python -m gateway.run [--seconds S] [--connections N] [--out DIR]

Rounds alternate so that a slow minute of the machine hits everyone; the median round counts. Ratios
are to the bare forwarder of the same run.
"""

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

HERE = Path(__file__).parent
KINDS = ("small", "chat", "seen", "stream")
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A process under test and how much CPU it has used."""

    def __init__(self, name: str, command: list[str], port: int, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"{name} did not open port {port}")

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children (nginx's workers)."""
        total = 0.0
        for pid in (self._process.pid, *_children(self._process.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def stop(self) -> None:
        """Ends the process."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this folder."""
    return [sys.executable, "-m", name, *arguments]


def sigmaguard(mode: str, policy: str, upstream: str, port: int, data: str) -> list[str]:
    """The command that serves with this mode and policy."""
    return module(
        "sigmaguard_proxy.cli",
        *("serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"),
        *("--upstream", f"openai={upstream}", "--mode", mode, "--policy", policy, "--data", data),
    )


def nginx_command(port: int, upstream: str, folder: str) -> list[str] | None:
    """nginx as a plain reverse proxy, None where it is not installed."""
    binary = shutil.which("nginx")
    if binary is None:
        return None
    config = Path(folder) / "nginx.conf"
    config.write_text(
        "worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; client_max_body_size 64m; client_body_buffer_size 1m;\n"
        f"  upstream provider {{ server {upstream.removeprefix('http://')}; keepalive 64; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://provider; proxy_http_version 1.1;\n"
        '    proxy_set_header Connection ""; proxy_buffering off; } } }\n'
    )
    return [binary, "-p", folder, "-c", str(config)]


def measure(server: Server, kind: str, connections: int, seconds: float) -> dict[str, float]:
    """One round against one server."""
    before = server.cpu_s()
    line = subprocess.run(
        module("gateway.load", server.url, kind, str(connections), str(seconds)),
        check=True,
        capture_output=True,
        cwd=HERE.parent,
    ).stdout
    result: dict[str, float] = orjson.loads(line)
    result["cpu_ms_per_1000"] = (server.cpu_s() - before) * 1_000_000 / max(1, result["requests"])
    return result


def main() -> None:
    """Runs everything, prints the table, stores JSON and Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--policies", nargs="*", default=["basic"])
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(HERE.parent)
    with tempfile.TemporaryDirectory() as folder:
        table = compare(arguments, folder)
    store(table, arguments)


def compare(arguments: argparse.Namespace, folder: str) -> dict[str, dict[str, dict[str, float]]]:
    """Medians by kind of body and server."""
    upstream_port = free_port()
    upstream = f"http://127.0.0.1:{upstream_port}"
    provider = Server("upstream", module("gateway.upstream", str(upstream_port)), upstream_port)
    ports = {name: free_port() for name in ("bare", "off", "nginx", *arguments.policies)}
    servers = [
        Server("bare", module("gateway.forwarder", str(ports["bare"]), upstream), ports["bare"]),
        Server("off", sigmaguard("off", "basic", upstream, ports["off"], f"{folder}/off"), ports["off"]),
    ]
    for policy in arguments.policies:
        name = Path(policy).stem
        command = sigmaguard("enforce", policy, upstream, ports[policy], f"{folder}/{name}")
        servers.append(Server(name, command, ports[policy]))
    nginx = nginx_command(ports["nginx"], upstream, folder)
    if nginx is None:
        print("nginx is not installed: left out")
    else:
        servers.append(Server("nginx", nginx, ports["nginx"]))
    table: dict[str, dict[str, dict[str, float]]] = {}
    try:
        for kind in arguments.kinds:
            rounds: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
            for number in range(arguments.rounds):
                for server in servers if number % 2 == 0 else reversed(servers):
                    measure(server, kind, arguments.connections, 0.5)  # warm
                    rounds[server.name].append(measure(server, kind, arguments.connections, arguments.seconds))
                    print(
                        f"{kind:7} round {number + 1}/{arguments.rounds} {server.name:8} "
                        f"{rounds[server.name][-1]['rps']:9.0f} requests/s",
                        flush=True,
                    )
            table[kind] = {name: _median(found) for name, found in rounds.items()}
    finally:
        for server in (*servers, provider):
            server.stop()
    return table


def _median(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def store(table: dict[str, dict[str, dict[str, float]]], arguments: argparse.Namespace) -> None:
    """Prints and stores the table."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines = [
        "# Gateway: proxy beside a bare forwarder",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{arguments.connections} connections, median of {arguments.rounds} rounds of {arguments.seconds:g} s. "
        "Load generator, upstream and server share the cores, so absolute figures mean little; ratios are of one run.",
        "",
        "| body | server | requests/s | ratio to bare | p50 ms | p99 ms | first byte p50 ms | CPU ms per 1,000 | failed |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, servers in table.items():
        bare = servers["bare"]["rps"]
        for name, one in servers.items():
            lines.append(
                f"| {kind} | {name} | {one['rps']:.0f} | {one['rps'] / bare:.2f} | {one['p50_ms']:.2f} | "
                f"{one['p99_ms']:.2f} | {one['first_p50_ms']:.2f} | {one['cpu_ms_per_1000']:.0f} | {one['failed']:.0f} |"
            )
    text = "\n".join(lines) + "\n"
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gateway.md").write_text(text)
    (arguments.out / "gateway.json").write_bytes(orjson.dumps(table, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
