"""The control plane's cost on the hot path, in one run: processor time of each step and of whole requests.

Processor time, not wall time: other work on the machine stretches a wall clock and leaves this alone. The
provider, the proxy and the client share the process, so whole requests are compared by their difference.

python -m control.run [--rounds N] [--requests N] [--redis URL] [--out DIR]
"""

import argparse
import asyncio
import io
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web
from gateway.measuring import heading

from sigmaguard.model import Mode
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard_policies import policies_root
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.control.counters import MemoryCounters
from sigmaguard_proxy.control.counters_redis import RedisCounters, open_redis
from sigmaguard_proxy.control.journal import CountJournal
from sigmaguard_proxy.control.limiter import CountingLimiter
from sigmaguard_proxy.control.link import LinkClient, LinkServer
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.node import Node
from sigmaguard_proxy.ports import Caller, Identity
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tasks import Tasks

PACK = "name: plain\ndetectors:\n  phrases: {action: block, directions: [input], origins: [user]}\n"
LIMITS = {
    "requests_per_minute": 100_000_000,
    "tokens_per_minute": 100_000_000_000,
    "concurrent": 10_000,
    "budgets": [{"period": "month", "usd": 1_000_000}],
}
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "What is the capital of Portugal?"}]})
CONNECTIONS = 8


