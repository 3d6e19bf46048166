"""A key for some endpoints at the tools' doors: tool servers and HTTP tools are endpoints like any other."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sigmaguard.model import Mode
from tests.control_site import site

HEADERS = {"Accept": "application/json, text/event-stream"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OFF])
async def test_a_key_for_chat_reaches_no_tool(tmp_path: Path, mode: Mode) -> None:
    closed = "http://127.0.0.1:9"
    tools: dict[str, Any] = {
        "mcp": {"servers": {"box": {"url": closed}}},
        "egress": {"tools": {"crm": {"url": closed, "networks": ["127.0.0.0/8"]}}},
    }
    async with site(tmp_path / "data", mode=mode, **tools) as place:
        owner = await place.claim_owner()
        base = f"http://127.0.0.1:{place.node.port}"

        async def code(key: str, path: str) -> str:
            """What refuses a call: nothing listens behind the tools, so who gets through finds them unreachable."""
            method, body = ("GET", None) if path.startswith("/egress") else ("POST", HELLO)
            headers = {**HEADERS, "Authorization": f"Bearer {key}"}
            async with aiohttp.request(method, base + path, json=body, headers=headers) as answer:
                error = (await answer.json()).get("error", {})
                return str(error.get("code") if path.startswith("/egress") else error.get("data", {}).get("code", ""))

        paths = ("/mcp", "/mcp/box", "/egress/crm/x")
        for endpoints, through in (
            (["/v1/chat/completions"], ()),
            (["/mcp/box"], ("/mcp/box",)),
            (["/mcp", "/egress/crm"], ("/mcp", "/egress/crm/x")),
            ([], paths),
        ):
            order = {"name": "bot", "endpoints": endpoints}
            key = (await owner.do("POST", "/tenants/default/keys", order))["secret"]
            await place.in_force()
            for path in paths:
                assert (await code(key, path) == "endpoint_not_allowed") is (path not in through), (endpoints, path)
            status, body, _ = await place.chat(key=key)
            assert (status == 200) is (endpoints in ([], ["/v1/chat/completions"])), body
