"""Answers on a real connection: what a client of either HTTP version reads is what was given, and where it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import httptools
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard_proxy.answering import JOINED_BYTES, Outgoing

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
LINES = b"X-One: 1\r\n"


class Read:
    """What a client makes of the bytes of one connection: answers in their order."""

    def __init__(self, data: bytes) -> None:
        self.statuses: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.headers.append({})
        self.bodies.append(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[-1][name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, data: bytes) -> None:
        self.bodies[-1] += data

    def on_message_complete(self) -> None:
        self.ended += 1


async def asked(question: bytes, answer: Handler) -> bytes:
    """Every byte that comes back on one connection until the server is silent for a while or closes it."""
    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(question)
        found = b""
        try:
            while piece := await asyncio.wait_for(reader.read(1 << 20), 0.3):
                found += piece
        except TimeoutError:
            pass  # the connection stays open
        else:
            found += CLOSED
        writer.close()
        return found


CLOSED = b"<closed>"


def question(method: str = "GET", version: str = "1.1", extra: str = "") -> bytes:
    """A request."""
    return f"{method} / HTTP/{version}\r\nHost: here\r\n{extra}\r\n".encode()


def whole(body: bytes, status: int = 200) -> Handler:
    """Answers with a body at once."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return Outgoing(request, status, "Fine", LINES, body=body)

    return handle


def pieces(parts: Sequence[bytes], length: int | None = None) -> Handler:
    """Answers in pieces."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        out = Outgoing(request, 200, "Fine", LINES, length=length)
        out.begin()
        for part in parts:
            await out.write(part)
        await out.write_eof()
        return out

    return handle


@pytest.mark.parametrize("size", [0, 1, JOINED_BYTES, JOINED_BYTES + 1, 3_000_000])
async def test_a_whole_answer_has_a_length_a_date_and_leaves_the_connection_open(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    read = Read(await asked(question() + question(), whole(body)))
    assert (read.statuses, read.bodies, read.ended) == ([200, 200], [body, body], 2)
    assert read.headers[0]["content-length"] == str(size)
    assert read.headers[0]["x-one"] == "1"
    assert read.headers[0]["date"].endswith("GMT")
    assert "connection" not in read.headers[0]


@pytest.mark.parametrize(("status", "length"), [(200, "4"), (404, "4"), (204, None), (304, None)])
async def test_an_answer_without_a_body_keeps_its_length_only_where_it_may(status: int, length: str | None) -> None:
    method = "HEAD" if status in (200, 404) else "GET"
    data = await asked(question(method), whole(b"body", status))
    head, _, rest = data.partition(b"\r\n\r\n")
    assert rest == b""
    said = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    assert said == ([f"Content-Length: {length}".encode()] if length else [])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=5_000), max_size=8))
def test_pieces_of_any_size_are_read_as_one_body(parts: list[bytes]) -> None:
    read = Read(asyncio.run(asked(question() + question(), pieces(parts))))
    assert (read.bodies, read.ended) == ([b"".join(parts)] * 2, 2)
    assert read.headers[0]["transfer-encoding"] == "chunked"
    assert "content-length" not in read.headers[0]


async def test_pieces_of_a_known_length_are_not_chunked() -> None:
    read = Read(await asked(question() + question(), pieces([b"ab", b"", b"cde"], length=5)))
    assert (read.bodies, read.ended) == ([b"abcde"] * 2, 2)
    assert "transfer-encoding" not in read.headers[0]


async def test_a_client_of_http_1_0_is_told_the_end_by_the_end_of_the_connection() -> None:
    data = await asked(question(version="1.0", extra="Connection: keep-alive\r\n"), pieces([b"ab", b"cde"]))
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 Fine\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert rest == b"abcde" + CLOSED


async def test_a_client_of_http_1_0_that_asks_for_it_keeps_its_connection() -> None:
    data = await asked(question(version="1.0", extra="Connection: keep-alive\r\n"), whole(b"ab"))
    assert b"\r\nConnection: keep-alive\r\n" in data
    assert not data.endswith(CLOSED)


async def test_a_client_that_asks_for_the_end_is_told_of_it() -> None:
    data = await asked(question(extra="Connection: close\r\n"), whole(b"ab"))
    assert b"\r\nConnection: close\r\n" in data
    assert data.endswith(b"ab" + CLOSED)


async def test_the_date_of_the_provider_is_not_doubled() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        lines = LINES + b"Date: Mon, 30 Nov 2026 10:00:00 GMT\r\n"
        return Outgoing(request, 200, "Fine", lines, body=b"", is_dated=True)

    assert (await asked(question(), handle)).lower().count(b"\r\ndate:") == 1


async def test_what_is_written_to_a_caller_that_has_gone_is_an_error() -> None:
    seen: list[type[BaseException]] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        out = Outgoing(request, 200, "Fine", LINES)
        out.begin()
        assert request.transport is not None
        request.transport.abort()
        try:
            await out.write(b"too late")
        except ConnectionResetError as error:
            seen.append(type(error))
            raise
        return out

    await asked(question(), handle)
    assert seen == [ConnectionResetError]
