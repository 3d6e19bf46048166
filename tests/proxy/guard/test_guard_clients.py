"""The Python clients against a real server, and the same answers in-process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from sigmaguard.model import Mode
from sigmaguard_agents.guard import (
    AsyncClient,
    Blocked,
    Client,
    GuardAround,
    GuardError,
    GuardStep,
    LocalGuard,
    guarded,
    nemo_action,
)
from sigmaguard_agents.guard.answer import Answer
from tests.guard_plane import CODE, RUMOUR, TICKET, GuardPlane, guard_plane, guard_policy


@pytest.fixture
def local() -> LocalGuard:
    return LocalGuard(guard_policy())


@pytest.fixture
async def client(guard: GuardPlane) -> AsyncIterator[Client]:
    with Client(guard.base) as opened:
        yield opened


async def _in_thread(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A blocking client must not block the loop that the server under test runs on."""
    return await asyncio.to_thread(work, *args, **options)


TEXTS = [["hello"], [CODE], [TICKET, "hello", TICKET], [RUMOUR], ["<TICKET_1>", TICKET], ["ä€😀 " + TICKET]]


@pytest.mark.parametrize("texts", TEXTS)
@pytest.mark.parametrize("direction", ["input", "output"])
async def test_server_and_process_answer_alike(
    guard: GuardPlane, client: Client, local: LocalGuard, texts: list[str], direction: Any
) -> None:
    far: Answer = await _in_thread(client.check, texts, direction=direction)
    near = local.check(texts, direction=direction)
    async with AsyncClient(guard.base) as other:
        also = await other.check(texts, direction=direction)
    for one in (far, also):
        assert (one.action, one.rule, one.texts, one.policy) == (near.action, near.rule, near.texts, near.policy)
        assert bool(one.restore) == bool(near.restore)
        assert [(f.rule, f.segment, f.start, f.end) for f in one.findings] == [
            (f.rule, f.segment, f.start, f.end) for f in near.findings
        ]
        assert one.exchange.startswith("exc_")


async def test_blocked_is_an_exception_where_it_is_wanted(client: Client, local: LocalGuard) -> None:
    for answer in (await _in_thread(client.check_text, CODE), local.check_text(CODE)):
        with pytest.raises(Blocked, match=r"leak\.launch_code") as caught:
            answer.raise_if_blocked()
        assert "ABCDEF" not in str(caught.value)


async def test_a_client_works_from_many_threads_and_survives_a_server_that_left(guard: GuardPlane) -> None:
    client = Client(guard.base, agent="bot")
    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(
            *(loop.run_in_executor(pool, client.check_text, (TICKET, "hello")[number % 2]) for number in range(60))
        )
    assert [one.action for one in answers] == ["mask", "allow"] * 30
    assert {record.subject.agent for record in guard.recorder.records} == {"bot"}


async def test_a_connection_closed_in_between_is_opened_again() -> None:
    policy = guard_policy()
    async with guard_plane(policy) as first:
        port = first.plane.port
        client = Client(first.base)
        assert (await _in_thread(client.check_text, "hello")).action == "allow"
        await first.plane.stop()
        with pytest.raises(GuardError, match=f"127.0.0.1:{port}"):
            await _in_thread(client.check_text, "hello")


async def test_errors_name_the_guard_and_what_was_wrong(client: Client, guard: GuardPlane) -> None:
    with pytest.raises(GuardError, match="moon") as caught:
        await _in_thread(client.check_text, "hello", origin="moon")
    assert caught.value.status == 400
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(GuardError, match="did not answer"):
            await _in_thread(Client(nobody).check_text, "hello")
        async with AsyncClient(nobody) as other:
            with pytest.raises(GuardError, match="did not answer"):
                await other.check_text("hello")
    with pytest.raises(TypeError, match="list of texts"):
        client.check("hello")
    with pytest.raises(ValueError, match="HOST:PORT"):
        Client("localhost:8003")


async def test_shadow_reports_and_lets_everything_through(guard: GuardPlane, client: Client) -> None:
    guard.directory.mode = Mode.SHADOW
    answer = await _in_thread(client.check_text, CODE)
    assert (answer.action, answer.intended, answer.is_blocked, answer.text) == ("allow", "block", False, CODE)


