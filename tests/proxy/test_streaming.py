"""Streams through the proxy: byte-identity, first tokens at once, faults in the middle, callers that hang up."""

import asyncio
import gzip
import re
import zlib
from typing import Any

import brotli
import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Cost
from sigmaguard.model import Action, Mode, OnFault
from sigmaguard.policy.pack import Limits
from tests.e2e.wire import events_of, message_stream, response_stream, spread, tool_stream
from tests.engine.fakes import Raises, Waits, WholeWords, Words, active, blocks, masks, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Received,
    chat,
    chat_stream,
    chunk_of,
    event,
    gateway,
    streamed,
    streamed_text,
)

CHAT = "/v1/chat/completions"
POLICY = policy_of(blocks("forbidden fruit"), masks("swordfish"))
ASK = chat("hi", stream=True)
STREAMS = {
    CHAT: [
        *chat_stream("The cat ", "sat. ", "漢字🙂 ", "naïve"),
        b": a comment\n\n",
        b'data: {"id":"x", "choices": [ ] ,"usage":{"prompt_tokens":1}}\r\n\r\n',
    ],
    "/v1/responses": response_stream(["The cat ", "sat."], ['{"a": ', "1}"]),
    "/v1/messages": message_stream(["The cat ", "sat."], ['{"a": ', "1}"], "hm"),
}


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
@pytest.mark.parametrize("path", list(STREAMS))
async def test_shadow_and_off_are_byte_identical(path: str, mode: Mode) -> None:
    bad = [*STREAMS[path][:3], event({"weird": "forbidden fruit swordfish"}), b"data: not json\n\n", *STREAMS[path][3:]]
    async with gateway(POLICY, mode, streamed(spread(bad, 17))) as gate:
        async with gate.direct(path, ASK) as answer:
            direct = (answer.status, await answer.read(), answer.headers["Content-Type"])
        async with gate.call(path, ASK) as answer:
            assert (answer.status, await answer.read(), answer.headers["Content-Type"]) == direct
    assert direct[1] == b"".join(bad)


@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_stream_that_needs_no_edit_keeps_its_bytes_of_text(path: str) -> None:
    """Without a detector that acts, enforce gives the very bytes back, but for comments, which nobody inspects."""
    policy = policy_of(active(Words({"swordfish": "test.seen"}), Action.FLAG))
    async with gateway(policy, script=streamed(spread(STREAMS[path], 23))) as gate:
        expected = b"".join(STREAMS[path]).replace(b": a comment\n", b":\n")
        assert await gate.answer(path, ASK) == (200, expected)


