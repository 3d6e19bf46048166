"""Servers that flood, hang, break or leave; what passes byte for byte; sessions, resumption, restarts."""

import asyncio
import os
import textwrap

import aiohttp
import orjson
import pytest
from aiohttp import web
from mcp import Client
from mcp.server.mcpserver import MCPServer

from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard_proxy.mcp.settings import parse_mcp
from tests.proxy.mcp.test_mcp_sdk import text_of
from tests.proxy.mcp.toolbox import INJECTION, toolbox

pytestmark = [pytest.mark.asyncio]
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def request(method: str, number: int | str = 1, **params) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


INITIALIZE = request(
    "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"}
)


@pytest.fixture
async def odd():
    """Serves one handler: `url = await odd(handler)`."""
    runners: list[web.ServerRunner] = []

    async def start(handler) -> str:
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def posted(http, served, body: bytes, path: str = "/mcp/box", **headers) -> tuple[int, dict, bytes]:
    async with http.post(f"{served.url}{path}", data=body, headers={**JSON, **headers}) as answer:
        return answer.status, dict(answer.headers), await answer.read()


def data_of(stream: bytes) -> list[dict]:
    return [orjson.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ") and line[6:].strip()]


# what misbehaves


async def test_a_hanging_server_is_given_up_and_the_caller_told(serve, odd, http):
    async def hangs(_) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    served = await serve({"servers": {"box": {"url": await odd(hangs), "timeout_s": 0.2}}})
    status, _, body = await posted(http, served, request("tools/call", name="x"))
    assert status == 200 and orjson.loads(body)["result"]["isError"]
    status, _, body = await posted(http, served, request("tools/list"))
    assert orjson.loads(body)["error"]["data"]["code"] == "upstream_timeout"
    assert served.last("tools/list").faults[0].kind == "upstream_timeout"


async def test_a_stream_that_falls_silent_is_given_up(serve, odd, http):
    async def silent(req) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(req)
        await out.write(b"event: message\ndata: " + orjson.dumps({"jsonrpc": "2.0", "method": "x"}) + b"\n\n")
        await asyncio.sleep(3600)
        return out

    served = await serve({"servers": {"box": {"url": await odd(silent), "timeout_s": 0.2}}})
    _, _, body = await posted(http, served, request("tools/call", 7, name="x"))
    note, answer = data_of(body)
    assert note["method"] == "x" and answer["id"] == 7 and answer["result"]["isError"]


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_a_flooding_server_is_cut_off(serve, odd, http, mode):
    sent = 0

    async def floods(req) -> web.StreamResponse:
        nonlocal sent
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(req)
        note = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "again"}})
        while True:
            sent += 1
            await out.write(b"data: " + note + b"\n\n")

    server = {"url": await odd(floods), "messages_per_s": 5}
    served = await serve({"servers": {"box": server}}, mode=mode)
    _, _, body = await posted(http, served, request("tools/call", 7, name="x"))
    *notes, answer = data_of(body)
    assert answer["result"]["isError"] and len(notes) <= 5 * 10 * 20
    assert [one.kind for one in served.last("tools/call").faults] == ["upstream_flooded"]


async def test_an_answer_over_the_limit_is_refused(serve, odd, http):
    async def large(_) -> web.Response:
        text = "x" * 5000
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}]}})

    served = await serve({"servers": {"box": {"url": await odd(large), "message_bytes": 2000}}})
    _, _, body = await posted(http, served, request("tools/call", name="x"))
    assert "over 2000 bytes" in orjson.loads(body)["result"]["content"][0]["text"]
    status, _, _ = await posted(http, served, request("tools/call", name="x", arguments={"a": "y" * 5000}))
    assert status == 413


@pytest.mark.parametrize("body", [b"not json", b'{"jsonrpc": "2.0", "id": 1}', b'{"id":1,"id":2,"result":{}}', b"[]"])
async def test_what_is_no_message_goes_neither_way(serve, odd, http, body):
    async def says(_) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    served = await serve({"servers": {"box": {"url": await odd(says)}}})
    _, _, answer = await posted(http, served, request("tools/call", name="x"))
    assert orjson.loads(answer)["result"]["isError"]
    status, _, answer = await posted(http, served, body)
    assert status == 400 and orjson.loads(answer)["error"]["code"] in (-32700, -32600)