def test_a_decorated_function_never_sees_a_value_and_its_caller_does(local: LocalGuard) -> None:
    seen: list[str] = []

    @guarded(local, argument="prompt")
    def model(temperature: float, prompt: str = "hello") -> str:
        """A model."""
        seen.append(prompt)
        return f"about {prompt}"

    assert model(0.5, TICKET) == f"about {TICKET}"
    assert seen == ["please close TICKET-<TICKET_1> today"]
    assert model(0.5) == "about hello"
    assert (model.__name__, model.__doc__) == ("model", "A model.")
    with pytest.raises(Blocked):
        model(0.5, prompt=CODE)
    assert len(seen) == 2  # the blocked text never got there


async def test_decorated_coroutines_take_either_kind_of_guard(guard: GuardPlane, client: Client) -> None:
    async with AsyncClient(guard.base) as other:
        for one in (client, other):

            @guarded(one, on_block=lambda answer: f"refused: {answer.rule}")
            async def model(prompt: str) -> str:
                return CODE if prompt == "leak" else prompt

            assert await model(TICKET) == TICKET
            assert await model(CODE) == "refused: leak.launch_code"
            assert await model("leak") == "refused: leak.launch_code"  # what a model says is guarded as well

        with pytest.raises(TypeError, match="not async"):
            guarded(other)(lambda prompt: prompt)
    with pytest.raises(TypeError, match="no parameter `text`"):
        guarded(client, argument="text")(lambda prompt: prompt)


def test_a_step_in_a_langchain_chain(local: LocalGuard) -> None:
    seen: list[Any] = []

    def model(messages: Any) -> AIMessage:
        seen.extend(messages)
        return AIMessage("said " + messages[-1].content)

    prompt = ChatPromptTemplate.from_messages([("system", "be kind"), ("human", "{question}")])
    chain = prompt | GuardStep(local) | RunnableLambda(model) | GuardStep(local, "output")
    assert chain.invoke({"question": "hello"}).content == "said hello"
    chain.invoke({"question": TICKET})
    assert "123456" not in seen[-1].content and isinstance(seen[-1], HumanMessage)
    with pytest.raises(Blocked):
        chain.invoke({"question": CODE})


def test_around_a_model_values_come_back(local: LocalGuard) -> None:
    seen: list[Any] = []

    def model(messages: Any) -> AIMessage:
        seen.extend(messages)
        return AIMessage("said " + messages[-1].content)

    prompt = ChatPromptTemplate.from_messages([("human", "first TICKET-654321"), ("human", "{question}")])
    chain = prompt | GuardAround(local, RunnableLambda(model))
    assert chain.invoke({"question": TICKET}).content == "said " + TICKET
    assert [one.content for one in seen] == ["first TICKET-<TICKET_1>", "please close TICKET-<TICKET_2> today"]
    assert GuardAround(local, lambda text: text.upper())("hello") == "HELLO"
    with pytest.raises(Blocked):
        chain.invoke({"question": CODE})
    with pytest.raises(Blocked):
        GuardAround(local, lambda _: CODE)("hello")
    with pytest.raises(ValueError, match="2 texts have 1 origins"):
        local.check(["a", "b"], origin=["user"])


def test_a_step_keeps_every_kind_of_value(local: LocalGuard) -> None:
    step = GuardStep(local)
    assert step("hello") == "hello"
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    message = HumanMessage([{"type": "text", "text": TICKET}, image])
    changed = step(message)
    assert changed.content[1] == image and "<TICKET_1>" in changed.content[0]["text"]
    assert message.content[0]["text"] == TICKET  # the caller's own message is left alone
    kept = [SystemMessage("s"), AIMessage(""), ToolMessage("ok", tool_call_id="c"), HumanMessage([image])]
    assert step(kept) == kept
    with pytest.raises(TypeError, match="neither text nor message"):
        step(7)


async def test_a_nemo_action_tells_whether_a_message_may_go_on(local: LocalGuard) -> None:
    action = nemo_action(local)
    assert await action(context={"user_message": "hello"})
    assert not await action(context={"user_message": CODE})
    assert not await action(context={"user_message": "hello", "bot_message": CODE})
    assert await action(context=None)
