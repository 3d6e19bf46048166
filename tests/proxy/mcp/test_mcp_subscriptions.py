"""`subscriptions/listen` over several servers: one stream, what was asked for, and nothing lost in a gap."""

import asyncio
import json

import msgspec
import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.subscriptions import PromptsListChanged, ResourceUpdated, ToolsListChanged

from sigmaguard_proxy.ports import Identity

pytestmark = [pytest.mark.asyncio]
INBOX = "mail://inbox"


def announcer(name: str) -> MCPServer:
    server = MCPServer(name, log_level="ERROR")

    @server.tool()
    async def announce(ctx: Context) -> str:
        """Says that everything changed, in both revisions' ways."""
        await ctx.notify_tools_changed()
        await ctx.notify_prompts_changed()
        await ctx.notify_resource_updated(f"{name}://inbox")
        return "announced"

    @server.resource(f"{name}://inbox")
    def inbox() -> str:
        """All mails."""
        return "none"

    return server


def with_handshake_only(app):
    """A server of an older revision: it does not know the stateless one."""

    async def wrapped(scope, receive, send) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"mcp-protocol-version") == b"2026-07-28":
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return wrapped


async def several(subscription, count: int) -> set:
    found = set()
    async with asyncio.timeout(20):
        while len(found) < count:
            found.add(await anext(subscription))
    return found


async def announced(client, tools, subscription, count: int) -> set:
    """What is heard of announcements made until all are: the servers may not be listened to yet."""
    heard = asyncio.ensure_future(several(subscription, count))
    while not heard.done():
        for tool in tools:
            await client.call_tool(tool, {})
        await asyncio.wait([heard], timeout=0.2)
    return heard.result()


async def test_changes_of_every_server_come_on_one_stream(serve, host):
    names = ("mail", "news")
    servers = {name: {"url": await host(announcer(name).streamable_http_app()) + "/mcp"} for name in names}
    served = await serve({"servers": servers})
    async with Client(f"{served.url}/mcp") as client:
        await client.list_resources()
        wanted = {"tools_list_changed": True, "resource_subscriptions": [INBOX, "news://inbox", "other://inbox"]}
        async with client.listen(**wanted) as subscription:
            assert subscription.honored.resource_subscriptions == [INBOX, "news://inbox"], "nobody offers the third"
            heard = await announced(client, [f"{name}__announce" for name in names], subscription, 3)
    assert heard == {ToolsListChanged(), ResourceUpdated(INBOX), ResourceUpdated("news://inbox")}


async def test_what_was_not_asked_for_is_not_told(serve, host):
    served = await serve({"servers": {"mail": {"url": await host(announcer("mail").streamable_http_app()) + "/mcp"}}})
    async with Client(f"{served.url}/mcp") as client, client.listen(prompts_list_changed=True) as subscription:
        assert await announced(client, ["mail__announce"], subscription, 1) == {PromptsListChanged()}
        assert await announced(client, ["mail__announce"], subscription, 1) == {PromptsListChanged()}


async def test_a_server_with_a_handshake_is_heard_too(serve, host):
    server = MCPServer("old", log_level="ERROR")

    @server.tool()
    async def announce(ctx: Context) -> str:
        """Says that the tools changed."""
        await ctx.session.send_tool_list_changed()
        return "announced"

    @server.resource("old://note")
    def note() -> str:
        """A note."""
        return "old news"

    url = await host(with_handshake_only(server.streamable_http_app())) + "/mcp"
    served = await serve({"servers": {"old": {"url": url}}})
    async with Client(f"{served.url}/mcp") as client, client.listen(tools_list_changed=True) as subscription:
        assert await announced(client, ["old__announce"], subscription, 1) == {ToolsListChanged()}
        await client.list_resources()
        assert (await client.read_resource("old://note")).contents[0].text == "old news"


async def test_what_a_gap_may_have_hidden_is_announced_after_it(serve, host):
    served = await serve({"servers": {"brief": {"url": await host(listens_once_and_again) + "/mcp"}}})
    async with Client(f"{served.url}/mcp") as client, client.listen(tools_list_changed=True) as subscription:
        assert await several(subscription, 1) == {ToolsListChanged()}


async def test_a_key_hears_of_its_own_servers_only(serve, host):
    names = ("mail", "news")
    servers = {name: {"url": await host(announcer(name).streamable_http_app()) + "/mcp"} for name in names}
    served = await serve({"servers": servers})
    ask = served.directory.identify

    def restricted(caller, exchange) -> Identity:
        return msgspec.structs.replace(ask(caller, exchange), tools=frozenset({"mail/*"}))

    served.directory.identify = restricted
    async with Client(f"{served.url}/mcp") as client:
        await client.list_resources()
        async with client.listen(resource_subscriptions=[INBOX, "news://inbox"]) as subscription:
            assert subscription.honored.resource_subscriptions == [INBOX]


async def listens_once_and_again(scope, receive, send) -> None:
    """A stateless server whose subscriptions end as soon as they were acknowledged."""
    if scope["type"] != "http":
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        return
    body = json.loads((await receive())["body"])
    number = body["id"]
    if body["method"] == "subscriptions/listen":
        told = {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}}}
        payload, kind = f"data: {json.dumps({'jsonrpc': '2.0', **told})}\n\n".encode(), b"text/event-stream"
    else:
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "tools": []}
        payload = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
        kind = b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": payload})