async def test_redirects_are_not_followed(serve, odd, http):
    async def elsewhere(_) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    served = await serve({"servers": {"box": {"url": await odd(elsewhere)}}})
    _, _, body = await posted(http, served, request("tools/list"))
    assert orjson.loads(body)["error"]["data"]["code"] == "upstream_redirected"


async def test_a_mirrored_header_says_nothing_that_the_body_does_not(serve, host, http):
    served = await serve({"servers": {"box": {"url": await host(toolbox().streamable_http_app()) + "/mcp"}}})
    head = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "add"}
    status, _, body = await posted(
        http, served, request("tools/call", name="add", arguments={"a": 1}), **head, **{"Mcp-Param-X": "secret"}
    )
    assert status == 400 and orjson.loads(body)["error"]["code"] == -32020


# what passes


async def test_shadow_changes_no_byte_either_way(serve, odd, http):
    seen: list[bytes] = []
    event = (
        b": hello\r\nid: 9\r\nevent: message\r\nretry: 10\r\ndata: "
        + orjson.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": INJECTION}})
        + b"\r\n\r\n"
    )
    whole = b'{ "jsonrpc":"2.0", "id":1, "result":{"content":[{"type":"text","text":"' + INJECTION.encode() + b'"}]}}'
    stream = event + b"data: " + whole + b"\n\n"

    async def says(req) -> web.StreamResponse:
        seen.append(await req.read())
        if b"stream" in seen[-1]:
            return web.Response(body=stream, content_type="text/event-stream")
        return web.Response(body=whole, content_type="application/json")

    served = await serve({"servers": {"box": {"url": await odd(says)}}}, mode=Mode.SHADOW)
    for name, wanted in (("whole", whole), ("stream", stream)):
        sent = b'{"params" : {"name":"%s"}, "jsonrpc": "2.0","id":1, "method":"tools/call"}' % name.encode()
        _, headers, body = await posted(http, served, sent)
        assert seen[-1] == sent and body == wanted
        assert headers["x-sigmaguard-mode"] == "shadow"
        assert served.last("tools/call").intended == "block"
    assert served.last("notifications/message").intended == "block"


async def test_off_looks_at_nothing(serve, odd, http):
    async def says(_) -> web.Response:
        return web.Response(body=INJECTION.encode(), content_type="text/plain", status=418)

    served = await serve({"servers": {"box": {"url": await odd(says)}}}, mode=Mode.OFF)
    status, _, body = await posted(http, served, request("tools/list"))
    assert (status, body) == (418, INJECTION.encode())
    assert served.recorder.records[-1].mode is Mode.OFF


async def test_credentials_are_stored_and_the_callers_own_stay_here(serve, odd, http):
    seen: list = []

    async def says(req) -> web.Response:
        seen.append(req.headers.copy())
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}})

    url = await odd(says)
    os.environ["MCP_TEST_TOKEN"] = "stored"
    try:
        settings = {
            "box": {"url": url, "headers": {"Authorization": "Bearer env:MCP_TEST_TOKEN"}},
            "oauth": {"url": url, "pass_authorization": True},
            "plain": {"url": url},
        }
        served = await serve({"servers": settings})
    finally:
        del os.environ["MCP_TEST_TOKEN"]
    mine = {**JSON, "Authorization": "Bearer mine", "x-api-key": "mine", "Cookie": "a=b", "x-sigmaguard-key": "k"}
    for name in settings:
        async with http.post(f"{served.url}/mcp/{name}", data=request("ping"), headers=mine) as answer:
            assert answer.status == 200
    got = [one.get("Authorization") for one in seen]
    assert got == ["Bearer stored", "Bearer mine", None]
    for one in seen:
        assert not {"x-api-key", "Cookie", "x-sigmaguard-key"} & set(one)


