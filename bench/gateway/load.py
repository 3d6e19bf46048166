"""A load generator over raw asyncio protocols: keep-alive connections, one request at a time on each.

    python -m gateway.load URL KIND CONNECTIONS SECONDS RATE [HEADER: VALUE ...]  ->  one JSON line

KIND is a name of `KINDS` or fields of `Kind`, such as `messages=40,chars=790`. RATE requests a second over all
connections, 0 for as many as there are answers. At a rate a request's time runs from when it was due, so that a
server that stalls is not asked less often and thereby forgiven.

`first_ms` is the time to the first body byte of a streamed answer.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
import orjson
import uvloop

from gateway.planted import texts

SENTENCE = "Please compare the opening hours of the two museums and tell me which one is nearer to the river. "


class Kind(msgspec.Struct, frozen=True):
    """What is asked: `messages` in the chat of `chars` code points each, whether the last one is new
    each time, and whether an answer of `chunks` frames is streamed (0: whole). `planted`: the last message
    is a mail with personal data and secrets, and an answer without its address counts as failed."""

    messages: int = 1
    chars: int = 98
    is_new: bool = True
    chunks: int = 0
    planted: int = 0


KINDS = {
    "small": Kind(),
    "chat": Kind(messages=20, chars=790),
    "seen": Kind(messages=20, chars=790, is_new=False),
    "stream": Kind(chunks=50),
}


def kind_of(name: str) -> Kind:
    """A named kind, or one written as `messages=40,chars=790,chunks=0`. Raises ValueError for an unknown field."""
    if name in KINDS:
        return KINDS[name]
    given = dict(part.split("=", 1) for part in name.split(","))
    unknown = set(given) - set(Kind.__struct_fields__)
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]}; there are {', '.join(Kind.__struct_fields__)}")
    return Kind(**{key: int(value) for key, value in given.items()})  # type: ignore[arg-type]


def bodies(kind: Kind) -> Iterator[tuple[bytes, bytes]]:
    """An endless row of request bodies, each with what must stand in its answer."""
    mails = texts()
    text = (SENTENCE * (kind.chars // len(SENTENCE) + 1))[: kind.chars]
    history = [
        {"role": "assistant" if at % 2 else "user", "content": f"Turn {at}. {text}"} for at in range(kind.messages - 1)
    ]
    number = 0
    while True:
        number += 1
        last, wanted = next(mails) if kind.planted else (f"Question {number if kind.is_new else 0}. {text}", "")
        body: dict[str, object] = {"model": "bench", "messages": [*history, {"role": "user", "content": last}]}
        if kind.chunks:
            body.update(stream=True, max_tokens=kind.chunks)
        yield orjson.dumps(body), wanted.encode()


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(
        self,
        place: str,
        rows: Iterator[tuple[bytes, bytes]],
        results: "Results",
        headers: Sequence[str],
        *,
        pace: "Pace | None" = None,
    ) -> None:
        lines = "".join(f"{line}\r\n" for line in headers)
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer bench\r\n{lines}Content-Length: "
        ).encode()
        self._rows = rows
        self._results = results
        self._pace = pace
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._wanted = b""
        self._sent = 0.0
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks at once."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's
        self._next()

    def _next(self) -> None:
        due = self._pace.next_due() if self._pace else 0.0
        left = due - time.perf_counter()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self._ask, due)
        else:
            self._ask(due)

    def _ask(self, due: float) -> None:
        if self._transport.is_closing():
            return
        body, self._wanted = next(self._rows)
        self._buffer.clear()
        self._first = 0.0
        self._sent = due or time.perf_counter()
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
            ok = self._buffer.startswith(b"HTTP/1.1 200") and self._wanted in self._buffer
            self._results.add(time.perf_counter() - self._sent, self._first - self._sent, ok)
            if self._results.is_over():
                self._transport.close()
            else:
                self._next()

    def _complete(self, end: int) -> bool:
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            return len(self._buffer) >= end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        return self._buffer.endswith(b"0\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells that one fewer is running."""
        self._results.lost()


class Pace:
    """Hands out the moments at which requests are due: evenly spaced, to whichever connection is free."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self._due = time.perf_counter()

    def next_due(self) -> float:
        """When the next request is to be sent, by `perf_counter`; may lie in the past."""
        self._due += self._gap
        return self._due


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


async def run(
    url: str, kind: Kind, connections: int, seconds: float, headers: Sequence[str] = (), *, rate: float = 0.0
) -> dict[str, float]:
    """One run; requests a second and quantiles in milliseconds. Raises TimeoutError where a server hangs."""
    place = url.removeprefix("http://")
    host, _, port = place.partition(":")
    results = Results(seconds, connections)
    rows = bodies(kind)
    pace = Pace(rate) if rate else None
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(place, rows, results, headers, pace=pace), host, int(port))
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
    url, name, connections, seconds, rate, *extra = sys.argv[1:]
    found = run(url, kind_of(name), int(connections), float(seconds), extra, rate=float(rate))
    print(orjson.dumps(uvloop.run(found)).decode())
