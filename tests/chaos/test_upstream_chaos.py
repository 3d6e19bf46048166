"""A provider that is slow, silent, breaks off anywhere or answers 5xx: what clients see, what is kept, how it ends."""

import asyncio
import random

import orjson
import pytest

from sigmaguard.model import Mode
from tests.chaos.witness import CHAT, MESSAGES, Seen, at_rest, recorded_once, see
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Received,
    chat,
    chat_stream,
    chunk_of,
    completion,
    gateway,
    streamed_text,
    whole,
)

POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
MODES = pytest.mark.parametrize("mode", list(Mode))
STREAM = chat("hello there", stream=True)


@MODES
async def test_a_slow_first_byte_delays_its_own_callers_alone(mode: Mode) -> None:
    go_on = asyncio.Event()
    waiting: list[Received] = []

    async def slow(request: Received, connection: Connection) -> None:
        waiting.append(request)
        await go_on.wait()
        await whole(completion("late but whole"))(request, connection)

    async with gateway(POLICY, mode, slow) as gate, asyncio.timeout(DEADLINE_S):
        gate.provider.scripts[MESSAGES] = whole({"type": "message", "content": []})
        late = [asyncio.ensure_future(see(gate)) for _ in range(40)]
        while len(waiting) < 40:
            gate.provider.arrived.clear()
            await gate.provider.arrived.wait()
        quick = [await see(gate, path=MESSAGES) for _ in range(10)]
        assert [one.status for one in quick] == [200] * 10  # answered while forty others wait
        assert not any(task.done() for task in late)
        go_on.set()
        answers = await asyncio.gather(*late)
        assert {(one.status, one.body) for one in answers} == {(200, orjson.dumps(completion("late but whole")))}
        recorded_once(await gate.recorder.after(50), [*quick, *answers])
        await at_rest(gate)


@MODES
async def test_a_silent_provider_times_out_and_the_next_answer_is_served(mode: Mode) -> None:
    silent = True

    async def moody(request: Received, connection: Connection) -> None:
        if silent:
            await connection.gone()
        else:
            await whole(completion("awake"))(request, connection)

    async with gateway(POLICY, mode, moody, read_timeout_s=0.3) as gate:
        timed_out = await asyncio.gather(*(see(gate) for _ in range(20)))
        assert {(one.status, one.code) for one in timed_out} == {(504, "upstream_timeout")}
        silent = False
        after = await asyncio.gather(*(see(gate) for _ in range(20)))
        assert {one.status for one in after} == {200}
        records = await gate.recorder.after(40)
        recorded_once(records, [*timed_out, *after])
        assert {fault.kind for record in records for fault in record.faults} == {"upstream_timeout"}
        await at_rest(gate)


