"""The official OpenAI SDK, unmodified, against the proxy: every kind of call, in every mode."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pydantic
import pytest

from sigmaguard.model import Mode
from sigmaguard.policy.compiled import Policy
from tests.e2e.wire import (
    WEATHER,
    output_call,
    output_text,
    response,
    response_stream,
    spread,
    tool_answer,
    tool_stream,
)
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import (
    Connection,
    Gateway,
    Received,
    Script,
    chat_stream,
    completion,
    event,
    gateway,
    streamed,
    whole,
)

POLICY = policy_of(blocks("forbidden fruit"), masks("swordfish"))
HELLO = [{"role": "user", "content": "hello"}]
MODES = pytest.mark.parametrize("mode", list(Mode))


@asynccontextmanager
async def sdk(
    script: Script, mode: Mode = Mode.ENFORCE, policy: Policy = POLICY
) -> AsyncIterator[tuple[openai.AsyncOpenAI, Gateway]]:
    """The asynchronous client in front of a scripted provider."""
    async with (
        gateway(policy, mode, script) as gate,
        openai.AsyncOpenAI(base_url=gate.url + "/v1", api_key="sk-test", max_retries=0, timeout=20) as client,
    ):
        yield client, gate


@MODES
async def test_plain(mode: Mode) -> None:
    async with sdk(whole(completion("good day")), mode) as (client, _):
        answer = await client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "good day"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 8


@MODES
async def test_plain_from_the_synchronous_client(mode: Mode) -> None:
    def call(url: str) -> str:
        with openai.OpenAI(base_url=url + "/v1", api_key="sk-test", max_retries=0, timeout=20) as client:
            whole_answer = client.chat.completions.create(model="m", messages=HELLO)
            with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
                said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return f"{whole_answer.choices[0].message.content} {said}"

    async def script(request: Received, connection: Connection) -> None:
        reply = streamed(chat_stream("good ", "day")) if request.json.get("stream") else whole(completion("good day"))
        await reply(request, connection)

    async with gateway(POLICY, mode, script) as gate:
        assert await asyncio.to_thread(call, gate.url) == "good day good day"
        records = await gate.recorder.after(2)
    assert [record.status for record in records] == [200, 200]


@MODES
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_streaming(mode: Mode, size: int) -> None:
    pieces = spread(chat_stream("The cat", " sat on", " the mat."), size)
    async with sdk(streamed(pieces), mode) as (client, gate):
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        record = (await gate.recorder.after(1))[0]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "The cat sat on the mat."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (record.status, record.faults) == (200, ())


async def test_a_masked_value_comes_back_in_a_stream() -> None:
    pieces = chat_stream("Mail <SEC", "RET", "_1> now")
    async with sdk(streamed(pieces)) as (client, gate):
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "use swordfish"}], stream=True
        )
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert b"swordfish" not in gate.provider.received[0].body
    assert said == "Mail swordfish now"


async def test_the_stream_helper_accumulates() -> None:
    async with (
        sdk(streamed(chat_stream("a sword", "fish ", "swims"))) as (client, _),
        client.chat.completions.stream(model="m", messages=HELLO) as stream,
    ):
        kinds = {one.type async for one in stream}
        final = await stream.get_final_completion()
    assert "content.done" in kinds
    assert final.choices[0].message.content == "a [SECRET] swims"


@MODES
async def test_parallel_tool_calls(mode: Mode) -> None:
    calls = ['{"city": "Köln"}', '{"city": "swordfish \\"quoted\\"", "n": 1}']
    async with sdk(whole(tool_answer(*calls)), mode) as (client, _):
        answer = await client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER])
    assert [call.id for call in answer.choices[0].message.tool_calls] == ["call_0", "call_1"]
    arguments = [json.loads(call.function.arguments) for call in answer.choices[0].message.tool_calls]
    word = "[SECRET]" if mode is Mode.ENFORCE else "swordfish"
    assert arguments == [{"city": "Köln"}, {"city": f'{word} "quoted"', "n": 1}]


@MODES
@pytest.mark.parametrize("size", [1, 3, 1_000])
async def test_parallel_tool_calls_streamed_in_fragments(mode: Mode, size: int) -> None:
    calls = ['{"city": "Köln"}', '{"city": "swordfish \\"quoted\\"", "n": 1}']
    async with (
        sdk(streamed(tool_stream(*calls, size=size)), mode) as (client, _),
        client.chat.completions.stream(model="m", messages=HELLO, tools=[WEATHER]) as stream,
    ):
        final = await stream.get_final_completion()
    word = "[SECRET]" if mode is Mode.ENFORCE else "swordfish"
    found = [json.loads(call.function.arguments) for call in final.choices[0].message.tool_calls]
    assert found == [{"city": "Köln"}, {"city": f'{word} "quoted"', "n": 1}]
    assert final.choices[0].finish_reason == "tool_calls"


async def test_a_tool_result_is_inspected() -> None:
    async with sdk(whole(completion("x"))) as (client, gate):
        with pytest.raises(openai.PermissionDeniedError):
            await client.chat.completions.create(
                model="m",
                messages=[
                    *HELLO,
                    {"role": "assistant", "content": None, "tool_calls": [{**WEATHER_CALL}]},
                    {"role": "tool", "tool_call_id": "call_0", "content": "eat the forbidden fruit"},
                ],
            )
        assert gate.provider.received == []


WEATHER_CALL = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


class Person(pydantic.BaseModel):
    """What a structured answer holds."""

    name: str
    age: int


@MODES
async def test_structured_output(mode: Mode) -> None:
    async with sdk(whole(completion('{"name": "Ada", "age": 36}')), mode) as (client, _):
        answer = await client.chat.completions.parse(model="m", messages=HELLO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


@MODES
async def test_structured_output_streamed(mode: Mode) -> None:
    pieces = chat_stream('{"name": "A', 'da", "a', 'ge": 36}')
    async with (
        sdk(streamed(pieces), mode) as (client, _),
        client.chat.completions.stream(model="m", messages=HELLO, response_format=Person) as stream,
    ):
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


@MODES
async def test_responses(mode: Mode) -> None:
    async with sdk(whole(response(output_text("a swordfish"), output_call('{"city": "Bonn"}'))), mode) as (client, _):
        answer = await client.responses.create(model="m", input="hello")
    assert answer.output_text == ("a [SECRET]" if mode is Mode.ENFORCE else "a swordfish")


@MODES
@pytest.mark.parametrize("size", [1, 11, 100_000])
async def test_responses_streamed(mode: Mode, size: int) -> None:
    pieces = spread(response_stream(["a sword", "fish sw", "ims"], ['{"city": "sword', 'fish"}']), size)
    async with sdk(streamed(pieces), mode) as (client, _), client.responses.stream(model="m", input="hi") as stream:
        events = [one async for one in stream]
        final = await stream.get_final_response()
    word = "[SECRET]" if mode is Mode.ENFORCE else "swordfish"
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == f"a {word} swims"
    assert final.output_text == f"a {word} swims"
    assert json.loads(final.output[1].arguments) == {"city": word}
    numbers = [one.sequence_number for one in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@MODES
async def test_responses_parsed(mode: Mode) -> None:
    async with sdk(whole(response(output_text('{"name": "Ada", "age": 36}'))), mode) as (client, _):
        answer = await client.responses.parse(model="m", input="hello", text_format=Person)
    assert answer.output_parsed == Person(name="Ada", age=36)


async def test_a_response_stream_that_turns_bad_ends_as_incomplete() -> None:
    pieces = response_stream(["all is well, ", "eat the forbidden", " fruit", " and more"])
    async with sdk(streamed(pieces)) as (client, gate):
        stream = await client.responses.create(model="m", input="hello", stream=True)
        events = [one async for one in stream]
        record = (await gate.recorder.after(1))[0]
    said = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert said == "all is well, eat the "
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"
    assert "forbidden" not in "".join(one.model_dump_json() for one in events)
    assert (record.action, record.rule) == ("block", "test.bad")
    numbers = [one.sequence_number for one in events]
    assert numbers == list(range(len(numbers)))


async def test_a_chat_stream_that_turns_bad_ends_with_content_filter() -> None:
    pieces = chat_stream("all is well, ", "eat the forb", "idden fru", "it", " and more")
    async with sdk(streamed(pieces)) as (client, gate):
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        record = (await gate.recorder.after(1))[0]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "all is well, eat the "
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].model_extra["sigmaguard"]["exchange"] == record.exchange
    assert (record.status, record.action, record.rule) == (200, "block", "test.bad")


async def test_embeddings_models_moderations_and_completions() -> None:
    vector = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}], "model": "e"}
    vector["usage"] = {"prompt_tokens": 1, "total_tokens": 1}
    text = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
    text["choices"] = [{"index": 0, "text": "a swordfish", "finish_reason": "stop", "logprobs": None}]
    scripts = {
        "/v1/embeddings": whole(vector),
        "/v1/models": whole(
            {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}]}
        ),
        "/v1/moderations": whole({"id": "mod", "model": "m", "results": []}),
        "/v1/completions": whole(text),
    }
    async with sdk(whole({})) as (client, gate):
        gate.provider.scripts.update(scripts)
        found = await client.embeddings.create(model="e", input=["a swordfish", "b"], encoding_format="float")
        assert found.data[0].embedding == [0.5, 1.0]
        assert gate.provider.received[-1].json["input"] == ["a <SECRET_1>", "b"]
        assert [one.id async for one in client.models.list()] == ["m"]
        assert (await client.moderations.create(input="hello")).id == "mod"
        assert (await client.completions.create(model="m", prompt="hi")).choices[0].text == "a [SECRET]"
        with pytest.raises(openai.PermissionDeniedError):
            await client.embeddings.create(model="e", input="forbidden fruit")


async def test_legacy_completions_streamed() -> None:
    base = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
    fragments = ["a sword", "fish sw", "ims"]
    choices = [{"index": 0, "text": one, "finish_reason": None, "logprobs": None} for one in fragments]
    choices[-1]["finish_reason"] = "stop"
    pieces = [*(event({**base, "choices": [one]}) for one in choices), event(b"[DONE]")]
    async with sdk(streamed(pieces)) as (client, _):
        stream = await client.completions.create(model="m", prompt="hi", stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "a [SECRET] swims"
    assert chunks[-1].choices[0].finish_reason == "stop"


@MODES
async def test_audio_passes_through_with_its_text_inspected(mode: Mode) -> None:
    sound = bytes(range(256)) * 40
    async with sdk(whole({"text": "a swordfish"}), mode) as (client, gate):
        gate.provider.scripts["/v1/audio/speech"] = whole(sound, content_type="audio/mpeg")
        upload = ("sound.wav", sound, "audio/wav")
        heard = await client.audio.transcriptions.create(model="w", file=upload, prompt="names: swordfish")
        assert heard.text == ("a [SECRET]" if mode is Mode.ENFORCE else "a swordfish")
        body = gate.provider.received[-1].body
        assert sound in body
        assert (b"swordfish" in body) is (mode is not Mode.ENFORCE)
        spoken = await client.audio.speech.create(model="t", voice="v", input="good day")
        assert spoken.content == sound
        if mode is Mode.ENFORCE:
            with pytest.raises(openai.PermissionDeniedError):
                await client.audio.speech.create(model="t", voice="v", input="the forbidden fruit")
            with pytest.raises(openai.PermissionDeniedError):
                await client.audio.transcriptions.create(model="w", file=upload, prompt="forbidden fruit")


async def test_a_streamed_transcript_is_guarded() -> None:
    deltas = [event({"type": "transcript.text.delta", "delta": one}) for one in ("a sword", "fish ", "swims")]
    pieces = [*deltas, event({"type": "transcript.text.done", "text": "a swordfish swims"})]
    async with sdk(streamed(pieces)) as (client, _):
        stream = await client.audio.transcriptions.create(model="w", file=("s.wav", b"RIFF"), stream=True)
        events = [one async for one in stream]
    assert "".join(one.delta for one in events[:-1]) == "a [SECRET] swims"
    assert events[-1].text == "a [SECRET] swims"


async def test_images() -> None:
    made = {"created": 1, "data": [{"b64_json": "QUJD" * 200, "revised_prompt": "a swordfish"}]}
    async with sdk(whole(made)) as (client, _):
        answer = await client.images.generate(model="i", prompt="a fish")
        assert answer.data[0].b64_json == "QUJD" * 200
        assert answer.data[0].revised_prompt == "a [SECRET]"
        edited = await client.images.edit(model="i", image=("i.png", b"\x89PNG\r\n\x1a\n\x00"), prompt="a fish")
        assert edited.created == 1


async def test_a_blocked_request_is_the_sdks_own_exception() -> None:
    async with sdk(whole(completion("x"))) as (client, gate):
        for stream in (False, True):
            with pytest.raises(openai.PermissionDeniedError) as raised:
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "forbidden fruit"}], stream=stream
                )
            error = raised.value
            assert (error.status_code, error.code, error.type) == (403, "test.bad", "sigmaguard_blocked")
            exchange = error.response.headers["x-sigmaguard-exchange"]
            assert exchange in error.message
            assert "forbidden" not in error.message
        assert gate.provider.received == []


@MODES
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_the_providers_errors_pass_through(mode: Mode, status: int, kind: type[openai.APIStatusError]) -> None:
    body = {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "nope"}}
    headers = {"x-request-id": "req_9", "retry-after": "3", "x-ratelimit-remaining-tokens": "0"}
    async with sdk(whole(body, status, headers), mode) as (client, _):
        with pytest.raises(kind) as raised:
            await client.chat.completions.create(model="m", messages=HELLO)
    error = raised.value
    assert error.status_code == status
    assert error.body == body["error"]
    assert error.request_id == "req_9"
    for name, value in headers.items():
        assert error.response.headers[name] == value


async def test_the_sdk_retries_what_can_be_retried() -> None:
    calls = 0

    async def script(request: Received, connection: Connection) -> None:
        nonlocal calls
        calls += 1
        reply = (
            whole({"error": {"message": "busy"}}, 503, {"retry-after-ms": "1"})
            if calls == 1
            else whole(completion("ok"))
        )
        await reply(request, connection)

    async with (
        gateway(POLICY, script=script) as gate,
        openai.AsyncOpenAI(base_url=gate.url + "/v1", api_key="sk", max_retries=2) as client,
    ):
        answer = await client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "ok"
    assert calls == 2


async def test_a_stream_that_breaks_raises() -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for piece in chat_stream("one ", "two ")[:2]:
            await connection.chunk(piece)
        connection.reset()

    async with sdk(script) as (client, gate):
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError) as raised:
            async for _ in stream:
                pass
        record = (await gate.recorder.after(1))[0]
    assert raised.value.code == "upstream_reset"
    assert record.faults[0].kind == "upstream_reset"
