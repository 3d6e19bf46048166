"""The client towards providers, against servers that speak HTTP byte by byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard_proxy.outbound import Answer, ConnectFault, Outbound, OutboundError, ReadTimeoutFault

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nX-A: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"


@contextlib.asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """A server that answers every connection with `talk`."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in list(running):
            task.cancel()


@contextlib.asynccontextmanager
async def client(read_timeout_s: float = 5.0) -> AsyncIterator[Outbound]:
    """A client that is closed afterwards."""
    outbound = Outbound(1.0, read_timeout_s)
    try:
        yield outbound
    finally:
        await outbound.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length: " not in lower:
        return head, b""
    length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def answering(*pieces: bytes, close: bool = False) -> Talk:
    """Answers every request of a connection with these pieces."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return talk


async def body_of(answer: Answer) -> bytes:
    """The whole body."""
    async with answer:
        return b"".join([chunk async for chunk in answer.chunks()])


@pytest.mark.parametrize(
    ("raw", "close", "status", "reason", "length", "body"),
    [
        (OK, False, 200, "OK", 5, b"hello"),
        (CHUNKED, False, 200, "Fine", None, b"abcde"),
        (UNTIL_CLOSE, True, 200, "OK", None, b"all of it"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, "No Content", 0, b""),
        (b"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", False, 500, "", 0, b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, False, 200, "OK", 5, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED, False, 200, "Fine", None, b"abcde"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, 200, "OK", 2, b"hi"),
    ],
)
async def test_every_way_to_tell_a_body(
    raw: bytes, close: bool, status: int, reason: str, length: int | None, body: bytes
) -> None:
    async with serving(answering(raw, close=close)) as url, client() as outbound:
        answer = await outbound.request("POST", url, "/v1/x", b"", b"{}")
        assert (answer.status, answer.reason, answer.content_length) == (status, reason, length)
        assert await body_of(answer) == body
        assert "Link" not in answer.headers


async def test_the_request_leaves_as_it_was_given() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with serving(talk) as url, client() as outbound:
        await body_of(await outbound.request("POST", url + "/base", "/v1/x?a=%2F&b=", b"X-Id: 7\r\n", b'{"a":1}'))
    head, body = seen[0]
    host = url.removeprefix("http://").encode()
    assert head == (b"POST /base/v1/x?a=%2F&b= HTTP/1.1\r\nHost: " + host + b"\r\nX-Id: 7\r\nContent-Length: 7\r\n\r\n")
    assert body == b'{"a":1}'


async def test_repeated_headers_and_media_type_survive() -> None:
    async with serving(answering(CHUNKED)) as url, client() as outbound:
        answer = await outbound.request("GET", url, "/", b"")
        assert answer.headers.getall("x-a") == ["1", "2"]
        assert answer.content_type == "application/octet-stream"
        await body_of(answer)
    async with serving(answering(OK)) as url, client() as outbound:
        answer = await outbound.request("GET", url, "/", b"")
        assert answer.content_type == "text/plain"
        await body_of(answer)


async def test_a_head_request_has_a_length_and_no_body() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as url, client() as outbound:
        answer = await outbound.request("HEAD", url, "/", b"")
        assert answer.content_length == 500
        assert await body_of(answer) == b""


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([OK, CHUNKED]), st.lists(st.integers(1, 90), max_size=8))
def test_any_chunking_of_an_answer_gives_the_same_answer(raw: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(raw)) for cut in cuts})
    pieces = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]

    async def run() -> tuple[int, list[tuple[str, str]], bytes]:
        async with serving(answering(*pieces)) as url, client() as outbound:
            answer = await outbound.request("POST", url, "/", b"", b"{}")
            return answer.status, list(answer.headers.items()), await body_of(answer)

    async def whole() -> tuple[int, list[tuple[str, str]], bytes]:
        async with serving(answering(raw)) as url, client() as outbound:
            answer = await outbound.request("POST", url, "/", b"", b"{}")
            return answer.status, list(answer.headers.items()), await body_of(answer)

    assert asyncio.run(run()) == asyncio.run(whole())


async def test_a_connection_is_used_again() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(OK)(reader, writer)

    async with serving(talk) as url, client() as outbound:
        for _ in range(5):
            assert await body_of(await outbound.request("POST", url, "/", b"", b"{}")) == b"hello"
    assert connections == 1


@pytest.mark.parametrize("raw", [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), UNTIL_CLOSE])
async def test_a_connection_that_the_provider_closes_is_not_used_again(raw: bytes) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(raw, close=True)(reader, writer)

    async with serving(talk) as url, client() as outbound:
        for _ in range(3):
            await body_of(await outbound.request("POST", url, "/", b"", b"{}"))
    assert connections == 3


async def test_an_answer_given_up_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(talk) as url, client() as outbound:
        async with await outbound.request("POST", url, "/", b"", b"{}") as answer:
            assert await anext(answer.chunks()) == b"a"
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_caller_that_stops_waiting_closes_the_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(talk) as url, client() as outbound, asyncio.timeout(5):
        waiting = asyncio.ensure_future(outbound.request("POST", url, "/", b"", b"{}"))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await gone.wait()


@pytest.mark.parametrize(
    ("raw", "after_head"),
    [
        (b"", False),
        (b"HTTP/1.1 20", False),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", True),
    ],
)
async def test_a_broken_answer_is_an_error(raw: bytes, after_head: bool) -> None:
    async with serving(answering(raw, close=True)) as url, client() as outbound:
        if after_head:
            answer = await outbound.request("POST", url, "/", b"", b"{}")
            with pytest.raises(OutboundError):
                await body_of(answer)
        else:
            with pytest.raises(OutboundError):
                await outbound.request("POST", url, "/", b"", b"{}")


async def test_nobody_listening_is_a_connect_fault() -> None:
    async with serving(answering(OK)) as url:
        pass
    async with client() as outbound:
        with pytest.raises(ConnectFault):
            await outbound.request("POST", url, "/", b"", b"{}")
        with pytest.raises(ConnectFault):
            await outbound.request("POST", "http://nobody.invalid", "/", b"", b"{}")


async def test_silence_is_a_timeout_before_and_within_the_answer() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as url, client(read_timeout_s=0.1) as outbound:
        with pytest.raises(ReadTimeoutFault):
            await outbound.request("POST", url, "/", b"", b"{}")

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()

    async with serving(stalls) as url, client(read_timeout_s=0.1) as outbound:
        answer = await outbound.request("POST", url, "/", b"", b"{}")
        with pytest.raises(ReadTimeoutFault):
            await body_of(answer)


async def test_a_slow_reader_holds_the_provider_back() -> None:
    sent = 0
    size = 64 * 1024 * 1024

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with serving(talk) as url, client() as outbound, asyncio.timeout(30):
        answer = await outbound.request("POST", url, "/", b"", b"{}")
        chunks = answer.chunks()
        first = await anext(chunks)
        before = -1
        while before != sent:  # until the provider stands still
            before = sent
            for _ in range(50):
                await asyncio.sleep(0.001)
        assert sent < size
        total = len(first) + sum([len(chunk) async for chunk in chunks])
        answer.close()
    assert total == size


@pytest.mark.parametrize(("length", "sent"), [(8, b"abababab"), (None, b"2\r\nab\r\n" * 4 + b"0\r\n\r\n")])
async def test_a_body_is_sent_as_it_comes(length: int | None, sent: bytes) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.extend((head, await reader.readexactly(len(sent))))
        writer.write(OK)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"ab"

    async with serving(talk) as url, client() as outbound:
        await body_of(await outbound.request("POST", url, "/", b"", pieces(), length=length))
    assert seen[1] == sent
    assert (b"Content-Length: 8\r\n" in seen[0]) is (length is not None)
    assert (b"Transfer-Encoding: chunked\r\n" in seen[0]) is (length is None)
