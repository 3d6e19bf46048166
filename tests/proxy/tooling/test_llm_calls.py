"""Tool calls in model answers, whole and streamed, in every protocol: rules, taint, approvals."""

import asyncio

import aiohttp
import orjson
import pytest
from aiohttp import web

from sigmaguard.model import Mode

PROTOCOLS = ("chat", "messages", "responses")
ROUTES = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
RULE = {
    "id": "tool.external_mail",
    "description": "Mail leaves the company",
    "tools": ["send_*"],
    "when": '!args.to.endsWith("@example.org")',
    "match": [{"args": {"to": "eve@evil.test"}}],
    "miss": [{"args": {"to": "ann@example.org"}}],
}
SAID = "The page says that the office is open from nine to five."


def answer(protocol: str, name: str, args: dict, said: str = "") -> dict:
    """A whole answer with one call."""
    match protocol:
        case "chat":
            function = {"name": name, "arguments": orjson.dumps(args).decode()}
            calls = [{"id": "c1", "type": "function", "function": function}] if name else []
            message = {"role": "assistant", "content": said or None, **({"tool_calls": calls} if calls else {})}
            return {
                "id": "x",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
        case "messages":
            content = [{"type": "text", "text": said}] if said else []
            content += [{"type": "tool_use", "id": "c1", "name": name, "input": args}] if name else []
            return {"id": "x", "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}
        case _:
            text = [{"type": "output_text", "text": said, "annotations": []}]
            output = [{"type": "message", "role": "assistant", "content": text}] if said else []
            call = {"type": "function_call", "call_id": "c1", "name": name, "arguments": orjson.dumps(args).decode()}
            output += [call] if name else []
            return {"id": "resp_1", "object": "response", "output": output, "status": "completed"}


def events(protocol: str, name: str, args: dict, said: str = "") -> list[dict]:
    """The same answer streamed, the arguments in pieces."""
    source = orjson.dumps(args).decode()
    pieces = [source[at : at + 5] for at in range(0, len(source), 5)]
    match protocol:
        case "chat":
            deltas: list[dict] = [{"content": said[at : at + 9]} for at in range(0, len(said), 9)]
            if name:
                deltas.append({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": name, "arguments": ""}}]})
                deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in pieces]
            chunks = [{"id": "x", "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
            return [*chunks, {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
        case "messages":
            block = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
            found = [{"type": "message_start", "message": {"id": "x", "role": "assistant", "content": []}}]
            if said:
                found.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
                found.append({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}})
                found.append({"type": "content_block_stop", "index": 0})
            if name:
                found.append({"type": "content_block_start", "index": 1, "content_block": block})
                for one in pieces:
                    delta = {"type": "input_json_delta", "partial_json": one}
                    found.append({"type": "content_block_delta", "index": 1, "delta": delta})
                found.append({"type": "content_block_stop", "index": 1})
            return [*found, {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}, {"type": "message_stop"}]
        case _:
            whole = answer("responses", name, args, said)
            found = [{"type": "response.created", "response": {"id": "resp_1", "output": []}}]
            for at, item in enumerate(whole["output"]):
                found.append(
                    {"type": "response.output_item.added", "output_index": at, "item": {**item, "id": f"i{at}"}}
                )
                if item["type"] == "function_call":
                    head = {"type": "response.function_call_arguments.delta", "item_id": f"i{at}", "output_index": at}
                    found += [{**head, "delta": one} for one in pieces]
                else:
                    head = {
                        "type": "response.output_text.delta",
                        "item_id": f"i{at}",
                        "output_index": at,
                        "content_index": 0,
                    }
                    found.append({**head, "delta": said})
                found.append(
                    {"type": "response.output_item.done", "output_index": at, "item": {**item, "id": f"i{at}"}}
                )
            return [*found, {"type": "response.completed", "response": whole}]


def sse(protocol: str, found: list[dict]) -> bytes:
    lines = [
        (f"event: {one['type']}\n".encode() if "type" in one else b"") + b"data: " + orjson.dumps(one) + b"\n\n"
        for one in found
    ]
    return b"".join(lines) + (b"data: [DONE]\n\n" if protocol == "chat" else b"")


def request(protocol: str, turns: list[tuple[str, str]], *, stream: bool = False, **more) -> dict:
    """A request whose turns are ("user", text), ("assistant", text) or ("tool:NAME", result)."""
    key = "input" if protocol == "responses" else "messages"
    found: list[dict] = []
    for role, text in turns:
        name = role.partition(":")[2]
        if not name:
            found.append({"role": role, "content": text})
        elif protocol == "chat":
            function = {"name": name, "arguments": "{}"}
            found.append({"role": "assistant", "tool_calls": [{"id": name, "type": "function", "function": function}]})
            found.append({"role": "tool", "tool_call_id": name, "content": text})
        elif protocol == "messages":
            found.append(
                {"role": "assistant", "content": [{"type": "tool_use", "id": name, "name": name, "input": {}}]}
            )
            found.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": text}]})
        else:
            found.append({"type": "function_call", "call_id": name, "name": name, "arguments": "{}"})
            found.append({"type": "function_call_output", "call_id": name, "output": text})
    return {"model": "m", "max_tokens": 99, key: found, "stream": stream, **more}


class Model:
    """A provider that answers as it is told."""

    def __init__(self) -> None:
        self.call: tuple[str, dict] = ("", {})
        self.said = ""
        self.url = ""

    async def handle(self, req: web.BaseRequest) -> web.Response:
        body = orjson.loads(await req.read())
        protocol = next(name for name, route in ROUTES.items() if route == req.path)
        if body.get("stream"):
            stream = sse(protocol, events(protocol, *self.call, self.said))
            return web.Response(body=stream, content_type="text/event-stream")
        return web.Response(body=orjson.dumps(answer(protocol, *self.call, self.said)), content_type="application/json")


@pytest.fixture
async def model():
    found = Model()
    runner = web.ServerRunner(web.Server(found.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http, served, protocol: str, body: dict, **headers) -> tuple[int, bytes]:
    async with http.post(served.url + ROUTES[protocol], json=body, headers=headers) as got:
        return got.status, await got.read()


def let_through(status: int, body: bytes, address: str) -> bool:
    """Whether the call's arguments reached the client, put together again where they were streamed."""
    if status != 200:
        return False
    if not body.startswith((b"data:", b"event:")):
        return address.encode() in body
    text = ""
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            event = orjson.loads(line[6:])
            for choice in event.get("choices", ()):
                for call in choice["delta"].get("tool_calls", ()):
                    text += call["function"].get("arguments") or ""
            delta = event.get("delta")
            text += delta.get("partial_json", "") if isinstance(delta, dict) else delta or ""
    return address in text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_rules_hold_for_calls_in_answers(serve, model, http, protocol, stream, mode):
    served = await serve(upstream=model.url, mode=mode, pack={"tools": {"rules": [RULE]}})
    for address, harmless in (("eve@evil.test", False), ("ann@example.org", True)):
        model.call = ("send_email", {"to": address, "body": "hello"})
        status, body = await ask(http, served, protocol, request(protocol, [("user", "hi")], stream=stream))
        assert let_through(status, body, address) is (harmless or mode is Mode.SHADOW)
        record = served.recorder.records[-1]
        assert record.intended == ("allow" if harmless else "block")
        if not harmless:
            assert record.rule == "tool.external_mail"
            if mode is Mode.ENFORCE:
                assert b"tool.external_mail" in body


TAINTED = {"tools": {"sensitive": ["send_*"], "tainted": "deny", "trusted": ["clock"]}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_after_untrusted_content_sensitive_calls_are_stopped(serve, model, http, protocol, stream):
    served = await serve(upstream=model.url, pack=TAINTED)
    model.call = ("send_email", {"to": "ann@example.org"})
    cases = [
        ([("user", "write to ann")], True),
        ([("user", "what time is it?"), ("tool:clock", "nine"), ("user", "write to ann")], True),
        ([("user", "read the page"), ("tool:fetch", "Open from nine."), ("user", "and now?")], False),
    ]
    for turns, passes in cases:
        status, body = await ask(http, served, protocol, request(protocol, turns, stream=stream))
        assert let_through(status, body, "ann@example.org") is passes, turns
    model.call = ("search", {"q": "opening hours"})
    status, body = await ask(http, served, protocol, request(protocol, cases[-1][0], stream=stream))
    assert let_through(status, body, "opening hours"), "a tool that is not sensitive"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_taint_follows_a_conversation_whose_history_was_trimmed(serve, model, http, protocol, stream):
    served = await serve(upstream=model.url, pack=TAINTED)
    model.said = SAID
    first = [("user", "read the page"), ("tool:fetch", "Open from nine to five.")]
    await ask(http, served, protocol, request(protocol, first, stream=stream))
    model.said, model.call = "", ("send_email", {"to": "ann@example.org"})
    trimmed = [("user", "read the page"), ("assistant", SAID), ("user", "write to ann")]
    status, body = await ask(http, served, protocol, request(protocol, trimmed, stream=stream))
    assert not let_through(status, body, "ann@example.org")
    fresh = [("user", "read the page"), ("assistant", "I cannot read pages, sorry about that."), ("user", "write")]
    status, body = await ask(http, served, protocol, request(protocol, fresh, stream=stream))
    assert let_through(status, body, "ann@example.org"), "another conversation"
    somebody = {"x-sigmaguard-agent": "another"}
    status, body = await ask(http, served, protocol, request(protocol, trimmed, stream=stream), **somebody)
    assert let_through(status, body, "ann@example.org"), "another agent"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_taint_follows_previous_response_id(serve, model, http, stream):
    served = await serve(upstream=model.url, pack=TAINTED)
    model.said = SAID
    turns = [("user", "read the page"), ("tool:fetch", "Open from nine to five.")]
    await ask(http, served, "responses", request("responses", turns, stream=stream))
    model.said, model.call = "", ("send_email", {"to": "ann@example.org"})
    for previous, passes in (("resp_1", False), ("resp_2", True)):
        body = request("responses", [("user", "write to ann")], stream=stream, previous_response_id=previous)
        status, got = await ask(http, served, "responses", body)
        assert let_through(status, got, "ann@example.org") is passes


async def waiting(served):
    """The call that waits, once it does."""
    found: asyncio.Future = asyncio.get_running_loop().create_future()

    def observe(call) -> None:
        if call.state.value == "waiting" and not found.done():
            found.set_result(call.id)

    served.approvals.observers = (observe,)
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_person_decides(serve, model, http, protocol, stream):
    pack = {"tools": {"sensitive": ["send_*"], "tainted": "approve", "approval_s": 20}}
    served = await serve(upstream=model.url, pack=pack)
    model.call = ("send_email", {"to": "ann@example.org"})
    turns = [("user", "read"), ("tool:fetch", "Open from nine to five.")]
    for grant in (True, False):
        asked = await waiting(served)
        asking = asyncio.ensure_future(ask(http, served, protocol, request(protocol, turns, stream=stream)))
        call_id = await asyncio.wait_for(asked, 5)
        [pending] = [one for one in served.approvals.list() if one.state.value == "waiting"]
        assert pending.arguments == {"to": "ann@example.org"} and pending.tool == "send_email"
        assert served.approvals.decide(call_id, grant=grant, by="owner")
        assert not served.approvals.decide(call_id, grant=True, by="too late")
        status, body = await asking
        assert let_through(status, body, "ann@example.org") is grant
        record = served.recorder.records[-1]
        assert record.intended == ("allow" if grant else "block")
        rules = {one.rule for one in record.output_findings}
        assert ("tool.approval_granted" if grant else "tool.approval_denied") in rules
        [settled, *_] = [one for one in served.approvals.list()]
        assert settled.by == "owner" and settled.arguments is None


async def test_a_call_that_nobody_decides_is_refused_in_time(serve, model, http):
    pack = {"tools": {"sensitive": ["send_*"], "tainted": "approve", "approval_s": 0.1}}
    served = await serve(upstream=model.url, pack=pack)
    model.call = ("send_email", {"to": "ann@example.org"})
    turns = [("user", "read"), ("tool:fetch", "Open from nine to five.")]
    status, _ = await ask(http, served, "chat", request("chat", turns))
    assert status == 403
    assert "tool.approval_expired" in served.rules()
    served.directory.mode = Mode.SHADOW
    status, body = await ask(http, served, "chat", request("chat", turns))
    assert let_through(status, body, "ann@example.org"), "shadow asks nobody and holds nothing"
    assert served.recorder.records[-1].intended == "block"


async def test_withheld_arguments_stay_valid_json(serve, model, http):
    served = await serve(upstream=model.url, pack={"tools": {"sensitive": ["send_*"], "tainted": "mask"}})
    args = {"to": "ann@example.org", "n": 3, "more": ['a "quoted" text', {"k": ""}]}
    turns = [("user", "read"), ("tool:fetch", "Open from nine to five.")]
    for protocol in PROTOCOLS:
        model.call = ("send_email", args)
        status, body = await ask(http, served, protocol, request(protocol, turns))
        got = orjson.loads(body)
        assert status == 200 and b"ann@example.org" not in body and b"quoted" not in body
        if protocol == "chat":
            holder = orjson.loads(got["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
        else:
            holder = (
                got["content"][0]["input"] if protocol == "messages" else orjson.loads(got["output"][0]["arguments"])
            )
        assert holder["n"] == 3 and holder["to"] == "[WITHHELD]" and holder["more"][1] == {"k": ""}