def told(raw: bytes) -> tuple[list[Any], dict[str, str]]:
    """Every event that does not only add text, in order and unnumbered, and each channel's text as a whole."""
    events: list[Any] = []
    texts: dict[str, str] = {}

    def take(holder: Any, key: str, channel: str) -> bool:
        if not isinstance(holder, dict) or not isinstance(holder.get(key), str):
            return False
        texts[channel] = texts.get(channel, "") + holder.pop(key)
        return True

    for line in re.sub(rb"exc_[0-9a-f]{32}", b"exc_", raw).splitlines():
        if not line.startswith(b"data: {"):
            continue
        body = orjson.loads(line[6:])
        body.pop("sequence_number", None)
        taken = False
        for choice in body.get("choices", []):
            delta, index = choice.get("delta", {}), choice["index"]
            taken |= take(delta, "content", f"{index}/content")
            for call in delta.get("tool_calls") or []:
                taken |= take(call.get("function"), "arguments", f"{index}/call/{call['index']}")
            for detail in delta.get("reasoning_details") or []:
                taken |= take(detail, "text", f"{index}/detail")
        if str(body.get("type")).endswith(".delta"):
            taken |= take(body, "delta", f"{body['type']}/{body.get('item_id')}/{body.get('content_index')}")
        for key in ("text", "partial_json", "thinking"):
            taken |= take(body.get("delta"), key, f"{body.get('index')}/{key}")
        if not taken:
            events.append(body)
    return events, {channel: text for channel, text in texts.items() if text}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_chunking_of_the_bytes_gives_the_same_events_and_texts(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(STREAMS)))
    texts = data.draw(
        st.lists(st.sampled_from(["a ", "sword", "fish ", "swordfish", "forbid", "den ", "fruit ", "ß🙂 "]), max_size=6)
    )
    comments = data.draw(
        st.lists(st.sampled_from([b": ping\n\n", b": swordfish\n", b"xdata: swordfish\r\n"]), max_size=3)
    )
    match path:
        case "/v1/messages":
            pieces = message_stream(texts, ['{"a": "', *texts, '"}'])
        case "/v1/responses":
            pieces = response_stream(texts, ['{"a": "', *texts, '"}'])
        case _:
            nested = [chunk_of({"reasoning_details": [{"type": "reasoning.text", "text": one}]}) for one in texts]
            pieces = [*chat_stream(*texts)[:-2], *nested, *tool_stream('{"a": "' + "".join(texts) + '"}')[1:]]
    for comment in comments:
        pieces.insert(data.draw(st.integers(0, len(pieces))), comment)
    raw = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=30)))
    parts = [raw[low:high] for low, high in zip([0, *cuts], [*cuts, len(raw)], strict=True)]

    async def both() -> None:
        async with gateway(POLICY, script=streamed([raw])) as gate:
            one = await gate.answer(path, ASK)
            gate.provider.script = streamed(parts)
            other = await gate.answer(path, ASK)
            # events that come in one piece are looked at as one, so which of them carries a text may differ
            assert (other[0], *told(other[1])) == (one[0], *told(one[1]))
            records = await gate.recorder.after(2)
            keys = [(r.action, r.rule, [(f.rule, f.start, f.end) for f in r.output_findings]) for r in records]
            assert keys[0] == keys[1]
            assert b"swordfish" not in one[1]
            assert b"forbidden fruit" not in one[1]

    asyncio.run(both())


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_first_token_does_not_wait_for_the_second(mode: Mode) -> None:
    go_on = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        pieces = chat_stream("The cat ", "sat.")
        await connection.chunk(pieces[0])
        await connection.chunk(pieces[1])
        await go_on.wait()
        for piece in pieces[2:]:
            await connection.chunk(piece)
        await connection.end()

    async with gateway(POLICY, mode, script) as gate, asyncio.timeout(DEADLINE_S), gate.call(CHAT, ASK) as answer:
        got = b""
        while streamed_text(got) != "The cat ":
            got += await answer.content.readany()
        go_on.set()
        assert streamed_text(got + await answer.content.read()) == "The cat sat."


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_caller_that_hangs_up_closes_the_provider_and_is_recorded_once(path: str, mode: Mode) -> None:
    gone = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(b"".join(STREAMS[path][:4]))
        await connection.gone()
        gone.set()

    async with gateway(POLICY, mode, script) as gate, asyncio.timeout(DEADLINE_S):
        async with gate.call(path, ASK) as answer:
            await answer.content.readany()
            answer.close()
        await gone.wait()
        records = await gate.recorder.after(1)
        assert gate.plane.proxy.active == 0
        assert len(gate.plane.services.tasks) == 0
    assert [record.status for record in records] == [499]


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_caller_that_hangs_up_while_waiting(mode: Mode) -> None:
    gone = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        await connection.gone()
        gone.set()

    async with gateway(POLICY, mode, script) as gate, asyncio.timeout(DEADLINE_S):
        asking = asyncio.ensure_future(gate.answer(CHAT, ASK))
        await gate.provider.arrived.wait()
        asking.cancel()
        await gone.wait()
        assert [record.status for record in await gate.recorder.after(1)] == [499]


async def test_findings_before_a_caller_hung_up_are_recorded() -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(b"".join(chat_stream("a swordfish ", "and more ")[:3]))
        await connection.gone()

    async with gateway(POLICY, script=script) as gate, asyncio.timeout(DEADLINE_S):
        async with gate.call(CHAT, ASK) as answer:
            await answer.content.readany()
            answer.close()
        record = (await gate.recorder.after(1))[0]
    assert [finding.rule for finding in record.output_findings] == ["test.secret"]


@pytest.mark.parametrize("path", list(STREAMS))
async def test_a_stream_that_breaks_off_is_said_so_in_the_protocol(path: str) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(b"".join(STREAMS[path][:4]))
        connection.reset()

    async with gateway(POLICY, script=script) as gate:
        status, raw = await gate.answer(path, ASK)
        record = (await gate.recorder.after(1))[0]
    assert status == 200
    assert b"upstream_reset" in raw or b"broke off" in raw
    assert record.faults[0].kind == "upstream_reset"
    last = events_of(raw)[-1]
    assert last.get("type") in ("error", "response.failed") or "error" in last


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
async def test_shadow_and_off_break_off_where_the_provider_does(mode: Mode) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(b"data: {}\n\n")
        connection.reset()

    async with gateway(POLICY, mode, script) as gate:
        async with gate.call(CHAT, ASK) as answer:
            got = b""
            with pytest.raises(Exception, match=r"(?i)payload|reset|disconnect"):
                while True:
                    got += await answer.content.readany()
        record = (await gate.recorder.after(1))[0]
    assert got == b"data: {}\n\n"
    assert (record.status, record.faults[0].kind) == (200, "upstream_reset")


async def test_a_silent_stream_times_out() -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(chunk_of({"content": "hello "}))
        await connection.gone()

    async with gateway(POLICY, script=script, read_timeout_s=0.2) as gate:
        _, raw = await gate.answer(CHAT, ASK)
        record = (await gate.recorder.after(1))[0]
    assert b"upstream_timeout" in raw
    assert record.faults[0].kind == "upstream_timeout"


