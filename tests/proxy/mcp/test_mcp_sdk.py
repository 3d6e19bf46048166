"""The official SDK as client and server through the gateway: every kind of message, both eras, all transports."""

import asyncio

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.proxy.mcp.toolbox import toolbox

pytestmark = pytest.mark.asyncio
DEADLINE_S = 20


async def sampled(context, params) -> types.CreateMessageResult:
    text = params.messages[0].content.text
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(text=f"<{text}>"), model="m", stop_reason="endTurn"
    )


async def elicited(context, params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"colour": "blue"})


def text_of(result) -> str:
    return "".join(one.text for one in result.content if isinstance(one, types.TextContent))


async def exercise(target, mode) -> str:
    """Uses everything a client can; what a direct connection gives, the gateway must give too."""
    progress: list[tuple] = []

    async def progressed(done, total, message) -> None:
        progress.append((done, total, message))

    client = Client(target, mode=mode, sampling_callback=sampled, elicitation_callback=elicited)
    async with client:
        tools = await client.list_tools()
        assert {"add", "slow", "paint", "muse"} <= {one.name for one in tools.tools}
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert text_of(result) == "5" and not result.is_error
        assert text_of(await client.call_tool("slow", {"steps": 3}, progress_callback=progressed)) == "done"
        assert text_of(await client.call_tool("paint", {})) == "painted blue"
        assert text_of(await client.call_tool("muse", {"topic": "tea"})) == "the model says: <Say something about tea>"
        assert {str(one.uri) for one in (await client.list_resources()).resources} >= {"note://today"}
        read = await client.read_resource("note://today")
        assert read.contents[0].text == "Buy milk."
        assert [one.name for one in (await client.list_prompts()).prompts] == ["greet"]
        prompt = await client.get_prompt("greet", {"name": "Ann"})
        assert prompt.messages[0].content.text == "Please greet Ann."
        assert client.server_info is not None and client.server_info.name == "toolbox"
        assert client.instructions == "Use add for sums."
        assert [one[0] for one in progress] == [1, 2, 3]
        failed = await client.call_tool("add", {"a": 2})
        assert failed.is_error
        return client.protocol_version


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("behind", ["http", "stdio", "direct"])
async def test_everything_passes_both_eras(serve, host, stdio, behind, mode):
    server = {"url": await host(toolbox().streamable_http_app()) + "/mcp"} if behind != "stdio" else stdio
    served = await serve({"servers": {"box": server}})
    target = server["url"] if behind == "direct" else f"{served.url}/mcp/box"
    async with asyncio.timeout(DEADLINE_S):
        version = await exercise(target, mode)
    assert version == ("2026-07-28" if mode == "auto" else "2025-11-25")
    if behind != "direct":
        record = served.last("tools/call")
        assert (record.protocol, record.endpoint, record.upstream) == ("mcp", "/mcp/box", "box")
        assert record.tool.startswith("box/")


@pytest.mark.parametrize("behind", ["http", "stdio"])
async def test_the_older_sse_transport_reaches_every_server(serve, host, stdio, behind):
    server = {"url": await host(toolbox().streamable_http_app()) + "/mcp"} if behind == "http" else stdio
    served = await serve({"servers": {"box": server}})
    async with asyncio.timeout(DEADLINE_S):
        await exercise(sse_client(f"{served.url}/mcp/box/sse"), "legacy")
