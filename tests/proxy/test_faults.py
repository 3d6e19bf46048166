"""What goes wrong upstream, on the way and in bodies: each with its answer in the caller's own protocol."""

import asyncio
import socket

import orjson
import pytest
from multidict import CIMultiDict

from sigmaguard.model import Mode, OnFault
from sigmaguard.policy.pack import Limits
from sigmaguard_proxy.ports import ExchangeRecord
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Received,
    Script,
    chat,
    completion,
    gateway,
    whole,
)

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
PATHS = pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/responses", "/v1/embeddings", "/v1/unknown"])


def error_of(path: str, raw: bytes) -> tuple[str, str]:
    """Type and code of an error, in the shape the path's SDK reads."""
    body = orjson.loads(raw)
    if path == MESSAGES:
        assert body["type"] == "error"
        assert body["request_id"].startswith("exc_")
    error = body["error"]
    assert error["message"]
    return error["type"], error["code"]


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@PATHS
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_provider_that_refuses_connections(path: str, mode: Mode) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    async with gateway(POLICY, mode, upstreams={"openai": url, "anthropic": url}) as gate:
        status, raw = await gate.answer(path, chat("hi"))
        record = (await gate.recorder.after(1))[0]
    assert (status, error_of(path, raw)) == (502, ("api_error", "upstream_unreachable"))
    assert (record.status, record.faults[0].source) == (502, "upstream")


@PATHS
async def test_a_provider_that_never_answers(path: str) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.gone()

    async with gateway(POLICY, script=script, read_timeout_s=0.2) as gate:
        status, raw = await gate.answer(path, chat("hi"))
    assert (status, error_of(path, raw)) == (504, ("api_error", "upstream_timeout"))


@PATHS
async def test_a_provider_that_hangs_up_before_answering(path: str) -> None:
    async def script(request: Received, connection: Connection) -> None:
        connection.reset()

    async with gateway(POLICY, script=script) as gate:
        status, raw = await gate.answer(path, chat("hi"))
    assert (status, error_of(path, raw)) == (502, ("api_error", "upstream_failed"))


async def cut_short(request: Received, connection: Connection) -> None:
    """Promises more than it sends."""
    await connection.head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
    await connection.raw(b'{"id": ')
    connection.reset()


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_provider_that_breaks_off_in_its_answer(path: str, mode: Mode) -> None:
    async with gateway(POLICY, mode, cut_short) as gate:
        status, raw = await gate.answer(path, chat("hi"))
    assert (status, error_of(path, raw)) == (502, ("api_error", "upstream_reset"))


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"<html>Bad gateway", "application/json", "upstream_not_json"),
        (b'{"a": 1, "a": 2}', "application/json", "upstream_duplicate_key"),
        (b'{"a": "\xff"}', "application/json", "upstream_not_utf8"),
        (b"[1, 2, 3]", "application/json", "upstream_not_an_object"),
        (b'"just text"', "application/json", "upstream_not_an_object"),
        (b"[" * 10_000, "application/json", "upstream_too_deep"),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", "upstream_too_deep"),
        (b'{"choices": ' + b"[" * 960 + b"]" * 960 + b"}", "application/json", "upstream_too_deep"),
        (b"\xff\xfe\x00", "text/plain", "upstream_not_utf8"),
    ],
)
async def test_garbage_is_refused_or_passes_where_the_policy_fails_open(
    body: bytes, content_type: str, kind: str
) -> None:
    script = whole(body, content_type=content_type)
    async with gateway(POLICY, script=script) as gate:
        status, raw = await gate.answer(CHAT, chat("hi"))
        assert (status, error_of(CHAT, raw)) == (502, ("api_error", kind))
        gate.directory.policy = policy_of(masks("swordfish"), on_fault=OnFault.OPEN)
        assert await gate.answer(CHAT, chat("hi")) == (200, body)
        assert (await gate.recorder.after(2))[1].faults[0].kind == kind
        gate.directory.policy, gate.directory.mode = POLICY, Mode.SHADOW
        assert await gate.answer(CHAT, chat("hi")) == (200, body)


async def test_an_error_page_of_a_load_balancer_passes_and_is_inspected() -> None:
    async with gateway(POLICY, script=whole(b"<h1>502 swordfish</h1>", 502, content_type="text/html")) as gate:
        assert await gate.answer(CHAT, chat("hi")) == (502, b"<h1>502 [SECRET]</h1>")


async def test_ten_megabytes_pass_and_more_than_the_limit_does_not() -> None:
    big = completion("word " * 2_000_000)
    limits = Limits(response_bytes=12_000_000)
    async with gateway(policy_of(masks("swordfish"), limits=limits, budget_ms=15_000), script=whole(big)) as gate:
        status, raw = await gate.answer(CHAT, chat("hi"))
        assert (status, raw) == (200, orjson.dumps(big))
        gate.provider.script = whole(completion("word " * 2_500_000))
        status, raw = await gate.answer(CHAT, chat("hi"))
        assert (status, error_of(CHAT, raw)) == (502, ("api_error", "upstream_too_large"))
        gate.directory.mode = Mode.SHADOW
        assert (await gate.answer(CHAT, chat("hi")))[0] == 200


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"not json", "not_json"),
        (b'{"messages": [', "not_json"),
        (b'["a list"]', "not_an_object"),
        (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
        (b'{"messages": ' + b"[" * 970 + b"]" * 970 + b"}", "too_deep"),
        (b'{"model": "a", "model": "b"}', "duplicate_key"),
        (b'{"messages": [{"role": "user", "content": "ok", "content": "forbidden"}]}', "duplicate_key"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'{"a": "\xff"}', "not_utf8"),
        ('{"messages": []}'.encode("utf-16"), "not_utf8"),
    ],
)
async def test_what_cannot_be_read_is_refused(path: str, body: bytes, kind: str) -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        status, raw = await gate.answer(path, body)
        assert (status, error_of(path, raw)) == (400, ("invalid_request_error", kind))
        assert gate.provider.received == []
        record = (await gate.recorder.after(1))[0]
        assert (record.status, record.faults[0].source) == (400, "client")
        gate.directory.mode = Mode.SHADOW
        assert (await gate.answer(path, body))[0] == 200
        assert gate.provider.received[0].body == body
        gate.directory.mode, gate.directory.policy = Mode.ENFORCE, policy_of(masks("x"), on_fault=OnFault.OPEN)
        assert (await gate.answer(path, body))[0] == 200
        assert gate.provider.received[1].body == body


