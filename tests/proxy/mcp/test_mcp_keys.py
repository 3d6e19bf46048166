"""What stands in the keys of objects, and in answers to what a server asked back: inspected, masked and restored."""

from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import ListRoots, Resolve

from sigmaguard.wire import pointer
from tests.proxy.mcp.test_mcp_sdk import text_of

pytestmark = [pytest.mark.asyncio]
MAIL = "anna.schmidt@example.org"
PII = {"detectors": {"pii": {"action": {"input": "mask", "output": "flag"}, "threshold": 0.5}}}
ROOT = "file:///home/project"


async def ask_roots() -> ListRoots:
    """Asks the client for its folders."""
    return ListRoots()


def server() -> tuple[MCPServer, list[dict[str, Any]]]:
    """A server that answers under the keys it was given, and tells what it got."""
    made, got = MCPServer("keys", log_level="ERROR"), list[dict[str, Any]]()

    @made.tool()
    def count() -> dict[str, int]:
        """Orders by customer."""
        return {MAIL: 3, "other": 1}

    @made.tool()
    def note(orders: dict[str, int]) -> str:
        """Takes orders by customer."""
        got.append(orders)
        return "noted"

    @made.tool()
    async def where(roots: Annotated[types.ListRootsResult, Resolve(ask_roots)]) -> str:
        """Tells the client's folders."""
        return ", ".join(str(one.uri) for one in roots.roots)

    return made, got


async def roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri=ROOT, name="project")])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_value_in_a_key_is_masked_on_the_way_in_and_restored_on_the_way_back(serve, host, mode):
    made, got = server()
    url = await host(made.streamable_http_app()) + "/mcp"
    served = await serve({"servers": {"box": {"url": url}}}, pack=PII)
    async with Client(f"{served.url}/mcp/box", mode=mode) as client:
        result = await client.call_tool("count", {})
        assert MAIL not in repr(result)
        assert set((result.structured_content or {}).values()) == {3, 1}
        assert not (await client.call_tool("note", {"orders": result.structured_content})).is_error
    # without a session there is nobody to remember for: what was masked stays masked
    assert got == [{MAIL if mode == "legacy" else "<EMAIL_1>": 3, "other": 1}]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_a_client_answers_is_judged_alike_in_both_eras(serve, host, mode):
    """A root is a `file:` URL by definition: no address that a tool is about to open."""
    made, _ = server()
    url = await host(made.streamable_http_app()) + "/mcp"
    served = await serve({"servers": {"box": {"url": url}}}, pack={"detectors": {"urls": {"action": "mask"}}})
    async with Client(f"{served.url}/mcp/box", mode=mode, list_roots_callback=roots) as client:
        assert text_of(await client.call_tool("where", {})) == ROOT


@pytest.mark.parametrize("key", ["a/b", "a~b", "plain"])
async def test_a_key_is_read_and_written_by_its_pointer(key):
    place = f"/x/{pointer.escape(key)}{pointer.KEY}"
    body = {"x": {key: 1, "z": 2}}
    assert pointer.get(body, place) == key
    pointer.put(body, place, "new")
    assert body == {"x": {"new": 1, "z": 2}} and list(body["x"]) == ["new", "z"]
