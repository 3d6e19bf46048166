"""The data port end to end: verdicts, refusals, modes, routes, headers, health, draining."""

import asyncio
import gzip

import aiohttp
import orjson
import pytest

from sigmaguard.model import Mode, OnFault, Subject, Timing
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.pack import Limits
from sigmaguard_proxy.embedded import FixedDirectory
from sigmaguard_proxy.ports import Caller, Identity, Secret
from tests.engine.fakes import Raises, Waits, Words, active, blocks, masks, policy_of
from tests.proxy.scripted import (
    DEADLINE_S,
    Connection,
    Received,
    chat,
    chat_stream,
    completion,
    gateway,
    streamed,
    streamed_text,
    whole,
)

CHAT = "/v1/chat/completions"
POLICY = policy_of(blocks("forbidden"), masks("swordfish"))


async def test_a_clean_exchange_passes_byte_for_byte_and_is_recorded_once() -> None:
    body = b'{ "model":"m" ,\n"messages":[{"role":"user","content":"h\\u00e9llo"}], "seed": 123456789012345678901234}'
    async with gateway(POLICY, script=whole(completion("fine"))) as gate:
        async with gate.call(CHAT, body) as answer:
            assert answer.status == 200
            assert await answer.json() == completion("fine")
            assert answer.headers["x-sigmaguard-verdict"] == "allow"
            assert answer.headers["x-sigmaguard-mode"] == "enforce"
            exchange = answer.headers["x-sigmaguard-exchange"]
        assert gate.provider.received[0].body == body
        records = await gate.recorder.after(1)
    assert [record.exchange for record in records] == [exchange]
    assert (records[0].status, records[0].action, records[0].input_tokens) == (200, "allow", 3)


async def test_a_blocked_request_never_reaches_the_provider() -> None:
    async with gateway(POLICY) as gate:
        async with gate.call(CHAT, chat("a forbidden thing")) as answer:
            assert answer.status == 403
            error = (await answer.json())["error"]
            assert answer.headers["x-should-retry"] == "false"
            assert answer.headers["x-sigmaguard-verdict"] == "block"
        assert gate.provider.received == []
        record = (await gate.recorder.after(1))[0]
    assert (error["type"], error["code"], error["param"]) == ("sigmaguard_blocked", "test.bad", None)
    assert record.exchange in error["message"]
    assert "forbidden" not in orjson.dumps(error).decode().lower()
    assert (record.status, record.action, record.rule) == (403, "block", "test.bad")


async def test_a_blocked_request_speaks_anthropic_to_its_callers() -> None:
    async with gateway(POLICY) as gate:
        status, raw = await gate.answer("/v1/messages", chat("a forbidden thing", max_tokens=9))
    error = orjson.loads(raw)
    assert status == 403
    assert error["type"] == "error"
    assert error["error"]["type"] == "sigmaguard_blocked"
    assert error["error"]["code"] == "test.bad"


async def test_masked_on_the_way_out_and_restored_on_the_way_back() -> None:
    async def echo(request: Received, connection: Connection) -> None:
        said = request.json["messages"][0]["content"]
        await whole(completion(f"you said {said}"))(request, connection)

    async with gateway(POLICY, script=echo) as gate:
        async with gate.call(CHAT, chat("the swordfish is here")) as answer:
            assert answer.headers["x-sigmaguard-verdict"] == "mask"
            body = await answer.json()
        sent = gate.provider.received[0]
    assert sent.json["messages"][0]["content"] == "the <SECRET_1> is here"
    assert body["choices"][0]["message"]["content"] == "you said the swordfish is here"


async def test_every_choice_of_an_answer_is_inspected() -> None:
    async with gateway(POLICY, script=whole(completion("fine", "fine", "forbidden"))) as gate:
        status, raw = await gate.answer(CHAT, chat("hello", n=3))
    assert status == 403
    assert b"forbidden" not in raw