@pytest.mark.parametrize("path", list(STREAMS))
async def test_garbage_in_a_stream_closes_it_or_passes_where_the_policy_fails_open(path: str) -> None:
    pieces = [*STREAMS[path][:3], b"data: {broken\n\n", *STREAMS[path][3:]]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(path, ASK)
        record = (await gate.recorder.after(1))[0]
    assert b"{broken" not in raw
    assert record.faults[0].kind == "upstream_not_json"
    lenient = policy_of(masks("swordfish"), on_fault=OnFault.OPEN)
    async with gateway(lenient, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(path, ASK)
        record = (await gate.recorder.after(1))[0]
    assert b"{broken" in raw
    assert [fault.kind for fault in record.faults] == ["upstream_not_json"]


ENCODERS = {
    "gzip": lambda: zlib.compressobj(wbits=31),
    "deflate": lambda: zlib.compressobj(),
    "br": brotli.Compressor,
    "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
}


def compressed(encoding: str, pieces: list[bytes]) -> list[bytes]:
    """A stream in a content encoding, flushed after every piece."""
    encoder = ENCODERS[encoding]()
    if encoding == "br":
        return [*(encoder.process(piece) + encoder.flush() for piece in pieces), encoder.finish()]
    if encoding == "zstd":
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return [*(encoder.compress(piece) + encoder.flush(flush) for piece in pieces), encoder.flush()]
    return [*(encoder.compress(piece) + encoder.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), encoder.flush()]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("encoding", list(ENCODERS))
async def test_compressed_streams_are_guarded(encoding: str, mode: Mode) -> None:
    pieces = compressed(encoding, chat_stream("a sword", "fish ", "swims"))
    async with gateway(POLICY, mode, streamed(pieces, {"Content-Encoding": encoding})) as gate:
        async with gate.call(CHAT, ASK, headers={"Accept-Encoding": encoding}) as answer:
            raw = await answer.read()
            kept = answer.headers.get("Content-Encoding")
        record = (await gate.recorder.after(1))[0]
    if mode is Mode.ENFORCE:
        assert kept is None
        assert streamed_text(raw) == "a [SECRET] swims"
    else:
        assert (kept, raw) == (encoding, b"".join(pieces))
    assert record.intended == ("allow" if mode is Mode.OFF else "mask")


async def test_a_stream_that_unpacks_into_too_much_is_closed() -> None:
    bomb = gzip.compress(b"data: " + b" " * 50_000_000 + b"\n\n")
    policy = policy_of(masks("swordfish"), limits=Limits(response_bytes=1_000_000))
    async with gateway(policy, script=streamed([bomb], {"Content-Encoding": "gzip"})) as gate:
        _, raw = await gate.answer(CHAT, ASK)
    assert len(raw) < 2_000
    assert b"body_too_large" in raw


async def test_every_choice_of_a_stream_is_guarded() -> None:
    pieces = [
        chunk_of({"content": "fine "}, 0),
        chunk_of({"content": "a sword"}, 1),
        chunk_of({"content": "day"}, 0),
        chunk_of({"content": "fish"}, 1),
        chunk_of({}, 0, "stop"),
        chunk_of({}, 1, "stop"),
        event(b"[DONE]"),
    ]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, {**ASK, "n": 2})
    assert (streamed_text(raw, 0), streamed_text(raw, 1)) == ("fine day", "a [SECRET]")


async def test_a_block_in_one_choice_cuts_them_all_and_repeats_no_ending() -> None:
    pieces = [
        chunk_of({"content": "fine"}, 0),
        chunk_of({}, 0, "stop"),
        chunk_of({"content": "the forbidden "}, 1),
        chunk_of({"content": "fruit "}, 1),
        chunk_of({}, 1, "stop"),
        event(b"[DONE]"),
    ]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, {**ASK, "n": 2})
    endings = [
        (choice["index"], choice["finish_reason"])
        for one in events_of(raw)
        for choice in one["choices"]
        if choice["finish_reason"]
    ]
    assert endings == [(0, "stop"), (1, "content_filter")]
    assert streamed_text(raw, 1) == "the "
    assert raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in ('{"a": "sword', 'fish"}')],
        [{"tool_calls": [{"index": 0, "custom": {"input": one}}]} for one in ("sword", "fish")],
        [{"function_call": {"arguments": one}} for one in ('{"a": "sword', 'fish"}')],
        [{"refusal": one} for one in ("sword", "fish")],
        [{"reasoning_content": one} for one in ("sword", "fish")],
        [{"audio": {"transcript": one}} for one in ("sword", "fish")],
        [{"a_new_field": one} for one in ("sword", "fish")],
        [{"content": [{"type": "text", "text": "swordfish"}]}],
    ],
    ids=["tool", "custom", "function", "refusal", "reasoning", "audio", "new", "parts"],
)
async def test_every_channel_of_a_delta_is_guarded(deltas: list[dict[str, object]]) -> None:
    pieces = [*(chunk_of(delta) for delta in deltas), chunk_of({}, finish="stop"), event(b"[DONE]")]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, ASK)
        record = (await gate.recorder.after(1))[0]
    assert b"[SECRET]" in raw
    assert b"fish" not in raw
    assert record.action == "mask"