@MODES
async def test_a_slow_drip_reaches_the_caller_drop_by_drop(mode: Mode) -> None:
    """The provider sends a word only after the caller has read the one before: nothing waits for the end."""
    read = asyncio.Event()
    words = [f"word{number} " for number in range(30)]

    async def drip(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for word in words:
            await connection.chunk(chunk_of({"content": word}))
            await read.wait()
            read.clear()
        for piece in chat_stream()[1:]:
            await connection.chunk(piece)
        await connection.end()

    async with gateway(POLICY, mode, drip) as gate, asyncio.timeout(DEADLINE_S):
        raw = b""
        async with gate.call(CHAT, STREAM) as answer:
            exchange = answer.headers["x-sigmaguard-exchange"]
            async for piece in answer.content.iter_any():
                raw += piece
                if streamed_text(raw[: raw.rfind(b"\n\n") + 2]).count(" ") == len(words[: raw.count(b"word")]):
                    read.set()
        assert streamed_text(raw) == "".join(words) and raw.rstrip().endswith(b"data: [DONE]")
        recorded_once(await gate.recorder.after(1), [Seen(200, exchange)])


async def test_a_drip_that_dries_up_ends_in_an_error_the_sdk_reads() -> None:
    async def dries_up(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(chunk_of({"content": "so far "}))
        await connection.gone()

    async with gateway(POLICY, script=dries_up, read_timeout_s=0.3) as gate:
        seen = await asyncio.gather(*(see(gate, STREAM) for _ in range(10)))
        assert {(one.status, one.code) for one in seen} == {(200, "upstream_timeout")}
        assert {streamed_text(one.body) for one in seen} == {"so far "}
        records = await gate.recorder.after(10)
        recorded_once(records, seen)
        assert {record.faults[0].kind for record in records} == {"upstream_timeout"}
        gate.provider.script = whole(completion("well again"))
        assert (await see(gate)).status == 200
        await at_rest(gate)


def wire(stream: bool) -> tuple[bytes, str]:
    """A whole answer as bytes on the wire, and its text."""
    if not stream:
        body = orjson.dumps(completion("the whole truth"))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return head + body, "the whole truth"
    words = [f"word{number} " for number in range(12)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in chat_stream(*words))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n", "".join(words)


@MODES
@pytest.mark.parametrize("stream", [False, True])
async def test_resets_at_random_moments_are_never_taken_for_answers(mode: Mode, stream: bool) -> None:
    """Cut anywhere, head and body: a client gets everything, or knows that it did not."""
    chance = random.Random(f"{mode}{stream}")
    data, text = wire(stream)

    async def cut(request: Received, connection: Connection) -> None:
        at = chance.randrange(len(data) + 1)
        for start in range(0, at, 90):
            await connection.raw(data[start : min(at, start + 90)])
            await asyncio.sleep(0)
        # an orderly end half of the time: half an answer must not pass for one because nobody was rude
        if chance.random() < 0.5:
            connection.is_closed = True
        else:
            connection.reset()

    async with gateway(POLICY, mode, cut) as gate:
        body = STREAM if stream else chat("hello there")
        seen: list[Seen] = []
        for _ in range(6):
            seen += await asyncio.gather(*(see(gate, body) for _ in range(10)))
        outcomes = [_outcome(one, text, stream=stream, is_off=mode is Mode.OFF) for one in seen]
        assert set(outcomes) - {"whole"}  # the seed does cut
        recorded_once(await gate.recorder.after(60), seen)
        gate.provider.script = whole(completion("well again"))
        assert (await see(gate)).status == 200
        await at_rest(gate)


def _outcome(one: Seen, text: str, *, stream: bool, is_off: bool) -> str:
    if one.error:  # a head had left already and nothing may be added to what is passed on unread: it is broken off
        assert stream, one
        return "broken"
    if one.status == 502:
        assert one.code in ("upstream_failed", "upstream_reset"), one
        return "refused"
    assert one.status == 200, one
    if one.code:
        assert stream and one.code == "upstream_reset" and text.startswith(streamed_text(one.body)), one
        return "error frame"
    got = streamed_text(one.body) if stream else orjson.loads(one.body)["choices"][0]["message"]["content"]
    assert got == text and (one.is_finished_stream or not stream), one
    return "whole"


@MODES
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_burst_of_5xx_passes_as_it_is_and_is_not_multiplied(path: str, mode: Mode) -> None:
    """Status, Retry-After and body are the provider's; trying again is left to the SDK, which knows how."""
    chance = random.Random(5)
    statuses = [chance.choice([429, 500, 502, 503, 504, 529]) for _ in range(40)]
    bad = iter(statuses)
    body = {"type": "error", "error": {"type": "overloaded_error", "code": "busy", "message": "try later"}}

    async def burst(request: Received, connection: Connection) -> None:
        await whole(body, next(bad), {"Retry-After": "7"})(request, connection)

    async with gateway(POLICY, mode, burst) as gate:
        seen: list[Seen] = []
        for _ in range(4):
            seen += await asyncio.gather(*(see(gate, path=path) for _ in range(10)))
        assert sorted(one.status for one in seen) == sorted(statuses)
        assert {(one.headers["retry-after"], one.body) for one in seen} == {("7", orjson.dumps(body))}
        assert len(gate.provider.received) == 40  # a provider in trouble gets no more requests than were made
        gate.provider.script = whole(completion("well again"))
        after = await asyncio.gather(*(see(gate, path=path) for _ in range(10)))
        assert {one.status for one in after} == {200}
        recorded_once(await gate.recorder.after(50), [*seen, *after])
        await at_rest(gate)