async def test_oauth_goes_through_with_the_metadata_told_for_our_address(serve, odd, http):
    async def says(req) -> web.Response:
        if req.path.startswith("/.well-known/oauth-protected-resource"):
            return web.json_response(
                {"resource": "https://tools.test/mcp", "authorization_servers": ["https://as.test"]}
            )
        if req.headers.get("Authorization") == "Bearer token":
            return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}})
        told = 'Bearer error="invalid_token", resource_metadata="https://tools.test/.well-known/x"'
        return web.Response(status=401, text="who are you?", headers={"WWW-Authenticate": told})

    url = await odd(says)
    served = await serve({"servers": {"box": {"url": url, "pass_authorization": True}, "closed": {"url": url}}})
    status, headers, _ = await posted(http, served, request("ping"))
    place = f"{served.url}/.well-known/oauth-protected-resource/mcp/box"
    assert status == 401 and f'error="invalid_token", resource_metadata="{place}"' in headers["WWW-Authenticate"]
    async with http.get(place) as answer:
        told = await answer.json()
    assert told == {"resource": f"{served.url}/mcp/box", "authorization_servers": ["https://as.test"]}
    status, _, _ = await posted(http, served, request("ping"), Authorization="Bearer token")
    assert status == 200
    async with http.get(place.replace("/box", "/closed")) as answer:
        assert answer.status == 404


async def test_metadata_that_comes_in_pieces_or_not_at_all(serve, odd, http):
    told = asyncio.Event()
    metadata = orjson.dumps({"resource": "https://tools.test/mcp", "authorization_servers": ["https://as.test"]})

    async def pieces(req) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(req)
        for at in range(0, len(metadata), 7):
            await answer.write(metadata[at : at + 7])
            await asyncio.sleep(0)  # the loop sends it now, by itself
        return answer

    async def silent(_) -> web.Response:
        await told.wait()
        return web.Response(status=404)

    settings = {
        "pieces": {"url": await odd(pieces), "pass_authorization": True},
        "silent": {"url": await odd(silent), "pass_authorization": True, "start_timeout_s": 0.3},
    }
    served = await serve({"servers": settings})
    base = f"{served.url}/.well-known/oauth-protected-resource/mcp"
    async with http.get(f"{base}/pieces") as answer:
        assert (await answer.json())["authorization_servers"] == ["https://as.test"]
    async with http.get(f"{base}/silent") as answer:
        assert answer.status == 504
    told.set()


async def test_pages_of_other_origins_are_refused(serve, odd, http):
    async def says(_) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}})

    settings = {"servers": {"box": {"url": await odd(says)}}, "origins": ["https://console.example.org"]}
    served = await serve(settings)
    for origin, wanted in (
        ("https://evil.test", 403),
        ("http://localhost:3000", 200),
        ("https://console.example.org", 200),
        ("null", 403),
    ):
        status, _, _ = await posted(http, served, request("ping"), Origin=origin)
        assert status == wanted, origin


async def test_an_unknown_server_is_named(serve, http):
    served = await serve({"servers": {}, "origins": ["x"]})
    status, _, body = await posted(http, served, request("ping"))
    assert status == 404 and "`box`" in orjson.loads(body)["error"]["message"]


# stdio


def program(tmp_path, text: str) -> dict:
    path = tmp_path / "server.py"
    path.write_text("import json, os, sys, time\n" + textwrap.dedent(text))
    import sys

    return {"command": sys.executable, "args": [str(path)]}


GREET = """
def greet(line):
    asked = json.loads(line)
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"protocolVersion": "2025-11-25",
          "capabilities": {}, "serverInfo": {"name": "p", "version": "1"}}}), flush=True)
"""


async def begun(http, served) -> dict:
    _, headers, _ = await posted(http, served, INITIALIZE)
    return {"Mcp-Session-Id": headers["Mcp-Session-Id"], "Mcp-Protocol-Version": "2025-11-25"}


