"""A provider that does as it is told, and a proxy in front of it: for tests, on 127.0.0.1 and free ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp
import orjson
from yarl import URL

from sigmaguard.model import Mode
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.ports import Directory, ExchangeRecord, Recorder, Tracer
from sigmaguard_proxy.settings import Settings

DEADLINE_S = 20.0
KEYS = (b"d" * 32, b"m" * 32)


@dataclass
class Received:
    """A request as the provider saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body parsed."""
        return orjson.loads(self.body)


class Connection:
    """What a script may do on one connection."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self.writer = writer
        self._reader = reader
        self.is_closed = False

    async def head(self, status: int = 200, headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> None:
        """Status line and headers."""
        items = headers.items() if isinstance(headers, Mapping) else headers
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in items), "", ""]
        await self.raw("\r\n".join(lines).encode("latin-1"))

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """One HTTP chunk."""
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """The last chunk."""
        await self.raw(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Returns once the other side has closed."""
        while True:
            try:
                if not await self._reader.read(65_536):
                    return
            except ConnectionError:
                return

    def reset(self) -> None:
        """Breaks the connection off."""
        self.is_closed = True
        self.writer.transport.abort()


Script = Callable[[Received, Connection], Awaitable[None]]


def whole(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    content_type: str = "application/json",
) -> Script:
    """Answers with a body of known length; bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)

    async def script(request: Received, connection: Connection) -> None:
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        await connection.head(status, [("Content-Type", content_type), ("Content-Length", str(len(data))), *items])
        await connection.raw(b"" if request.method == "HEAD" else data)

    return script


def streamed(
    pieces: Iterable[bytes],
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    content_type: str = "text/event-stream",
) -> Script:
    """Answers in chunks, one turn of the loop each."""
    chunks = list(pieces)

    async def script(request: Received, connection: Connection) -> None:
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        await connection.head(200, [("Content-Type", content_type), ("Transfer-Encoding", "chunked"), *items])
        for piece in chunks:
            await connection.chunk(piece)
            await asyncio.sleep(0)
        await connection.end()

    return script


