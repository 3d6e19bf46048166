"""What the firewall adds to the first frame and to the first text of a stream, one request at a time.

python -m gateway.first_token [--requests N] [--out DIR]

The provider names the role in a frame of its own and then sends a word every GAP ms. A word may leave once it
has ended (docs/adr/0050), so where text comes one word at a time the first one waits for the second.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import Sequence

import orjson

from gateway.load import quantile
from gateway.measuring import common_arguments, heading, store
from gateway.servers import Server, bare, provider, rules, sigmaguard

GAPS_MS = (0.0, 5.0, 20.0)
FRAMES = 3
_TEXT = re.compile(rb'"content": ?"[^"]')
Times = tuple[list[float], list[float]]  # seconds to the first frame, to the first text


async def ask(server: Server, number: int) -> tuple[float, float]:
    """Seconds to the first frame and to the first text of one answer. Raises TimeoutError where it hangs."""
    body = {"model": "bench", "stream": True, "max_tokens": FRAMES}
    content = f"Question {number}. When does the museum open?"
    data = orjson.dumps({**body, "messages": [{"role": "user", "content": content}]})
    async with asyncio.timeout(30.0):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        began = time.perf_counter()
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(data) + data)
        got, first, text = b"", 0.0, 0.0
        while not got.endswith(b"0\r\n\r\n"):
            piece = await reader.read(65_536)
            if not piece:
                raise SystemExit(f"{server.name} ended a stream early")
            got += piece
            now = time.perf_counter() - began
            first = first or (now if b"data: " in got else 0.0)
            text = text or (now if _TEXT.search(got) else 0.0)
        writer.close()
        return first, text


async def rounds(servers: Sequence[Server], requests: int) -> dict[str, Times]:
    """Every server in turn, so that a slow moment of the machine hits all of them."""
    found: dict[str, Times] = {server.name: ([], []) for server in servers}
    for number in range(requests + 10):
        for server in servers:
            first, text = await ask(server, number)
            if number >= 10:  # the ones before warm everything up
                found[server.name][0].append(first * 1000)
                found[server.name][1].append(text * 1000)
    return found


def main() -> None:
    """Measures each gap, prints the table and stores it."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--requests", type=int, default=100)
    arguments = parser.parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for gap in GAPS_MS:
        with tempfile.TemporaryDirectory() as folder:
            upstream = provider(gap_ms=gap)
            servers = [bare(upstream.url)]
            try:
                servers += [sigmaguard("off", upstream.url, folder, "--mode", "off"), rules(upstream.url, folder)]
                servers.append(sigmaguard("basic", upstream.url, folder))
                found = asyncio.run(rounds(servers, arguments.requests))
            finally:
                for server in (*servers, upstream):
                    server.stop()
        table[f"{gap:g}"] = {
            name: {
                f"{what} {share}": quantile(values, share)
                for what, values in (("frame", times[0]), ("text", times[1]))
                for share in (0.5, 0.99)
            }
            for name, times in found.items()
        }
    note = f"One request at a time, {arguments.requests} each; in ms beyond the bare forwarder's own."
    store(arguments.out, "first_token", [*heading("First token", note), *rows(table)], table)


def rows(table: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """As Markdown: what each server adds to the bare forwarder."""
    lines = [
        "| gap ms | server | first frame p50 | first frame p99 | first text p50 | first text p99 |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for gap, servers in table.items():
        base = servers["bare"]
        for name, one in servers.items():
            if name != "bare":
                added = " | ".join(f"{one[key] - base[key]:.2f}" for key in base)
                lines.append(f"| {gap} | {name} | {added} |")
    return lines


if __name__ == "__main__":
    main()
