"""The official Anthropic SDK, unmodified, against the proxy: every kind of call, in every mode."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import pytest

from sigmaguard.model import Mode
from sigmaguard.policy.compiled import Policy
from tests.e2e.wire import message, message_stream, spread
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import Connection, Gateway, Received, Script, gateway, streamed, whole

POLICY = policy_of(blocks("forbidden fruit"), masks("swordfish"))
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"name": "weather", "description": "Tells it", "input_schema": {"type": "object"}}]
MODES = pytest.mark.parametrize("mode", list(Mode))


@asynccontextmanager
async def sdk(
    script: Script, mode: Mode = Mode.ENFORCE, policy: Policy = POLICY
) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, Gateway]]:
    """The asynchronous client in front of a scripted provider."""
    async with (
        gateway(policy, mode, script) as gate,
        anthropic.AsyncAnthropic(base_url=gate.url, api_key="sk-ant", max_retries=0, timeout=20) as client,
    ):
        yield client, gate


def word(mode: Mode) -> str:
    """What a caller sees of the masked word."""
    return "[SECRET]" if mode is Mode.ENFORCE else "swordfish"


@MODES
async def test_plain_with_tools_and_thinking(mode: Mode) -> None:
    blocks_ = (
        {"type": "thinking", "thinking": "a swordfish, hm", "signature": "c2ln"},
        {"type": "text", "text": "a swordfish"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "swordfish", "n": [1, {"x": "y"}]}},
    )
    async with sdk(whole(message(*blocks_, stop="tool_use")), mode) as (client, gate):
        answer = await client.messages.create(model="c", max_tokens=9, messages=HELLO, tools=TOOLS)
        sent = gate.provider.received[0]
    assert sent.header("Authorization") == "Bearer sk-ant"
    assert sent.header("anthropic-version")
    assert answer.content[0].thinking == f"a {word(mode)}, hm"
    assert answer.content[1].text == f"a {word(mode)}"
    assert answer.content[2].input == {"city": word(mode), "n": [1, {"x": "y"}]}
    assert answer.stop_reason == "tool_use"


@MODES
async def test_the_synchronous_client(mode: Mode) -> None:
    def call(url: str) -> str:
        with anthropic.Anthropic(base_url=url, api_key="sk-ant", max_retries=0, timeout=20) as client:
            first = client.messages.create(model="c", max_tokens=9, messages=HELLO)
            with client.messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
                return f"{first.content[0].text} {''.join(stream.text_stream)}"

    async def script(request: Received, connection: Connection) -> None:
        reply = (
            streamed(message_stream(["good ", "day"]))
            if request.json.get("stream")
            else whole(message({"type": "text", "text": "good day"}))
        )
        await reply(request, connection)

    async with gateway(POLICY, mode, script) as gate:
        assert await asyncio.to_thread(call, gate.url) == "good day good day"


@MODES
@pytest.mark.parametrize("size", [1, 13, 100_000])
async def test_streaming_with_tools_and_thinking(mode: Mode, size: int) -> None:
    pieces = message_stream(["a sword", "fish sw", "ims"], ['{"city": "sword', 'fish"', ', "n": 1}'], "the swordfish")
    async with (
        sdk(streamed(spread(pieces, size)), mode) as (client, gate),
        client.messages.stream(model="c", max_tokens=9, messages=HELLO, tools=TOOLS) as stream,
    ):
        said = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
        record = (await gate.recorder.after(1))[0]
    assert "".join(said) == f"a {word(mode)} swims"
    assert final.content[0].thinking == f"the {word(mode)}"
    assert final.content[0].signature == "c2ln"
    assert final.content[2].input == {"city": word(mode), "n": 1}
    assert final.stop_reason == "tool_use"
    assert final.usage.output_tokens == 5
    assert (record.status, record.faults) == (200, ())
    if mode is not Mode.OFF:
        assert (record.input_tokens, record.output_tokens) == (3, 5)


async def test_masked_and_restored_also_in_tool_input() -> None:
    pieces = message_stream(["see <SEC", "RET_1>"], ['{"city": "<SECR', 'ET_1>"}'])
    asked = [{"role": "user", "content": [{"type": "text", "text": "the swordfish"}]}]
    async with (
        sdk(streamed(pieces)) as (client, gate),
        client.messages.stream(model="c", max_tokens=9, messages=asked, tools=TOOLS) as stream,
    ):
        final = await stream.get_final_message()
        sent = gate.provider.received[0].json
    assert sent["messages"][0]["content"][0]["text"] == "the <SECRET_1>"
    assert final.content[0].text == "see swordfish"
    assert final.content[1].input == {"city": "swordfish"}


async def test_a_stream_that_turns_bad_ends_with_a_refusal() -> None:
    pieces = message_stream(["all is well, ", "eat the forb", "idden fruit", " and more"], ['{"city": "x"}'])
    async with (
        sdk(streamed(pieces)) as (client, gate),
        client.messages.stream(model="c", max_tokens=9, messages=HELLO) as stream,
    ):
        kinds = [one.type async for one in stream]
        final = await stream.get_final_message()
        record = (await gate.recorder.after(1))[0]
    assert final.content[0].text == "all is well, eat the "
    assert final.stop_reason == "refusal"
    assert kinds[-1] == "message_stop"
    assert kinds.count("content_block_stop") == 1
    assert (record.action, record.rule) == ("block", "test.bad")


async def test_count_tokens_and_system_prompts() -> None:
    async with sdk(whole({"input_tokens": 12})) as (client, gate):
        counted = await client.messages.count_tokens(model="c", messages=HELLO, system="a swordfish")
        assert counted.input_tokens == 12
        assert gate.provider.received[0].path == "/v1/messages/count_tokens"
        assert gate.provider.received[0].json["system"] == "a <SECRET_1>"


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "the forbidden"}, {"type": "text", "text": " fruit"}],
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "forbidden fruit"}]}],
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "forbidden fruit " * 40}}],
        [{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "forbidden fruit"}]}}],
        [
            {
                "type": "search_result",
                "source": "s",
                "title": "t",
                "content": [{"type": "text", "text": "forbidden fruit"}],
            }
        ],
    ],
)
async def test_every_block_is_inspected(content: object) -> None:
    async with sdk(whole(message())) as (client, gate):
        with pytest.raises(anthropic.PermissionDeniedError):
            await client.messages.create(model="c", max_tokens=9, messages=[{"role": "user", "content": content}])
        assert gate.provider.received == []


async def test_a_blocked_request_is_the_sdks_own_exception() -> None:
    asked = [{"role": "user", "content": "forbidden fruit"}]
    async with sdk(whole(message())) as (client, gate):
        for call in (
            lambda: client.messages.create(model="c", max_tokens=9, messages=asked),
            lambda: client.messages.create(model="c", max_tokens=9, messages=asked, stream=True),
        ):
            with pytest.raises(anthropic.PermissionDeniedError) as raised:
                await call()
            assert raised.value.body["error"]["code"] == "test.bad"
            assert raised.value.body["error"]["type"] == "sigmaguard_blocked"
            assert "forbidden" not in str(raised.value)
        assert gate.provider.received == []


@MODES
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
async def test_the_providers_errors_pass_through(mode: Mode, status: int, kind: type[anthropic.APIStatusError]) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    headers = {"request-id": "req_9", "retry-after": "3", "anthropic-ratelimit-requests-remaining": "0"}
    async with sdk(whole(body, status, headers), mode) as (client, _):
        with pytest.raises(kind) as raised:
            await client.messages.create(model="c", max_tokens=9, messages=HELLO)
    assert (raised.value.status_code, raised.value.body) == (status, body)
    for name, value in headers.items():
        assert raised.value.response.headers[name] == value


async def test_a_stream_that_breaks_raises() -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for piece in message_stream(["one ", "two"])[:4]:
            await connection.chunk(piece)
        connection.reset()

    async with sdk(script) as (client, gate):
        with pytest.raises(anthropic.APIStatusError) as raised:
            async with client.messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
                await stream.get_final_message()
        record = (await gate.recorder.after(1))[0]
    assert raised.value.body["error"]["code"] == "upstream_reset"
    assert record.faults[0].kind == "upstream_reset"