@dataclass
class Provider:
    """The scripted provider. `script` answers every request; `scripts` those of a path."""

    script: Script = field(default_factory=lambda: whole({}))
    scripts: dict[str, Script] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while not writer.is_closing():
                request = await _read_request(reader)
                if request is None:
                    break
                self.received.append(request)
                self.arrived.set()
                connection = Connection(writer, reader)
                await self.scripts.get(request.path.partition("?")[0], self.script)(request, connection)
                if connection.is_closed:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Breaks every connection off."""
        for writer in list(self._writers):
            writer.transport.abort()
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=DEADLINE_S)
            assert not hanging


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, *rest = head.decode("latin-1").split("\r\n")
    method, path, _ = line.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (one.partition(":") for one in rest if one)]
    request = Received(method, path, headers, b"")
    if request.header("Content-Length"):
        request.body = await reader.readexactly(int(request.header("Content-Length") or 0))
    elif (request.header("Transfer-Encoding") or "").lower() == "chunked":
        pieces = []
        while size := int((await reader.readline()).strip() or b"0", 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        request.body = b"".join(pieces)
    return request


@asynccontextmanager
async def provider(script: Script | None = None) -> AsyncIterator[Provider]:
    """A provider on a free port."""
    one = Provider()
    if script is not None:
        one.script = script
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, limit=2**26)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        await one.close()


class WaitingRecorder(ListRecorder):
    """Keeps records and lets a test wait for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def record(self, record: ExchangeRecord) -> None:
        """Appends and tells."""
        super().record(record)
        self._more.set()

    async def after(self, count: int) -> list[ExchangeRecord]:
        """All records, once there are `count`."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
        return self.records


class Silent(Log):
    """Drops every line."""

    def __init__(self) -> None:
        super().__init__("test")
        self.events: list[tuple[str, str]] = []

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.events.append((level, event))


@dataclass
class Gateway:
    """A running data plane with its provider and a client that changes nothing."""

    plane: DataPlane
    provider: Provider
    recorder: WaitingRecorder
    directory: FixedDirectory
    session: aiohttp.ClientSession
    log: Silent

    @property
    def url(self) -> str:
        """The proxy's base URL."""
        return f"http://127.0.0.1:{self.plane.port}"

    def call(self, path: str, body: object = None, *, method: str = "POST", **options: Any) -> Any:
        """A request through the proxy, as an async context manager."""
        return self._call(self.url, path, body, method, options)

    def direct(self, path: str, body: object = None, *, method: str = "POST", **options: Any) -> Any:
        """The same request straight to the provider."""
        return self._call(self.provider.url, path, body, method, options)

    def _call(self, base: str, path: str, body: object, method: str, options: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-test", **options.pop("headers", {})}
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        if data is not None and len(data) > 2**20:
            data = BytesIO(data)
        # encoded: the client must not tidy the path up
        return self.session.request(
            method, URL(base + path, encoded=True), data=data, headers=headers, allow_redirects=False, **options
        )

    async def answer(self, path: str, body: object = None, **options: Any) -> tuple[int, bytes]:
        """Status and body of a request through the proxy."""
        async with self.call(path, body, **options) as answer:
            return answer.status, await answer.read()


@asynccontextmanager
async def gateway(
    policy: Policy,
    mode: Mode = Mode.ENFORCE,
    script: Script | None = None,
    *,
    upstreams: Mapping[str, str] | None = None,
    directory: Directory | None = None,
    recorder: Recorder | None = None,
    observers: Sequence[Callable[[ExchangeRecord], None]] = (),
    tracer: Tracer | None = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """A proxy on a free port in front of a scripted provider."""
    async with provider(script) as upstream:
        urls = dict(upstreams) if upstreams else {"openai": upstream.url, "anthropic": upstream.url}
        urls = {name: url.replace("PROVIDER", upstream.url) for name, url in urls.items()}
        options = {"read_timeout_s": DEADLINE_S, "connect_timeout_s": DEADLINE_S, "drain_s": 2.0, **settings}
        chosen = Settings(listen="127.0.0.1:0", admin="", upstreams=urls, **options)
        fixed = FixedDirectory(policy, mode)
        waiting = WaitingRecorder()
        log = Silent()
        parts = Plane(directory or fixed, NoLimits(), recorder or waiting, Healthy())
        plane = DataPlane(chosen, parts, observers, keys=KEYS, log=log, tracer=tracer)
        await plane.start()
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        try:
            async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
                yield Gateway(plane, upstream, waiting, fixed, session, log)
        finally:
            await plane.stop()


def chat(*texts: str, **more: Any) -> dict[str, Any]:
    """A chat request of user messages."""
    return {"model": "gpt-test", "messages": [{"role": "user", "content": text} for text in texts], **more}


def completion(*texts: str, **more: Any) -> dict[str, Any]:
    """A chat answer with one choice a text."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [
            {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
            for at, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        **more,
    }


def event(body: object, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + (body if isinstance(body, bytes) else orjson.dumps(body)) + b"\n\n"


def chunk_of(delta: Mapping[str, Any], index: int = 0, finish: str | None = None) -> bytes:
    """One chunk of a streamed chat."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-test"}
    return event({**base, "choices": [choice]})


def chat_stream(*fragments: str) -> list[bytes]:
    """A streamed chat with these fragments of text."""
    return [
        chunk_of({"role": "assistant", "content": ""}),
        *(chunk_of({"content": fragment}) for fragment in fragments),
        chunk_of({}, finish="stop"),
        event(b"[DONE]"),
    ]


def streamed_text(raw: bytes, index: int = 0) -> str:
    """The content of one choice of a streamed chat."""
    texts = []
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices", ()):
                if choice["index"] == index:
                    texts.append(choice["delta"].get("content") or "")
    return "".join(texts)
