"""Shadow and off change nothing: whole answers of any kind are the very bytes of a direct call."""

import asyncio
import gzip
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.model import Mode
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import chat, completion, gateway, whole

POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
MATTER = ("content-type", "content-encoding", "content-length", "x-request-id", "retry-after", "set-cookie")

bodies = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda text: orjson.dumps(completion(text)), st.text(st.characters(codec="utf-8"), max_size=40)),
    st.sampled_from([b'{"a": "forbidden swordfish", "a": 2}', b"", b"null", b"[]", b'{"choices": 3}']),
)
requests = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda text: orjson.dumps(chat(text)), st.text(st.characters(codec="utf-8"), max_size=40)),
    st.just(b'{"model": "a", "model": "b", "messages": "forbidden"}'),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bodies,
    requests,
    st.sampled_from([200, 201, 400, 404, 429, 500, 503]),
    st.sampled_from(["application/json", "text/plain; charset=utf-8", "application/octet-stream", "image/png"]),
    st.sampled_from(["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/x?a=b%20c"]),
    st.booleans(),
)
def test_shadow_and_off_equal_a_direct_call(
    body: bytes, asked: bytes, status: int, content_type: str, path: str, is_gzip: bool
) -> None:
    headers = {"x-request-id": "r1", "retry-after": "2", "Set-Cookie": "a=b"}
    if is_gzip:
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"

    async def compare() -> None:
        async with gateway(POLICY, Mode.OFF, whole(body, status, headers, content_type)) as gate:
            async with gate.direct(path, asked) as answer:
                direct = await told(answer)
            for mode in (Mode.OFF, Mode.SHADOW):
                gate.directory.mode = mode
                async with gate.call(path, asked) as answer:
                    assert await told(answer) == direct
            sent = [(one.method, one.path, one.body, names(one.headers)) for one in gate.provider.received]
            assert sent[0] == sent[1] == sent[2]

    asyncio.run(compare())


async def told(answer: Any) -> tuple[int, bytes, dict[str, list[str]]]:
    """Status, body and the headers that matter."""
    body = await answer.read()
    return answer.status, body, {name: answer.headers.getall(name, []) for name in MATTER}


def names(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without the one that names the host."""
    return sorted((name.lower(), value) for name, value in headers if name.lower() != "host")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=3), st.booleans())
def test_enforce_without_findings_equals_a_direct_call(texts: list[str], is_gzip: bool) -> None:
    body = orjson.dumps(completion(*texts))
    headers = {"x-request-id": "r1"}
    if is_gzip:
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"

    async def compare() -> None:
        async with gateway(policy_of(blocks("\x00never")), Mode.ENFORCE, whole(body, 200, headers)) as gate:
            async with gate.direct("/v1/chat/completions", chat(*texts)) as answer:
                direct = await told(answer)
            async with gate.call("/v1/chat/completions", chat(*texts)) as answer:
                assert await told(answer) == direct
            assert gate.provider.received[0].body == gate.provider.received[1].body

    asyncio.run(compare())


@pytest.mark.parametrize("mode", list(Mode))
async def test_large_bodies_pass_in_both_directions(mode: Mode) -> None:
    asked = orjson.dumps(chat("word " * 500_000))
    body = orjson.dumps(completion("word " * 500_000))
    async with gateway(policy_of(masks("swordfish"), budget_ms=15_000), mode, whole(body)) as gate:
        assert await gate.answer("/v1/chat/completions", asked) == (200, body)
        assert gate.provider.received[0].body == asked
