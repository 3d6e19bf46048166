"""The demo provider: what people get wrong is told them in their SDK's shape, and what it received can be seen."""

import base64
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from sigmaguard_proxy.demo import RECEIVED, demo_app

HELLO = [{"role": "user", "content": "Hello"}]


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    runner = web.AppRunner(demo_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ask(url: str, body: Any, method: str = "POST") -> tuple[int, Any, str]:
    """Status, body and what the demo says that it received."""
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as answer:
        assert answer.content_type == "application/json", await answer.text()
        return answer.status, await answer.json(), answer.headers.get(RECEIVED, "")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("chat/completions", {"messages": "Hello"}, "messages"),
        ("chat/completions", {"messages": ["Hello"]}, "messages"),
        ("chat/completions", {"messages": []}, "messages"),
        ("chat/completions", {}, "messages"),
        ("chat/completions", ["Hello"], None),
        ("chat/completions", {"messages": HELLO, "n": "many"}, None),
        ("chat/completions", {"messages": HELLO, "tools": 7}, None),
        ("chat/completions", {"messages": HELLO, "response_format": "json"}, None),
        ("responses", {}, "input"),
        ("completions", {}, "prompt"),
        ("embeddings", {"input": 7}, None),
        ("images/generations", {}, "prompt"),
    ],
)
async def test_a_wrong_body_is_a_400_in_openais_shape(url: str, path: str, body: Any, field: str | None) -> None:
    status, answer, _ = await ask(f"{url}/v1/{path}", body)
    assert status == 400 and set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error" and answer["error"]["param"] == field


@pytest.mark.parametrize("path", ["messages", "messages/count_tokens"])
@pytest.mark.parametrize("body", [{"messages": "Hello"}, {"messages": [1]}, {}, 7])
async def test_a_wrong_body_is_a_400_in_anthropics_shape(url: str, path: str, body: Any) -> None:
    status, answer, _ = await ask(f"{url}/v1/{path}", body)
    assert status == 400 and answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error" and answer["error"]["message"]


async def test_an_unknown_path_is_a_404_in_the_callers_shape(url: str) -> None:
    status, answer, _ = await ask(f"{url}/v1/files", {})
    assert (status, answer["error"]["code"]) == (404, "unknown_url") and "/v1/files" in answer["error"]["message"]
    status, answer, _ = await ask(f"{url}/v1/messages/batches", {})
    assert (status, answer["type"], answer["error"]["type"]) == (404, "error", "not_found_error")
    status, answer, _ = await ask(f"{url}/v1/chat/completions", None, "GET")
    assert (status, answer["error"]["code"]) == (405, "method_not_supported")


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("Write to <EMAIL_1>", "Write to <EMAIL_1>"),
        ("Schöne\r\nx-evil: 1\x1b", "Sch\\xf6ne x-evil: 1?"),
        ("long " * 1000, ("long " * 100).strip()),
    ],
)
async def test_what_it_received_is_one_ascii_line_in_a_header(url: str, text: str, received: str) -> None:
    messages = [{"role": "user", "content": "before"}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    assert (await ask(f"{url}/v1/chat/completions", {"messages": messages}))[2] == received
    assert (await ask(f"{url}/v1/messages", {"messages": messages}))[2] == received
    assert (await ask(f"{url}/v1/responses", {"input": text}))[2] == received


async def test_an_image_is_a_picture(url: str) -> None:
    status, answer, _ = await ask(f"{url}/v1/images/generations", {"prompt": "a cat", "n": 2})
    assert status == 200 and len(answer["data"]) == 2
    picture = base64.b64decode(answer["data"][0]["b64_json"])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xae\x42\x60\x82")
    assert struct.unpack(">II", picture[16:24]) == (1, 1)
    length = struct.unpack(">I", picture[33:37])[0]
    assert len(zlib.decompress(picture[41 : 41 + length])) == 2  # a filter byte and a grey one