async def test_log_probabilities_do_not_tell_what_was_masked() -> None:
    def chunk(text: str) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        return event({"id": "c", "choices": [{**choice, "logprobs": {"content": [{"token": text, "logprob": -1}]}}]})

    pieces = [chunk("a "), chunk("sword"), chunk("fish "), chunk("b "), chunk_of({}, finish="stop"), event(b"[DONE]")]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, ASK)
    assert b"sword" not in raw
    assert b"fish" not in raw


async def test_an_upstreams_error_in_a_stream_is_inspected_too() -> None:
    pieces = [chunk_of({"content": "hi"}), event({"error": {"message": "the swordfish failed"}}), event(b"[DONE]")]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, ASK)
    assert b"the [SECRET] failed" in raw


async def test_a_pooled_detector_does_not_hold_what_may_leave() -> None:
    slow = Waits(Words({"swordfish": "test.secret"}, "waits"))
    policy = policy_of(active(slow, Action.FLAG))
    async with gateway(policy, script=streamed(chat_stream("a sword", "fish"))) as gate, asyncio.timeout(DEADLINE_S):
        gate.directory.policy = policy_of(active(slow, Action.FLAG), budget_ms=20_000)
        asking = gate.call(CHAT, chat("", stream=True))
        async with asking as answer:
            got = b""
            while streamed_text(got) != "a swordfish":
                got += await answer.content.readany()
            slow.go_on.set()
            await answer.content.read()
        record = (await gate.recorder.after(1))[0]
    assert [finding.rule for finding in record.output_findings] == ["test.secret"]


@pytest.mark.parametrize("on_fault", list(OnFault))
async def test_a_detector_that_hangs_in_a_stream(on_fault: OnFault) -> None:
    hanging = Waits()
    policy = policy_of(active(hanging, on_fault=on_fault), budget_ms=50)
    async with gateway(policy, script=streamed(chat_stream("hello"))) as gate:
        _, raw = await gate.answer(CHAT, chat("", stream=True))
        record = (await gate.recorder.after(1))[0]
        hanging.go_on.set()
    assert ("waits", "timed_out") in record.outcomes
    if on_fault is OnFault.CLOSED:
        assert streamed_text(raw) == ""
        assert b"detector_timeout" in raw
        assert record.action == "block"
    else:
        assert streamed_text(raw) == "hello"


async def test_a_detector_without_hold_still_masks_a_stream() -> None:
    policy = policy_of(active(WholeWords({"swordfish": "test.secret"}, cost=Cost.POOLED), Action.MASK))
    async with gateway(policy, script=streamed(chat_stream("a sword", "fish ", "swims"))) as gate:
        _, raw = await gate.answer(CHAT, ASK)
    assert streamed_text(raw) == "a [SECRET] swims"
    assert events_of(raw)[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_a_detector_that_raises_in_a_stream(mode: Mode) -> None:
    class OnlyOut(Raises):
        """Fails on what comes out."""

        def detect(self, passages):  # type: ignore[no-untyped-def]
            return [[] for _ in passages] if passages[0].direction == "input" else super().detect(passages)

    pieces = chat_stream("hello ", "there ", "you")
    async with gateway(policy_of(active(OnlyOut(KeyError("x")))), mode, streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, ASK)
        record = (await gate.recorder.after(1))[0]
    assert record.intended == "block"
    if mode is Mode.SHADOW:
        assert raw == b"".join(pieces)
    else:
        assert streamed_text(raw) == ""
        assert b"detector_failed" in raw


async def test_an_http_1_0_caller_gets_the_whole_stream() -> None:
    async with gateway(POLICY, script=streamed(chat_stream("a swordfish ", "b"))) as gate, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.plane.port)
        body = orjson.dumps(ASK)
        writer.write(b"POST %b HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
        raw = await reader.read()
        writer.close()
    assert b"chunked" not in raw.lower()
    assert streamed_text(raw) == "a [SECRET] b"


async def test_a_stream_that_ends_without_saying_so_gives_up_what_it_held() -> None:
    pieces = chat_stream("all ", "of it")[:-2]
    async with gateway(POLICY, script=streamed(pieces)) as gate:
        _, raw = await gate.answer(CHAT, ASK)
    assert streamed_text(raw) == "all of it"