async def test_a_second_choice_is_masked_in_place() -> None:
    async with gateway(POLICY, script=whole(completion("fine", "a swordfish"))) as gate:
        status, raw = await gate.answer(CHAT, chat("hello", n=2))
    assert status == 200
    assert raw == orjson.dumps(completion("fine", "a [SECRET]"))


@pytest.mark.parametrize("error", [None, ValueError("boom"), AttributeError("x"), RecursionError(), MemoryError()])
async def test_a_detector_that_raises_fails_closed(error: Exception | None) -> None:
    policy = policy_of(active(Raises(error)))
    async with gateway(policy, script=whole(completion("hi"))) as gate:
        async with gate.call(CHAT, chat("hello")) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            body = await answer.json()
        assert gate.provider.received == []
        record = (await gate.recorder.after(1))[0]
    assert body["error"]["code"] == "detector_failed"
    assert record.outcomes == (("raises", "failed_closed"),)


async def test_a_detector_that_fails_open_lets_through_and_says_so() -> None:
    policy = policy_of(active(Raises(), on_fault=OnFault.OPEN))
    async with gateway(policy, script=whole(completion("hi"))) as gate:
        status, _ = await gate.answer(CHAT, chat("hello"))
        record = (await gate.recorder.after(1))[0]
    assert status == 200
    assert ("raises", "failed_open") in record.outcomes
    assert record.faults[0].kind == "detector_failed"


async def test_a_detector_that_hangs_is_given_up_within_the_budget() -> None:
    hanging = Waits()
    policy = policy_of(active(hanging), budget_ms=50)
    async with gateway(policy, script=whole(completion("hi"))) as gate:
        async with gate.call(CHAT, chat("hello")) as answer:
            assert answer.status == 503
            assert (await answer.json())["error"]["code"] == "detector_timeout"
        assert gate.provider.received == []
        record = (await gate.recorder.after(1))[0]
        hanging.go_on.set()
    assert record.outcomes == (("waits", "timed_out"),)


async def test_parallel_holds_the_first_byte_until_the_verdict() -> None:
    slow = Waits(Words({"zzz": "test.bad"}, "waits"))
    policy = policy_of(active(slow, timing=Timing.PARALLEL))
    async with gateway(policy, script=whole(completion("hi"))) as gate:
        asking = asyncio.ensure_future(gate.answer(CHAT, chat("hello")))
        async with asyncio.timeout(DEADLINE_S):
            await gate.provider.arrived.wait()  # the request left while the detector still works
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not done
        slow.go_on.set()
        assert (await asking)[0] == 200


async def test_a_late_block_abandons_the_provider() -> None:
    gone = asyncio.Event()

    async def never(request: Received, connection: Connection) -> None:
        await connection.gone()
        gone.set()

    slow = Waits(Words({"hello": "test.bad"}, "waits"))
    policy = policy_of(active(slow, timing=Timing.PARALLEL))
    async with gateway(policy, script=never) as gate:
        asking = asyncio.ensure_future(gate.answer(CHAT, chat("hello")))
        async with asyncio.timeout(DEADLINE_S):
            await gate.provider.arrived.wait()
            slow.go_on.set()
            status, raw = await asking
            await gone.wait()
    assert status == 403
    assert orjson.loads(raw)["error"]["code"] == "test.bad"


async def test_a_late_block_of_an_answer_that_has_arrived_is_still_a_block() -> None:
    slow = Waits(Words({"hello": "test.bad"}, "waits"))
    policy = policy_of(active(slow, timing=Timing.PARALLEL))
    answered = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        await whole(completion("hi"))(request, connection)
        answered.set()

    async with gateway(policy, script=script) as gate:
        asking = asyncio.ensure_future(gate.answer(CHAT, chat("hello")))
        async with asyncio.timeout(DEADLINE_S):
            await answered.wait()
            slow.go_on.set()
            status, _ = await asking
        await gate.recorder.after(1)
    assert status == 403


