"""Programs behind stdio at 2026-07-28: what only an HTTP server sees, the gateway refuses for them."""

import orjson
import pytest

from tests.proxy.mcp.test_mcp_limits import JSON, http, posted

__all__ = ["http"]
pytestmark = [pytest.mark.asyncio]
OWN = "io.modelcontextprotocol/"
META = {OWN + "protocolVersion": "2026-07-28", OWN + "clientCapabilities": {}}
HEADERS = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "add"}
CALL = {"name": "add", "arguments": {"a": 1, "b": 2}}


def body(method: str = "tools/call", meta: dict | None = META, **params) -> bytes:
    given = {**(params or CALL), **({} if meta is None else {"_meta": meta})}
    return orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": given})


def error_of(answer: bytes) -> dict:
    return orjson.loads(answer)["error"]


async def test_a_proper_request_is_served(serve, stdio, http):
    served = await serve({"servers": {"box": stdio}})
    status, _, answer = await posted(http, served, body(), **HEADERS)
    assert status == 200 and b'"3"' in answer


@pytest.mark.parametrize(
    ("headers", "sent", "status", "code"),
    [
        ({"Mcp-Method": "tools/list"}, body(), 400, -32020),
        ({"Mcp-Method": "TOOLS/CALL"}, body(), 400, -32020),
        ({"Mcp-Method": ""}, body(), 400, -32020),
        ({"Mcp-Name": "slow"}, body(), 400, -32020),
        ({"Mcp-Name": "=?base64?c2xvdw==?="}, body(), 400, -32020),
        ({"Mcp-Protocol-Version": "2025-11-25"}, body(), 400, -32020),
        ({}, body(meta=None), 400, -32602),
        ({}, body(meta={OWN + "protocolVersion": "2026-07-28"}), 400, -32602),
        (
            {"Mcp-Protocol-Version": "2999-01-01"},
            body(meta={**META, OWN + "protocolVersion": "2999-01-01"}),
            400,
            -32022,
        ),
        ({"Mcp-Method": "ping"}, body("ping"), 404, -32601),
        ({"Mcp-Method": "no/such"}, body("no/such"), 404, -32601),
    ],
)
async def test_a_request_that_says_two_things_or_too_little_is_refused(serve, stdio, http, headers, sent, status, code):
    served = await serve({"servers": {"box": stdio}})
    got, _, answer = await posted(http, served, sent, **{**HEADERS, **headers})
    assert (got, error_of(answer)["code"]) == (status, code)
    assert orjson.loads(answer)["id"] == 7
    if code == -32022:
        assert error_of(answer)["data"] == {"supported": ["2026-07-28"], "requested": "2999-01-01"}


async def test_a_name_may_be_coded_and_padded(serve, stdio, http):
    served = await serve({"servers": {"box": stdio}})
    for name in ("=?base64?YWRk?=", " add "):
        status, _, answer = await posted(http, served, body(), **{**HEADERS, "Mcp-Name": name})
        assert status == 200 and b'"3"' in answer, name


async def test_a_header_nobody_needs_is_no_reason(serve, stdio, http):
    """Older revisions name no revision in their body and no method in their headers."""
    served = await serve({"servers": {"box": stdio}})
    status, _, answer = await posted(http, served, body("tools/call", None), **JSON)
    assert status == 400 and b"session" in answer.lower()
