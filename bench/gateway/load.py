"""A load generator over raw asyncio protocols: keep-alive connections, one request at a time on each.

    python -m gateway.load URL BODY_KIND CONNECTIONS SECONDS  ->  one JSON line

`first_ms` is the time to the first body byte of a streamed answer.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import orjson
import uvloop

SENTENCE = "Please compare the opening hours of the two museums and tell me which one is nearer to the river. "


def bodies(kind: str) -> Iterator[bytes]:
    """An endless row of request bodies: `small`, `chat` (20 messages, 16 KB, the last one new each
    time), `seen` (the same, nothing new) or `stream` (a small prompt, 50 chunks back)."""
    history = [{"role": "assistant" if i % 2 else "user", "content": f"Turn {i}. " + SENTENCE * 8} for i in range(19)]
    number = 0
    while True:
        number += 1
        last = SENTENCE * 8 if kind == "seen" else f"Question {number}. " + SENTENCE * 8
        if kind in ("chat", "seen"):
            messages = [*history, {"role": "user", "content": last}]
        else:
            messages = [{"role": "user", "content": f"Question {number}. {SENTENCE}"}]
        yield orjson.dumps({"model": "bench", "messages": messages, "stream": kind == "stream"})


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, host: str, port: int, rows: Iterator[bytes], results: "Results") -> None:
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer bench\r\nContent-Length: "
        ).encode()
        self._rows = rows
        self._results = results
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._sent = 0.0
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks at once."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's
        self._ask()

    def _ask(self) -> None:
        body = next(self._rows)
        self._buffer.clear()
        self._first = 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._head + b"%d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        """Looks for the end of the answer."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._first and len(self._buffer) > end + 4:
            self._first = time.perf_counter()
        if self._complete(end):
            ok = self._buffer.startswith(b"HTTP/1.1 200")
            self._results.add(time.perf_counter() - self._sent, self._first - self._sent, ok)
            if self._results.is_over():
                self._transport.close()
            else:
                self._ask()

    def _complete(self, end: int) -> bool:
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            return len(self._buffer) >= end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        return self._buffer.endswith(b"0\r\n\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        """Tells that one fewer is running."""
        self._results.lost()


class Results:
    """Latencies of one run."""

    def __init__(self, seconds: float, connections: int) -> None:
        self.times: list[float] = []
        self.firsts: list[float] = []
        self.failed = 0
        self.done = asyncio.Event()
        self._running = connections
        self._until = time.perf_counter() + seconds

    def add(self, total: float, first: float, ok: bool) -> None:
        """Books one answer."""
        self.times.append(total)
        self.firsts.append(first)
        self.failed += not ok

    def is_over(self) -> bool:
        """Whether the run's time is up."""
        return time.perf_counter() >= self._until

    def lost(self) -> None:
        """One connection ended."""
        self._running -= 1
        if self._running <= 0:
            self.done.set()


def quantile(values: list[float], share: float) -> float:
    """The value below which this share lies, in the unit given; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def run(url: str, kind: str, connections: int, seconds: float) -> dict[str, float]:
    """One run; requests a second and quantiles in milliseconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    results = Results(seconds, connections)
    rows = bodies(kind)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(host, int(port), rows, results), host, int(port))
    await asyncio.wait_for(results.done.wait(), seconds + 30)
    took = time.perf_counter() - began
    return {
        "requests": len(results.times),
        "failed": results.failed,
        "rps": len(results.times) / took,
        "p50_ms": quantile(results.times, 0.5) * 1000,
        "p99_ms": quantile(results.times, 0.99) * 1000,
        "first_p50_ms": quantile(results.firsts, 0.5) * 1000,
    }


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))).decode())