async def test_shadow_records_what_enforce_would_have_done_and_changes_nothing() -> None:
    body = orjson.dumps(chat("forbidden swordfish"))
    async with gateway(POLICY, Mode.SHADOW, whole(completion("forbidden swordfish"))) as gate:
        async with gate.call(CHAT, body) as answer:
            assert answer.status == 200
            assert await answer.read() == orjson.dumps(completion("forbidden swordfish"))
            assert answer.headers["x-sigmaguard-verdict"] == "allow"
            assert answer.headers["x-sigmaguard-intended"] == "block"
        assert gate.provider.received[0].body == body
        record = (await gate.recorder.after(1))[0]
    assert (record.action, record.intended, record.rule) == ("allow", "block", "test.bad")
    assert {finding.rule for finding in record.output_findings} == {"test.bad", "test.secret"}


@pytest.mark.parametrize("error", [None, AttributeError("x")])
async def test_shadow_survives_a_detector_that_fails(error: Exception | None) -> None:
    async with gateway(policy_of(active(Raises(error))), Mode.SHADOW, whole(completion("hi"))) as gate:
        status, raw = await gate.answer(CHAT, chat("hello"))
        record = (await gate.recorder.after(1))[0]
    assert (status, raw) == (200, orjson.dumps(completion("hi")))
    assert record.intended == "block"


async def test_off_looks_at_nothing() -> None:
    finder = Words({"forbidden": "test.bad"})
    async with gateway(policy_of(active(finder)), Mode.OFF, whole(completion("forbidden"))) as gate:
        status, raw = await gate.answer(CHAT, b"not json: forbidden")
        assert (status, raw) == (200, orjson.dumps(completion("forbidden")))
        assert gate.provider.received[0].body == b"not json: forbidden"
        record = (await gate.recorder.after(1))[0]
    assert finder.looked == 0
    assert (record.mode, record.action) == (Mode.OFF, "allow")


async def test_the_mode_may_change_between_two_exchanges_on_one_connection() -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        assert (await gate.answer(CHAT, chat("forbidden")))[0] == 403
        gate.directory.mode = Mode.SHADOW
        assert (await gate.answer(CHAT, chat("forbidden")))[0] == 200
        gate.directory.mode = Mode.OFF
        assert (await gate.answer(CHAT, chat("forbidden")))[0] == 200
        gate.directory.mode = Mode.ENFORCE
        assert (await gate.answer(CHAT, chat("forbidden")))[0] == 403


async def test_history_is_not_inspected_twice() -> None:
    finder = Words({"forbidden": "test.bad"})
    policy = policy_of(active(finder))
    async with gateway(policy, script=whole(completion("ok"))) as gate:
        await gate.answer(CHAT, chat("one", "two", "three"))
        finder.seen.clear()
        await gate.answer(CHAT, chat("one", "two", "three", "four"))
    assert "four" in finder.seen
    assert not {"one", "two", "three"} & set(finder.seen)


async def test_a_block_never_wedges_a_conversation() -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        assert (await gate.answer(CHAT, chat("hello", "something forbidden")))[0] == 403
        assert (await gate.answer(CHAT, chat("hello", "something forbidden", "go on")))[0] == 403
        assert (await gate.answer(CHAT, chat("hello", "go on")))[0] == 200


