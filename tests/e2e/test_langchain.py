"""LangChain's `ChatOpenAI`, unmodified, against the proxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pydantic
import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from sigmaguard.model import Mode
from tests.e2e.wire import tool_answer, tool_stream
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import Gateway, Script, chat_stream, completion, gateway, streamed, whole

POLICY = policy_of(blocks("forbidden fruit"), masks("swordfish"))
MODES = pytest.mark.parametrize("mode", list(Mode))


@asynccontextmanager
async def model(script: Script, mode: Mode = Mode.ENFORCE) -> AsyncIterator[tuple[ChatOpenAI, Gateway]]:
    """The chat model in front of a scripted provider."""
    async with gateway(POLICY, mode, script) as gate:
        yield ChatOpenAI(model="m", base_url=gate.url + "/v1", api_key="sk-test", max_retries=0, timeout=20), gate


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"sunny in {city}"


class Person(pydantic.BaseModel):
    """A person."""

    name: str
    age: int


@MODES
async def test_invoke(mode: Mode) -> None:
    async with model(whole(completion("a swordfish")), mode) as (llm, _):
        answer = await llm.ainvoke("hello")
    assert answer.content == ("a [SECRET]" if mode is Mode.ENFORCE else "a swordfish")


@MODES
async def test_stream(mode: Mode) -> None:
    async with model(streamed(chat_stream("a sword", "fish ", "swims")), mode) as (llm, _):
        said = "".join([str(chunk.content) async for chunk in llm.astream("hello")])
    assert said == ("a [SECRET] swims" if mode is Mode.ENFORCE else "a swordfish swims")


@MODES
async def test_tools(mode: Mode) -> None:
    arguments = '{"city": "Bonn"}', '{"city": "Köln"}'
    async with model(whole(tool_answer(*arguments)), mode) as (llm, gate):
        bound = llm.bind_tools([weather])
        answer = await bound.ainvoke("how is the weather?")
        assert [call["args"] for call in answer.tool_calls] == [{"city": "Bonn"}, {"city": "Köln"}]
        results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
        gate.provider.script = whole(completion("sunny"))
        final = await bound.ainvoke([("user", "how is the weather?"), answer, *results])
        assert final.content == "sunny"
        gate.provider.script = streamed(tool_stream(*arguments))
        chunks = [chunk async for chunk in bound.astream("and now?")]
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    assert [call["args"] for call in total.tool_calls] == [{"city": "Bonn"}, {"city": "Köln"}]


async def test_structured_output() -> None:
    async with model(whole(completion('{"name": "Ada", "age": 36}'))) as (llm, _):
        answer = await llm.with_structured_output(Person, method="json_schema").ainvoke("who?")
    assert answer == Person(name="Ada", age=36)


async def test_a_block_is_the_sdks_own_exception() -> None:
    async with model(whole(completion("x"))) as (llm, gate):
        with pytest.raises(openai.PermissionDeniedError):
            await llm.ainvoke("eat the forbidden fruit")
        assert gate.provider.received == []