async def test_a_program_sees_only_the_environment_it_is_given(serve, stdio):
    os.environ["GATEWAY_SECRET"] = "mine"
    try:
        served = await serve({"servers": {"box": {**stdio, "env": {"TOKEN": "given"}}}})
        async with Client(f"{served.url}/mcp/box") as client:
            seen = text_of(await client.call_tool("environment", {}))
    finally:
        del os.environ["GATEWAY_SECRET"]
    assert "TOKEN" in seen and "PATH" in seen and "GATEWAY_SECRET" not in seen


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_program_that_dies_answers_what_waits_and_is_started_again(serve, stdio, era):
    served = await serve({"servers": {"box": stdio}})
    async with Client(f"{served.url}/mcp/box", mode=era) as client:
        with pytest.raises(Exception) as caught:
            await client.call_tool("crash", {})
        assert "ended" in str(caught.value)
        if era == "auto":  # no session to lose; after a moment the program is there again
            served.gateway.endpoints["box"].server._backoff.worked()
            assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
    async with Client(f"{served.url}/mcp/box", mode=era) as client:
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"


async def test_a_program_that_cannot_start_is_not_started_in_a_tight_loop(serve, tmp_path, http):
    started = tmp_path / "started"
    served = await serve({"servers": {"box": program(tmp_path, f"open({str(started)!r}, 'a').write('x')")}})
    codes = []
    for _ in range(5):
        _, _, body = await posted(http, served, INITIALIZE)
        codes.append(orjson.loads(body)["error"]["data"]["code"])
    assert codes[0] == "upstream_reset" and set(codes[1:]) == {"upstream_restarting"}
    assert started.read_text() == "x"
    missing = await serve({"servers": {"box": {"command": "no-such-program"}}})
    _, _, body = await posted(http, missing, INITIALIZE)
    assert orjson.loads(body)["error"]["data"]["code"] == "upstream_unreachable"


async def test_a_program_that_never_answers_is_ended(serve, tmp_path, http):
    box = {**program(tmp_path, "sys.stdin.read()"), "start_timeout_s": 0.3}
    served = await serve({"servers": {"box": box}})
    _, _, body = await posted(http, served, INITIALIZE)
    assert orjson.loads(body)["error"]["data"]["code"] == "upstream_timeout"


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        ("while True: print(json.dumps({'jsonrpc': '2.0', 'method': 'notifications/x'}), flush=True)", "flooded"),
        ("print('x' * 200_000, flush=True); time.sleep(60)", "message_too_large"),
        ("sys.exit(1)", "ended"),
    ],
)
async def test_a_program_that_misbehaves_is_ended_and_its_callers_told(serve, tmp_path, http, misdeed, reason):
    text = GREET + f"greet(sys.stdin.readline())\nsys.stdin.readline()\n{misdeed}\n"
    box = {**program(tmp_path, text), "message_bytes": 100_000, "messages_per_s": 20}
    served = await serve({"servers": {"box": box}})
    head = await begun(http, served)
    _, _, body = await posted(http, served, request("tools/list", 5), **head)
    answer = data_of(body)[-1]
    assert answer["id"] == 5 and answer["error"]["data"]["code"] == f"upstream_{reason}"
    status, _, _ = await posted(http, served, request("tools/list", 6), **head)
    assert status == 404, "the session is gone: clients begin a new one"


async def test_a_broken_connection_resumes_where_it_was(serve, tmp_path, http):
    text = (
        GREET
        + """
greet(sys.stdin.readline())
asked = json.loads(sys.stdin.readline())
for step in range(3):
    note = {"progressToken": "t", "progress": step}
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": note}), flush=True)
sys.stdin.readline()
print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}), flush=True)
sys.stdin.read()
"""
    )
    served = await serve({"servers": {"box": program(tmp_path, text)}})
    head = await begun(http, served)
    call = request("tools/call", 5, name="x", _meta={"progressToken": "t"})
    last = ""
    async with http.post(f"{served.url}/mcp/box", data=call, headers={**JSON, **head}) as answer:
        async for line in answer.content:
            if line.startswith(b"id: "):
                last = line[4:].strip().decode()
            if b'"progress":1' in line:
                break
        answer.close()  # the connection breaks
    note = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/go"})
    assert (await posted(http, served, note, **head))[0] == 202
    resume = {**head, "Accept": "text/event-stream", "Last-Event-ID": last}
    async with http.get(f"{served.url}/mcp/box", headers=resume) as answer:
        step, result = data_of(await answer.read())
    assert step["params"]["progress"] == 2, "nothing twice, nothing lost"
    assert result["id"] == 5