async def test_names_and_bases_with_paths_lead_to_their_provider() -> None:
    routes = {"openai": "PROVIDER/api", "groq": "PROVIDER/openai", "anthropic": "PROVIDER/claude"}
    async with gateway(POLICY, script=whole(completion("ok")), upstreams=routes) as gate:
        for path in (
            CHAT + "?api-version=2024-10-21&x=%2F",
            "/groq/v1/chat/completions",
            "/v1/messages",
            "/anthropic/v1/messages",
        ):
            status, _ = await gate.answer(path, chat("hi"))
            assert status == 200
        seen = [request.path for request in gate.provider.received]
        records = await gate.recorder.after(4)
    assert seen == [
        "/api/v1/chat/completions?api-version=2024-10-21&x=%2F",
        "/openai/v1/chat/completions",
        "/claude/v1/messages",
        "/claude/v1/messages",
    ]
    assert [record.upstream for record in records] == ["openai", "groq", "anthropic", "anthropic"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/%63hat/completions",
        "/V1/Chat/Completions",
        "/v1/chat/completions/",
        "/openai/v1/chat/completions",
        "/openai/deployments/gpt-4/chat/completions?api-version=1",
        "/v1/chat/completions;a=b",
    ],
)
async def test_another_spelling_of_a_route_is_no_way_around(path: str) -> None:
    async with gateway(POLICY) as gate:
        assert (await gate.answer(path, chat("forbidden")))[0] == 403


