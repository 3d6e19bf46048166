"""The servers a bench compares, each a process of its own. Knows commands and ports, measures only CPU."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE.parent / ".peers"  # filled by `make bench-peers`
LITELLMS = (PEERS / "litellm", HERE.parents[1] / ".venv" / "litellm")  # the second by `make setup-litellm`
TICKS = os.sysconf("SC_CLK_TCK")
START_S = 90.0  # LiteLLM takes half a minute
SETTLE_S = 20.0


class Server:
    """A process under test: where it listens, which headers it wants, how much CPU it has used."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        headers: Sequence[str] = (),
        folder: str | None = None,
        admin: int = 0,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.admin_url = f"http://127.0.0.1:{admin}" if admin else ""
        self.headers = tuple(headers)
        env = {**os.environ, "PYTHONPATH": str(HERE.parent), **environ}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop()
        self._process = subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=self._said)
        atexit.register(self.stop)  # also where a later server of the same bench does not start
        self._wait()
        self._settle()

    def _settle(self) -> None:
        """Waits until the process rests: what it still prepares after its port is open is nobody's request."""
        deadline = time.monotonic() + SETTLE_S
        spent = self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(0.5)
            before, spent = spent, self.cpu_s()
            if spent - before < 0.1:
                return

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                raise SystemExit(f"{self.name} ended at once with {self._process.returncode}: {self._last_words()}")
            time.sleep(0.1)
        self.stop()
        raise SystemExit(f"{self.name} did not open its port within {START_S:g} s")

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        return next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it said nothing")

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    def processes(self) -> list[int]:
        """The process and its children (workers)."""
        found = [self.pid]
        for pid in found:
            try:
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
        return found

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        total = 0.0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def memory_bytes(self) -> int:
        """Resident memory."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """Open files and sockets."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())

    def metrics(self) -> str:
        """What its admin port tells Prometheus."""
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        """Ends the process; once is enough."""
        atexit.unregister(self.stop)
        if self._said.closed:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", name, *arguments]


def provider(think_ms: float = 0.0, gap_ms: float | None = None) -> Server:
    """The upstream everybody forwards to; `think_ms` before the first byte of an answer, `gap_ms` between frames."""
    port = free_port()
    gap = () if gap_ms is None else (str(gap_ms),)
    return Server("upstream", module("gateway.upstream", str(port), str(think_ms), *gap), port)


def bare(upstream: str) -> Server:
    """The bare forwarder."""
    port = free_port()
    return Server("bare", module("gateway.forwarder", str(port), upstream), port)


def sigmaguard(name: str, upstream: str, folder: str, *flags: str, policy: str = "basic") -> Server:
    """Sigmaguard as it ships: audit log, metrics and admin port on; `flags` are more of its own."""
    port, admin = free_port(), free_port()
    command = module(
        "sigmaguard_proxy.cli",
        *("serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--policy", policy),
        *("--upstream", f"openai={upstream}", "--data", f"{folder}/{name.replace(' ', '-')}", *flags),
    )
    return Server(name, command, port, folder=folder, admin=admin)


def rules(upstream: str, folder: str) -> Server:
    """Sigmaguard with everything of `basic` but the classifier."""
    pack = Path(folder) / "rules.yaml"
    pack.write_text("name: rules\nextends: basic\ndetectors: {injection: {enabled: false}}\n")
    return sigmaguard("rules", upstream, folder, policy=str(pack))


def nginx(upstream: str, folder: str) -> Server | None:
    """nginx as a plain reverse proxy; None where it is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        return None
    port = free_port()
    config = Path(folder) / "nginx.conf"
    config.write_text(
        "worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; client_max_body_size 64m; client_body_buffer_size 1m;\n"
        f"  upstream provider {{ server {upstream.removeprefix('http://')}; keepalive 64; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://provider; proxy_http_version 1.1;\n"
        '    proxy_set_header Connection ""; proxy_buffering off; } } }\n'
    )
    return Server("nginx", [binary, "-p", folder, "-c", str(config)], port)


def litellm(upstream: str, folder: str) -> Server | None:
    """LiteLLM's proxy, guardrails off; None where neither `make bench-peers` nor `make setup-litellm` brought it."""
    binary = next((place / "bin" / "litellm" for place in LITELLMS if (place / "bin" / "litellm").exists()), None)
    if binary is None:
        return None
    config = Path(folder) / "litellm.yaml"
    # without a master key it asks nobody who they are, as our own servers here; it wants that said
    config.write_text(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
        f"      api_base: {upstream}/v1\n      api_key: bench\nlitellm_settings:\n  telemetry: false\n"
        "general_settings:\n  dangerously_permit_weak_or_unset_master_key: true\n"
    )
    port = free_port()
    command = [str(binary), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks the network for prices when it starts
    return _peer("litellm", command, port, folder=folder, environ=local)


def portkey(upstream: str) -> Server | None:
    """Portkey's gateway, guardrails off; None where `make bench-peers` has not brought it."""
    script = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    node = shutil.which("node")
    if node is None or not script.exists():
        return None
    port = free_port()
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {upstream}/v1")
    return _peer("portkey", [node, str(script), f"--port={port}", "--headless"], port, headers=headers)


def _peer(name: str, command: Sequence[str], port: int, **how: Any) -> Server | None:
    """A peer's server; None, and a line that says so, where it does not start: the others are still compared."""
    try:
        return Server(name, command, port, **how)
    except SystemExit as error:
        print(f"{error}: left out", flush=True)
        return None
