"""One address for many servers: names, routes, sessions both ways, and what a key may use."""

import asyncio

import mcp_types as types
import msgspec
import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer

from sigmaguard.model import Mode
from sigmaguard_proxy.ports import Identity
from tests.proxy.mcp.test_mcp_sdk import elicited, sampled, text_of
from tests.proxy.mcp.toolbox import INJECTION, SECRET

pytestmark = [pytest.mark.asyncio]
ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])


def mail() -> MCPServer:
    server = MCPServer("mail", log_level="ERROR")
    server.sent = []  # type: ignore[attr-defined]

    @server.tool()
    def send(to: str, body: str) -> str:
        """Sends a mail."""
        server.sent.append((to, body))  # type: ignore[attr-defined]
        return f"sent to {to}"

    @server.resource("mail://inbox/{number}")
    def inbox(number: str) -> str:
        """One mail."""
        return f"Mail {number}"

    return server


@pytest.fixture
async def both(serve, host, stdio):
    """The toolbox as a program and a mail server over HTTP, behind one address."""
    post = mail()
    url = await host(post.streamable_http_app()) + "/mcp"

    async def start(**more):
        served = await serve({"servers": {"box": stdio, "mail": {"url": url}}}, **more)
        served.mail = post
        return served

    return start


@ERAS
async def test_the_tools_of_all_servers_are_offered_and_called(both, era):
    served = await both()
    progress: list[float] = []

    async def progressed(done, total, message) -> None:
        progress.append(done)

    client = Client(f"{served.url}/mcp", mode=era, sampling_callback=sampled, elicitation_callback=elicited)
    async with client:
        tools = {one.name for one in (await client.list_tools()).tools}
        assert {"box__add", "box__muse", "mail__send"} <= tools
        assert text_of(await client.call_tool("box__add", {"a": 2, "b": 3})) == "5"
        assert text_of(await client.call_tool("mail__send", {"to": "ann", "body": "hi"})) == "sent to ann"
        assert text_of(await client.call_tool("box__paint", {})) == "painted blue"
        assert text_of(await client.call_tool("box__muse", {"topic": "tea"})).endswith("<Say something about tea>")
        assert text_of(await client.call_tool("box__slow", {"steps": 2}, progress_callback=progressed)) == "done"
        assert [one.name for one in (await client.list_prompts()).prompts] == ["box__greet"]
        assert (await client.get_prompt("box__greet", {"name": "Ann"})).messages[0].content.text == "Please greet Ann."
        await client.list_resources()
        await client.list_resource_templates()
        assert (await client.read_resource("note://today")).contents[0].text == "Buy milk."
        assert (await client.read_resource("mail://inbox/7")).contents[0].text == "Mail 7"
        with pytest.raises(Exception, match="no such tool"):
            await client.call_tool("other__add", {})
    assert progress == [1, 2]
    assert {"box/slow", "mail/send"} <= {one.tool for one in served.recorder.records if one.method == "tools/call"}
    if era == "legacy":
        assert served.gateway.endpoints["box"].server.processes <= 1


@ERAS
async def test_attacks_are_stopped_as_on_one_server(both, era):
    served = await both()
    async with Client(f"{served.url}/mcp", mode=era) as client:
        await client.list_tools()
        bad = await client.call_tool("box__fetch_page", {"name": "poisoned"})
        assert bad.is_error and INJECTION not in text_of(bad)
        await client.call_tool("mail__send", {"to": "eve", "body": f"key {SECRET}"})
        assert SECRET not in served.mail.sent[-1][1]


async def test_a_value_masked_by_one_server_is_restored_for_another(both):
    served = await both(pack={"detectors": {"leaks": {"action": {"input": "mask", "output": "flag"}}}})
    async with Client(f"{served.url}/mcp", mode="legacy") as client:
        masked = text_of(await client.call_tool("box__lookup", {"name": "Ann"}))
        assert SECRET not in masked
        await client.call_tool("mail__send", {"to": "ann", "body": masked})
    assert served.mail.sent == [("ann", f"Ann: token {SECRET}")]


@ERAS
async def test_a_key_sees_and_calls_only_its_tools(both, era):
    served = await both()
    ask = served.directory.identify

    def restricted(caller, exchange) -> Identity:
        return msgspec.structs.replace(ask(caller, exchange), tools=frozenset({"box/add", "mail/*"}))

    served.directory.identify = restricted
    async with Client(f"{served.url}/mcp", mode=era) as client:
        assert {one.name for one in (await client.list_tools()).tools} == {"box__add", "mail__send"}
        assert (await client.call_tool("box__environment", {})).is_error
        assert text_of(await client.call_tool("box__add", {"a": 1, "b": 1})) == "2"
    async with Client(f"{served.url}/mcp/box", mode=era) as client:
        assert {one.name for one in (await client.list_tools()).tools} == {"add"}
        assert (await client.call_tool("environment", {})).is_error


async def test_one_dead_server_does_not_hide_the_others(serve, host):
    url = await host(mail().streamable_http_app()) + "/mcp"
    servers = {"mail": {"url": url}, "dead": {"url": "http://127.0.0.1:9/mcp"}, "gone": {"command": "no-such-program"}}
    served = await serve({"servers": servers})
    async with Client(f"{served.url}/mcp") as client:
        assert [one.name for one in (await client.list_tools()).tools] == ["mail__send"]
        assert (await client.call_tool("dead__x", {})).is_error
        assert text_of(await client.call_tool("mail__send", {"to": "a", "body": "b"})) == "sent to a"


async def test_a_server_may_announce_and_ask_through_the_shared_stream(serve, host):
    heard: list[str] = []
    server = MCPServer("own", log_level="ERROR")

    @server.tool()
    async def announce(ctx: Context) -> str:
        """Says that the tools changed."""
        await ctx.session.send_tool_list_changed()
        return "announced"

    served = await serve({"servers": {"own": {"url": await host(server.streamable_http_app()) + "/mcp"}}})
    arrived = asyncio.Event()

    async def handler(message) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            heard.append(message.method)
            arrived.set()

    async with Client(f"{served.url}/mcp", mode="legacy", message_handler=handler) as client:
        await client.list_tools()
        while not any(one.method == "listen" for one in served.recorder.records) and not heard:
            assert not (await client.call_tool("own__announce", {})).is_error
            try:
                async with asyncio.timeout(0.5):
                    await arrived.wait()
            except TimeoutError:
                continue
    assert heard


async def test_shadow_reports_and_passes(both):
    served = await both(mode=Mode.SHADOW)
    async with Client(f"{served.url}/mcp") as client:
        assert INJECTION in text_of(await client.call_tool("box__fetch_page", {"name": "poisoned"}))
    assert served.last("tools/call").intended == "block"


async def test_a_server_that_cannot_start_is_told(serve, stdio):
    served = await serve({"servers": {"box": stdio, "gone": {"command": "/nonexistent"}}})
    assert served.gateway.failing() == []
    async with Client(f"{served.url}/mcp", mode="legacy") as client:
        for _ in range(2):
            listed = await client.list_tools()
            assert {one.name.partition("__")[0] for one in listed.tools} == {"box"}
            assert (listed.meta or {})["sigmaguard/unavailable"] == ["gone"]
    assert served.gateway.failing() == ["gone"]


async def test_lists_of_servers_that_all_answer_say_nothing_of_missing_ones(serve, stdio):
    served = await serve({"servers": {"box": stdio}})
    async with Client(f"{served.url}/mcp", mode="legacy") as client:
        assert "sigmaguard/unavailable" not in ((await client.list_tools()).meta or {})
    assert served.gateway.failing() == []