async def test_headers_survive_both_ways() -> None:
    given = {
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj-1",
        "X-Stainless-Lang": "python",
        "Idempotency-Key": "k",
        "Cookie": "a=b",
        "x-sigmaguard-agent": "agent-1",
    }
    back = [
        ("x-request-id", "req_1"),
        ("x-ratelimit-remaining-requests", "59"),
        ("retry-after", "7"),
        ("openai-processing-ms", "12"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Connection", "keep-alive"),
    ]
    async with gateway(POLICY, script=whole({"error": {"message": "slow down"}}, 429, back)) as gate:
        async with gate.call(CHAT, chat("hi"), headers=given) as answer:
            assert answer.status == 429
            for name, value in back[:4]:
                assert answer.headers[name] == value
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        sent = gate.provider.received[0]
        record = (await gate.recorder.after(1))[0]
    for name in list(given)[:5]:
        assert sent.header(name) == given[name]
    assert sent.header("x-sigmaguard-agent") is None
    assert sent.header("Authorization") == "Bearer sk-test"
    assert record.subject.agent == "agent-1"
    assert record.status == 429


async def test_unknown_endpoints_pass_untouched_where_the_policy_says_so_and_are_recorded_as_not_inspected() -> None:
    body = b"\x00\xff not json" * 10
    policy = policy_of(blocks("forbidden"), masks("swordfish"), unknown="pass")
    async with gateway(policy, script=whole(b"\xffanswer", content_type="application/x-thing")) as gate:
        async with gate.call("/v1/files", body, headers={"Content-Type": "application/x-thing"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"\xffanswer")
        assert gate.provider.received[0].body == body
        record = (await gate.recorder.after(1))[0]
    assert record.endpoint == "other"
    assert set(record.outcomes) == {("words", "not_run"), ("maskwords", "not_run")}


async def test_unknown_endpoints_are_refused_where_the_policy_says_so() -> None:
    policy = policy_of(blocks("forbidden"), unknown="refuse")
    async with gateway(policy, script=whole({})) as gate:
        status, raw = await gate.answer("/v1/fine_tuning/jobs", {})
        assert (status, orjson.loads(raw)["error"]["code"]) == (403, "unknown_endpoint")
        assert gate.provider.received == []
        gate.directory.mode = Mode.SHADOW
        assert (await gate.answer("/v1/fine_tuning/jobs", {}))[0] == 200


async def test_websockets_are_refused_clearly() -> None:
    async with gateway(POLICY) as gate:
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "aa",
        }
        async with gate.call("/v1/realtime?model=x", method="GET", headers=headers) as answer:
            assert answer.status == 501
            assert (await answer.json())["error"]["code"] == "websocket_unsupported"
        assert gate.provider.received == []


async def test_a_head_request_keeps_the_length() -> None:
    for mode in Mode:
        async with (
            gateway(POLICY, mode, whole({"data": []})) as gate,
            gate.call("/v1/models", method="HEAD") as answer,
        ):
            assert answer.status == 200
            assert answer.headers["Content-Length"] == "11"


async def test_health_and_readiness() -> None:
    async with gateway(POLICY) as gate:
        for path in ("/healthz", "/readyz"):
            assert await gate.answer(path, method="GET") == (200, b'{"status": "ok", "degraded": []}')
        gate.plane.proxy.draining = True
        assert (await gate.answer("/healthz", method="GET"))[0] == 200
        assert (await gate.answer("/readyz", method="GET"))[0] == 503
        status, raw = await gate.answer(CHAT, chat("hi"))
        assert (status, orjson.loads(raw)["error"]["code"]) == (503, "draining")
        assert gate.recorder.records[-1].status == 503


async def test_draining_finishes_what_is_under_way() -> None:
    go_on = asyncio.Event()

    async def slow(request: Received, connection: Connection) -> None:
        pieces = chat_stream("one ", "two ", "three")
        await connection.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await connection.chunk(pieces[0] + pieces[1])
        await go_on.wait()
        for piece in pieces[2:]:
            await connection.chunk(piece)
        await connection.end()

    async with gateway(POLICY, script=slow) as gate, asyncio.timeout(DEADLINE_S):
        async with gate.call(CHAT, chat("hi", stream=True)) as answer:
            first = await answer.content.readany()
            stopping = asyncio.ensure_future(gate.plane.stop())
            await asyncio.sleep(0)
            with pytest.raises(aiohttp.ClientError):
                async with aiohttp.ClientSession() as other:
                    while True:  # until the port is closed
                        async with other.get(gate.url + "/readyz") as probe:
                            assert probe.status == 503
            go_on.set()
            rest = await answer.content.read()
        await stopping
        assert streamed_text(first + rest) == "one two three"
        assert (await gate.recorder.after(1))[0].status == 200


async def test_a_caller_that_waits_to_be_told_to_go_on_is_told() -> None:
    async with gateway(POLICY, script=whole(completion("ok"))) as gate, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.plane.port)
        body = orjson.dumps(chat("hi"))
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_refused_mask_in_a_key_becomes_an_edit_of_the_key() -> None:
    body = chat("hi", metadata={"my swordfish is a long key": "x"})
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        assert (await gate.answer(CHAT, body))[0] == 200
        assert gate.provider.received[0].json["metadata"] == {"my <SECRET_1> is a long key": "x"}


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_a_body_over_the_limit(mode: Mode) -> None:
    policy = policy_of(blocks("forbidden"), limits=Limits(request_bytes=1_000))
    big = orjson.dumps(chat("x" * 5_000))

    async def in_pieces():  # type: ignore[no-untyped-def]
        for at in range(0, len(big), 700):
            yield big[at : at + 700]

    async with gateway(policy, mode, whole(completion("ok"))) as gate:
        statuses = [(await gate.answer(CHAT, big))[0]]
        headers = {"Content-Type": "application/json"}
        async with gate.session.post(gate.url + CHAT, data=in_pieces(), headers=headers) as answer:
            statuses.append(answer.status)
            raw = await answer.read()
        records = await gate.recorder.after(2)
        bodies = [request.body for request in gate.provider.received]
    assert all(record.faults[0].kind == "body_too_large" for record in records)
    if mode is Mode.ENFORCE:
        assert statuses == [413, 413]
        assert orjson.loads(raw)["error"]["code"] == "body_too_large"
        assert bodies == []
    else:
        assert statuses == [200, 200]
        assert bodies == [big, big]