async def test_http_servers_resume_through_the_gateway(serve, odd, http):
    seen: list = []

    async def says(req) -> web.Response:
        seen.append((req.method, req.headers.get("Last-Event-ID"), req.headers.get("Mcp-Session-Id")))
        answer = orjson.dumps({"jsonrpc": "2.0", "id": 5, "result": {"content": [{"type": "text", "text": INJECTION}]}})
        return web.Response(body=b"id: 8\ndata: " + answer + b"\n\n", content_type="text/event-stream")

    served = await serve({"servers": {"box": {"url": await odd(says)}}})
    head = {"Accept": "text/event-stream", "Last-Event-ID": "7", "Mcp-Session-Id": "s"}
    async with http.get(f"{served.url}/mcp/box", headers=head) as answer:
        body = await answer.read()
    assert seen == [("GET", "7", "s")]
    [result] = data_of(body)
    assert b"id: 8" in body and result["result"]["isError"] and INJECTION.encode() not in body


async def test_sessions_end_and_are_nobody_elses(serve, stdio, http):
    served = await serve({"servers": {"box": {**stdio, "sessions": 1}}})
    head = await begun(http, served)
    server = served.gateway.endpoints["box"].server
    assert server.processes == 1
    _, _, body = await posted(http, served, INITIALIZE)
    assert orjson.loads(body)["error"]["data"]["code"] == "too_many_sessions"
    other = {**head, "x-sigmaguard-agent": "somebody else"}
    assert (await posted(http, served, request("ping"), **other))[0] == 404
    async with http.delete(f"{served.url}/mcp/box", headers=head) as answer:
        assert answer.status == 200
    assert server.processes == 0
    assert (await posted(http, served, request("ping"), **head))[0] == 404


async def test_leaving_cancels_a_stateless_call(serve, host, stdio):
    box = toolbox()
    url = await host(box.streamable_http_app()) + "/mcp"
    served = await serve({"servers": {"box": {"url": url}}})
    async with Client(f"{served.url}/mcp/box") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.call_tool("hang", {})
    await box.hung.wait()


async def test_a_tool_list_is_filtered_by_what_may_be_called(serve, host):
    server = MCPServer("other", log_level="ERROR")
    for name in ("read_file", "delete_file", "list_files"):
        server.add_tool(lambda: "ok", name=name, description=name)
    url = await host(server.streamable_http_app()) + "/mcp"
    box = {"url": url, "allow_tools": ["*_file*"], "deny_tools": ["delete_*"]}
    served = await serve({"servers": {"box": box}})
    async with Client(f"{served.url}/mcp/box") as client:
        assert {one.name for one in (await client.list_tools()).tools} == {"read_file", "list_files"}
        assert (await client.call_tool("delete_file", {})).is_error
        assert text_of(await client.call_tool("read_file", {})) == "ok"
    served.directory.mode = Mode.SHADOW
    async with Client(f"{served.url}/mcp/box") as client:
        assert (await client.call_tool("delete_file", {})).is_error, "access is not inspection: it holds in shadow too"


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"servers": {"a": {}}}, "give either `url` or `command`"),
        ({"servers": {"a": {"url": "http://x", "command": "y"}}}, "give either `url` or `command`"),
        ({"servers": {"a": {"url": "ftp://x"}}}, "no http or https URL"),
        ({"servers": {"A b": {"url": "http://x"}}}, "mcp.servers.A b"),
        ({"servers": {"a__b": {"url": "http://x"}}}, "mcp.servers.a__b"),
        ({"servers": {"a": {"url": "http://x", "headers": {"X": "env:NOT_THERE"}}}}, "NOT_THERE is not set"),
        ({"servers": {"a": {"url": "http://x", "timeout": 3}}}, "did you mean `timeout_s`"),
        ({"servers": {"a": {"url": "http://x", "timeout_s": 0}}}, "more than 0"),
    ],
)
async def test_settings_that_are_wrong_are_refused_with_their_place(section, says):
    with pytest.raises(ConfigError) as caught:
        parse_mcp(section, {})
    assert says in str(caught.value)
