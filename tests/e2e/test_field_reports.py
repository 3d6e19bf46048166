"""What users of other gateways report, each as a named test: real SDKs, the shipped default policy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import orjson
import pytest

from sigmaguard.model import Mode
from sigmaguard.policy.compiled import Policy
from tests.e2e.wire import output_call, output_text, response, response_stream, tool_answer, tool_stream
from tests.engine.fakes import Raises, Waits, active, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Gateway,
    Received,
    Script,
    chat,
    chat_stream,
    completion,
    gateway,
    streamed,
    whole,
)
from tests.proxy.test_bypasses import ATTACK, KEY, policy

HELLO = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def sdk(
    script: Script, mode: Mode = Mode.ENFORCE, chosen: Policy | None = None
) -> AsyncIterator[tuple[openai.AsyncOpenAI, Gateway]]:
    """OpenAI's client in front of a scripted provider."""
    async with (
        gateway(chosen or policy(), mode, script) as gate,
        openai.AsyncOpenAI(base_url=gate.url + "/v1", api_key="sk-test", max_retries=0, timeout=20) as client,
    ):
        yield client, gate


async def test_not_only_the_first_of_n_choices_is_scanned() -> None:
    async with sdk(whole(completion("fine", f"key {KEY}", "fine", f"key {KEY}"))) as (client, _):
        answer = await client.chat.completions.create(model="m", messages=HELLO, n=4)
    assert [KEY in (choice.message.content or "") for choice in answer.choices] == [False] * 4
    assert answer.choices[0].message.content == "fine"
    assert answer.choices[3].message.content != "fine"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_tool_call_arguments_are_scanned(is_streamed: bool) -> None:
    arguments = json.dumps({"command": f"export K={KEY}"})
    async with sdk(streamed(tool_stream("{}", arguments)) if is_streamed else whole(tool_answer("{}", arguments))) as (
        client,
        _,
    ):
        if is_streamed:
            async with client.chat.completions.stream(model="m", messages=HELLO) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model="m", messages=HELLO)
    calls = answer.choices[0].message.tool_calls
    assert json.loads(calls[0].function.arguments) == {}
    assert KEY not in json.loads(calls[1].function.arguments)["command"]


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_the_responses_api_is_scanned(is_streamed: bool) -> None:
    arguments = json.dumps({"k": KEY})
    script = (
        streamed(response_stream(list(f"key {KEY} ok"), list(arguments)))
        if is_streamed
        else whole(response(output_text(f"key {KEY} ok"), output_call(arguments)))
    )
    async with sdk(script) as (client, gate):
        with pytest.raises(openai.PermissionDeniedError):
            await client.responses.create(model="m", input=ATTACK, stream=is_streamed)
        assert gate.provider.received == []
        if is_streamed:
            async with client.responses.stream(model="m", input="hello") as stream:
                seen = [repr(one) async for one in stream]
                answer = await stream.get_final_response()
            assert not any(KEY in one for one in seen)
        else:
            answer = await client.responses.create(model="m", input="hello")
    assert KEY not in answer.output_text
    assert json.loads(answer.output[1].arguments)["k"] != KEY


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_guardrail_that_errs_lets_nothing_through(kind: str, is_streamed: bool) -> None:
    guard = Waits() if kind == "hangs" else Raises(ConnectionError("analyzer is down"))
    failing = policy_of(active(guard), budget_ms=50)
    async with sdk(whole(completion("x")), chosen=failing) as (client, gate):
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model="m", messages=HELLO, stream=is_streamed)
        assert gate.provider.received == []
        if isinstance(guard, Waits):
            guard.go_on.set()
    assert raised.value.code in ("detector_failed", "detector_timeout")


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_shadow_alters_neither_request_nor_answer(is_streamed: bool) -> None:
    body = orjson.dumps(chat(f"{ATTACK} mail anna.schmidt@example.org key {KEY}", stream=is_streamed))
    pieces = chat_stream(*f"{ATTACK} key {KEY}")
    script = streamed(pieces) if is_streamed else whole(completion(f"{ATTACK} key {KEY}"))
    async with gateway(policy(), Mode.SHADOW, script) as gate:
        status, raw = await gate.answer("/v1/chat/completions", body)
        assert gate.provider.received[0].body == body
        record = (await gate.recorder.after(1))[0]
    assert (status, raw) == (200, b"".join(pieces) if is_streamed else orjson.dumps(completion(f"{ATTACK} key {KEY}")))
    assert (record.action, record.intended) == ("allow", "block")
    assert record.output_findings


async def test_a_stream_is_not_buffered_before_the_first_token() -> None:
    more = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        pieces = chat_stream("The museum ", "opens ", "at nine.")
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for piece in pieces[:2]:
            await connection.chunk(piece)
        await more.wait()
        for piece in pieces[2:]:
            await connection.chunk(piece)
        await connection.end()

    async with sdk(script) as (client, _), asyncio.timeout(DEADLINE_S):
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        said = ""
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if said.startswith("The mus"):  # the end of a word may wait for what follows it
                more.set()  # until here the provider has sent nothing more
    assert said == "The museum opens at nine."