async def test_compressed_requests_are_inspected_and_forwarded_as_they_came() -> None:
    good, bad = (gzip.compress(orjson.dumps(chat(text))) for text in ("hello", "forbidden"))
    async with gateway(POLICY, script=whole(completion("ok"))) as gate:
        headers = {"Content-Encoding": "gzip"}
        assert (await gate.answer(CHAT, bad, headers=headers))[0] == 403
        assert (await gate.answer(CHAT, good, headers=headers))[0] == 200
        secret = gzip.compress(orjson.dumps(chat("the swordfish")))
        assert (await gate.answer(CHAT, secret, headers=headers))[0] == 200
        plain, edited = gate.provider.received
    assert (plain.body, plain.header("Content-Encoding")) == (good, "gzip")
    assert edited.header("Content-Encoding") is None
    assert edited.json["messages"][0]["content"] == "the <SECRET_1>"


class KeyDirectory(FixedDirectory):
    """Everyone's credential stands for the provider's own key."""

    def __init__(self, policy: Policy, key: str, **more: object) -> None:
        super().__init__(policy, Mode.ENFORCE)
        self._key = key
        self._more = more
        self.callers: list[Caller] = []

    def identify(self, caller: Caller, exchange: str) -> Identity:
        """The one identity, with the provider's key."""
        self.callers.append(caller)
        return Identity(Subject(), self.policy, Mode.ENFORCE, Secret(self._key), **self._more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        (CHAT, {"Authorization": "Bearer sg-virtual"}, ("Authorization", "Bearer real-key")),
        (CHAT, {"Authorization": "bearer sg-virtual"}, ("Authorization", "Bearer real-key")),
        (CHAT, {"api-key": "sg-virtual", "Authorization": ""}, ("api-key", "real-key")),
        ("/v1/messages", {"x-api-key": "sg-virtual", "Authorization": ""}, ("x-api-key", "real-key")),
        ("/v1/messages", {"Authorization": "Bearer sg-virtual"}, ("x-api-key", "real-key")),
    ],
)
async def test_a_virtual_key_is_replaced_where_the_provider_reads_it(
    path: str, given: dict[str, str], expected: tuple[str, str]
) -> None:
    for key in ("real-key", ""):
        directory = KeyDirectory(POLICY, key)
        async with gateway(POLICY, script=whole(completion("ok")), directory=directory) as gate:
            assert (await gate.answer(path, chat("hi"), headers=given))[0] == 200
            sent = gate.provider.received[0]
        assert directory.callers[0].credential == "sg-virtual"
        assert b"sg-virtual" not in repr(sent.headers).encode()
        assert sent.header(expected[0]) == (expected[1] if key else None)
        assert "real-key" not in repr(directory.identify(directory.callers[0], "x"))


@pytest.mark.parametrize(
    ("more", "path", "code"),
    [
        ({"models": frozenset({"other"})}, CHAT, "model_not_allowed"),
        ({"endpoints": frozenset({"/v1/embeddings"})}, CHAT, "endpoint_not_allowed"),
        ({"endpoints": frozenset({"/v1/embeddings"})}, "/v1//chat/completions", "endpoint_not_allowed"),
    ],
)
async def test_a_key_may_be_restricted(more: dict[str, object], path: str, code: str) -> None:
    async with gateway(POLICY, directory=KeyDirectory(POLICY, "k", **more)) as gate:
        status, raw = await gate.answer(path, chat("hi"))
        assert (status, orjson.loads(raw)["error"]["code"]) == (403, code)
        assert gate.provider.received == []


async def test_kept_content_is_what_came_and_what_was_answered() -> None:
    directory = KeyDirectory(POLICY, "k", keep_content=True)
    pieces = chat_stream("a swordfish ", "b")
    async with gateway(POLICY, script=whole(completion("a swordfish")), directory=directory) as gate:
        await gate.answer(CHAT, chat("the swordfish"))
        gate.provider.script = streamed(pieces)
        await gate.answer(CHAT, chat("hi", stream=True))
        first, second = await gate.recorder.after(2)
    assert first.content == (orjson.dumps(chat("the swordfish")), orjson.dumps(completion("a swordfish")))
    assert second.content is not None
    assert b"".join(pieces).startswith(second.content[1])
    assert b"swordfish" in second.content[1]