async def answer(request: web.BaseRequest) -> web.Response:
    """The provider: reads, answers, does nothing else."""
    await request.read()
    message = {"role": "assistant", "content": "Lisbon."}
    body = {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    return web.json_response({**body, "usage": {"prompt_tokens": 8, "completion_tokens": 2}})


async def cost_us(port: int, headers: dict[str, str], count: int) -> float:
    """Processor time of one request through a data port, client and provider included, in microseconds."""
    url, sent = f"http://127.0.0.1:{port}/v1/chat/completions", {"Content-Type": "application/json", **headers}

    async def one(session: aiohttp.ClientSession, share: int) -> None:
        for _ in range(share):
            async with session.post(url, data=BODY, headers=sent) as got:
                await got.read()
                assert got.status == 200, got.status

    async with aiohttp.ClientSession() as session:
        await one(session, 20)
        since = time.process_time()
        await asyncio.gather(*(one(session, count // CONNECTIONS) for _ in range(CONNECTIONS)))
        return (time.process_time() - since) / (count // CONNECTIONS * CONNECTIONS) * 1e6


async def make_keys(node: Node) -> tuple[str, str]:
    """A bare key and one with every kind of limit, made over the admin API."""
    url = f"{node.admin_url}/api/v1"
    claim = {"token": node.owner_link.partition("#")[2], "email": "o@example.org", "name": "O", "password": "x" * 14}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.post(f"{url}/auth/claim", json=claim) as got:
            headers = {"X-CSRF-Token": (await got.json())["csrf"]}
        secrets = []
        for order in ({"name": "bare"}, {"name": "limited", "limits": LIMITS}):
            async with session.post(f"{url}/tenants/default/keys", json=order, headers=headers) as got:
                secrets.append((await got.json())["secret"])
    wanted = await node.control.changes(None).everywhere()  # type: ignore[arg-type]
    while node.control.directory.snapshot.generation < wanted:  # noqa: ASYNC110  a second at most
        await asyncio.sleep(0.01)
    return secrets[0], secrets[1]


async def whole_requests(rounds: int, count: int) -> dict[str, float]:
    """Median processor microseconds a request by set-up, rounds interleaved so that all of them see the same machine."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "plain.yaml"
        pack.write_text(PACK)
        settings = Settings(
            listen="127.0.0.1:0",
            admin="127.0.0.1:0",
            upstreams={"openai": f"http://127.0.0.1:{runner.addresses[0][1]}"},
            policy=str(pack),
            data=str(Path(folder) / "data"),
        )
        policy = PolicyLoader(policies_root()).load(str(pack))
        log = Log("bench", io.StringIO())
        bare = DataPlane(
            settings, Plane(FixedDirectory(policy, Mode.ENFORCE), NoLimits(), ListRecorder(), Healthy()), log=log
        )
        node = Node(settings, worker=0, with_admin=True, log=log)
        await bare.start()
        await node.start()
        key, limited = await make_keys(node)
        setups = {
            "no control plane, no audit log": (bare.port, {}),
            "audit log, no key": (node.port, {}),
            "audit log, virtual key": (node.port, {"Authorization": f"Bearer {key}"}),
            "audit log, virtual key, six limits": (node.port, {"Authorization": f"Bearer {limited}"}),
        }
        found: dict[str, list[float]] = {name: [] for name in setups}
        for number in range(rounds):
            for name, (port, headers) in setups.items():
                found[name].append(await cost_us(port, headers, count))
            print(f"round {number + 1} of {rounds}", flush=True)
        await bare.stop()
        await node.stop()
    await runner.cleanup()
    return {name: statistics.median(values) for name, values in found.items()}


async def microseconds(step: Callable[[int], Awaitable[Any] | Any], count: int) -> float:
    """The median of seven runs of a step, in microseconds."""
    runs = []
    for _ in range(7):
        since = time.process_time()
        for number in range(count):
            got = step(number)
            if isinstance(got, Awaitable):
                await got
        runs.append((time.process_time() - since) / count * 1e6)
    return statistics.median(runs)


async def steps(redis_url: str) -> dict[str, float]:
    """What each step costs on its own."""
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "plain.yaml"
        pack.write_text(PACK)
        settings = Settings(
            listen="127.0.0.1:0",
            admin="127.0.0.1:0",
            upstreams={"openai": "http://127.0.0.1:9"},
            policy=str(pack),
            data=str(Path(folder) / "data"),
        )
        node = Node(settings, worker=0, with_admin=True, log=Log("bench", io.StringIO()))
        await node.start()
        key, limited = await make_keys(node)
        directory, prices, tasks = node.control.directory, node.control.prices, Tasks()
        place = ("127.0.0.1", "/v1/chat/completions", "openai")
        nobody, known = Caller("sk-own", *place), Caller(key, *place)
        identity = directory.identify(Caller(limited, *place), "exc")
        assert isinstance(identity, Identity)
        found = {
            "identify, no key": await microseconds(lambda _: directory.identify(nobody, "exc"), 20_000),
            "identify, virtual key": await microseconds(lambda _: directory.identify(known, "exc"), 20_000),
        }

        def admit(limiter: CountingLimiter) -> Callable[[int], Awaitable[None]]:
            async def step(number: int) -> None:
                ticket = await limiter.admit(identity, "gpt-4o", 20, f"exc_{number}")
                ticket.settle(8, 2)  # type: ignore[union-attr]

            return step

        journal = CountJournal(Path(folder) / "counts")
        server = LinkServer(MemoryCounters(), lambda _: None)
        await server.start(Path(folder) / "link.sock")
        link = LinkClient(Path(folder) / "link.sock", tasks, lambda _: None)
        await link.connected(5.0)
        counters = {"memory": MemoryCounters(), "memory and journal": MemoryCounters(journal=journal), "link": link}
        if redis_url:

            async def seed(_tenant: str, _counter: str) -> int:
                return 0

            client = open_redis(redis_url)
            counters["redis"] = RedisCounters(client, seed, lambda *_: None, tasks)  # type: ignore[assignment]
        for name, one in counters.items():
            found[f"six limits in {name}"] = await microseconds(admit(CountingLimiter(one, prices)), 1_000)
        if redis_url:
            await counters["redis"].close()
            await client.aclose()
        await link.close()
        await server.stop()
        await tasks.drain(0.0)
        await node.stop()
    return found


async def main() -> None:
    """Runs both parts, prints and stores them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--redis", default="", metavar="URL")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    arguments = parser.parse_args()
    alone = await steps(arguments.redis)
    whole = await whole_requests(arguments.rounds, arguments.requests)
    first = next(iter(whole.values()))
    note = "One process, processor time, client and provider included; whole requests differ by what stands in the way."
    lines = heading("Control plane: cost on the hot path", note)
    lines += [
        "| step | microseconds |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in alone.items()),
        "",
    ]
    lines += ["| whole requests | microseconds | more than the first | ratio |", "|---|---|---|---|"]
    lines += [f"| {name} | {value:.0f} | {value - first:.0f} | {value / first:.2f} |" for name, value in whole.items()]
    print("\n".join(lines))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "control.md").write_text("\n".join(lines) + "\n")
    raw = {"steps_us": alone, "request_us": whole, "at": time.strftime("%Y-%m-%d")}
    (arguments.out / "control.json").write_text(json.dumps(raw, indent=2) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