async def test_a_form_where_json_belongs_is_refused() -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status, raw = await gate.answer(CHAT, b"--x--", headers=headers)
        assert (status, error_of(CHAT, raw)) == (400, ("invalid_request_error", "multipart"))
        status, raw = await gate.answer("/v1/audio/transcriptions", b"--y--", headers=headers)
        assert (status, error_of(CHAT, raw)) == (400, ("invalid_request_error", "bad_multipart"))


@pytest.mark.parametrize(
    ("boundary", "body"),
    [("xboundary=y; boundary=x", b"--y--"), ("boundary=y; boundary=x", b"--y--"), ("boundary=x", b"--x--y")],
)
async def test_a_form_that_upstreams_read_otherwise_never_leaves(boundary: str, body: bytes) -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        headers = {"Content-Type": f"multipart/form-data; {boundary}"}
        status, raw = await gate.answer("/v1/audio/transcriptions", body, headers=headers)
        assert (status, error_of(CHAT, raw)) == (400, ("invalid_request_error", "bad_multipart"))
        assert gate.provider.received == []


@pytest.mark.parametrize("path", [CHAT, "/v1/guard"])
async def test_two_headers_that_tell_a_bodys_encoding_are_refused(path: str) -> None:
    """We might read by the first what a server reads by the last; shadow and off pass the bytes as ever."""
    headers = CIMultiDict([("Content-Encoding", "identity"), ("Content-Encoding", "gzip")])
    body = orjson.dumps(chat("hi"))
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        for mode in Mode if path == CHAT else (Mode.ENFORCE,):
            gate.directory.mode = mode
            async with gate.session.post(gate.url + path, data=body, headers=headers) as answer:
                status, raw = answer.status, await answer.read()
            if mode is Mode.ENFORCE:
                assert (status, error_of(CHAT, raw)) == (400, ("invalid_request_error", "doubled_header"))
                assert "send one" in orjson.loads(raw)["error"]["message"] and gate.provider.received == []
            else:
                assert (status, gate.provider.received[-1].body) == (200, body)


async def test_two_content_types_are_refused() -> None:
    """By aiohttp, in every mode: a form's boundary would be one for us and another for the server."""
    headers = CIMultiDict([("Content-Type", f"multipart/form-data; boundary={one}") for one in "xy"])
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        for mode in Mode:
            gate.directory.mode = mode
            async with gate.session.post(
                f"{gate.url}/v1/audio/transcriptions", data=b"--x--", headers=headers
            ) as answer:
                assert (answer.status, gate.provider.received) == (400, [])


async def test_a_caller_that_hangs_up_while_sending() -> None:
    async with gateway(POLICY) as gate, asyncio.timeout(DEADLINE_S):
        _, writer = await asyncio.open_connection("127.0.0.1", gate.plane.port)
        writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        while gate.plane.proxy.active == 0:  # noqa: ASYNC110  until the head has been read
            await asyncio.sleep(0)
        writer.transport.abort()
        record = (await gate.recorder.after(1))[0]
        assert record.status == 499
        assert gate.provider.received == []
        assert gate.plane.proxy.active == 0


class FullDisk:
    """A recorder that cannot write."""

    def __init__(self) -> None:
        self.tried = 0

    def record(self, record: ExchangeRecord) -> None:
        """Raises."""
        self.tried += 1
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_recorded_is_not_let_through(stream: bool) -> None:
    from tests.proxy.scripted import chat_stream, streamed

    script: Script = streamed(chat_stream("hello ", "there")) if stream else whole(completion("hello there"))
    recorder = FullDisk()
    async with gateway(POLICY, script=script, recorder=recorder) as gate:
        status, raw = await gate.answer(CHAT, chat("hi", stream=stream))
        assert b"audit_unavailable" in raw
        assert status == (200 if stream else 503)
        gate.directory.mode = Mode.SHADOW
        assert (await gate.answer(CHAT, chat("hi", stream=stream)))[0] == 200
    assert recorder.tried == 2


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_crowd_leaves_nothing_behind(mode: Mode) -> None:
    async with gateway(POLICY, mode, whole(completion("a swordfish"))) as gate:
        answers = await asyncio.gather(*(gate.answer(CHAT, chat(f"hello {at}")) for at in range(60)))
        assert {status for status, _ in answers} == {200}
        records = await gate.recorder.after(60)
        assert len({record.exchange for record in records}) == 60
        assert gate.plane.proxy.active == 0
        assert len(gate.plane.services.tasks) == 0
