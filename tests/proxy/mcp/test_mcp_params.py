"""`Mcp-Param-*` headers that a program's tools want (SEP-2243): the gateway learns which and refuses calls without."""

import json
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, validate_mcp_param_headers
from mcp.shared.inbound import x_mcp_header_map as header_map
from multidict import CIMultiDict

from sigmaguard.model import Mode
from sigmaguard_proxy.mcp.params import ToolParams, disagreement, params_of
from tests.proxy.mcp.test_mcp_limits import http, posted
from tests.proxy.mcp.test_mcp_modern_stdio import HEADERS, META, body, error_of
from tests.proxy.mcp.test_mcp_sdk import text_of

__all__ = ["http"]
ROUTER = {"command": sys.executable, "args": [str(Path(__file__).with_name("router.py"))]}
MISMATCH = -32020
PLACE = {"region": "eu"}


async def call(
    http, served, arguments: dict, tool: str = "route", path: str = "/mcp/box", **headers
) -> tuple[int, dict]:
    sent = body("tools/call", META, name=tool, arguments=arguments)
    named = {f"Mcp-Param-{name}": value for name, value in headers.items()}
    status, _, answer = await posted(http, served, sent, path, **{**HEADERS, "Mcp-Name": tool, **named})
    if status != 200:
        return status, error_of(answer)
    data = answer.partition(b"data: ")[2] or answer
    return status, json.loads(orjson.loads(data)["result"]["content"][0]["text"])


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_a_call_says_in_its_headers_what_the_tool_wants(serve, http, mode):
    served = await serve({"servers": {"box": ROUTER}}, mode=mode)
    status, said = await call(http, served, {**PLACE, "query": "x"})
    assert (status, said["code"]) == (400, MISMATCH)
    assert said["message"] == "Mcp-Param-Region is missing: it mirrors the argument `region`"
    assert served.last("tools/call").status == 400
    status, said = await call(http, served, {**PLACE, "query": "x"}, Region="eu")
    assert status == 200 and said == {"got": {**PLACE, "query": "x"}, "lists": 2}  # two pages, asked for once
    status, said = await call(http, served, PLACE, Region="=?base64?ZXU=?=")
    assert status == 200
    assert (await call(http, served, {"query": "x"}))[0] == 200
    assert (await call(http, served, {}))[0] == 200


async def test_a_federated_call_says_it_too(serve, http):
    served = await serve({"servers": {"box": ROUTER}})
    status, said = await call(http, served, PLACE, "box__route", "/mcp")
    assert (status, said["code"]) == (400, MISMATCH)
    assert said["message"] == "Mcp-Param-Region is missing: it mirrors the argument `region`"
    assert served.last("tools/call").status == 400
    assert (await call(http, served, PLACE, "box__route", "/mcp", Region="us"))[0] == 400
    status, said = await call(http, served, PLACE, "box__route", "/mcp", Region="eu")
    assert status == 200 and said["got"] == PLACE


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        (PLACE, {"Region": "us"}),
        (PLACE, {"Region": "=?base64?ZXU?="}),
        (PLACE, {"Region": "=?base64?Z!U=?="}),
        ({"query": "eu"}, {"Region": "eu"}),  # of another argument, which a proxy that routes by it would not see
        ({"region": None, "query": "eu"}, {"Region": "eu"}),
        ({"limits": {"most": 42}}, {}),
        ({"limits": {"most": 42}}, {"Most": "43"}),
        ({"limits": {"most": 42}}, {"Most": "42.5"}),
    ],
)
async def test_what_a_header_says_otherwise_is_refused(serve, http, arguments, headers):
    served = await serve({"servers": {"box": ROUTER}})
    status, said = await call(http, served, arguments, **headers)
    assert (status, said["code"]) == (400, MISMATCH)
    for most in ("42", "42.0"):
        assert (await call(http, served, {"limits": {"most": 42}}, Most=most))[0] == 200


async def test_a_header_sent_twice_is_refused(serve, http):
    served = await serve({"servers": {"box": ROUTER}})
    sent = body("tools/call", META, name="route", arguments=PLACE)
    headers = CIMultiDict({**HEADERS, "Mcp-Name": "route", "Accept": "application/json, text/event-stream"})
    headers.extend([("Mcp-Param-Region", "eu"), ("Mcp-Param-Region", "eu")])
    async with http.post(f"{served.url}/mcp/box", data=sent, headers=headers) as answer:
        assert answer.status == 400 and error_of(await answer.read())["code"] == MISMATCH


async def test_a_list_that_passes_by_is_learnt(serve, http):
    served = await serve({"servers": {"box": ROUTER}})
    asked = body("tools/list", META, cursor="more")
    status, _, answer = await posted(http, served, asked, **{**HEADERS, "Mcp-Method": "tools/list"})
    assert status == 200 and b"x-mcp-header" in answer
    assert (await call(http, served, PLACE))[0] == 400  # asked again before refusing: that is two lists more
    status, said = await call(http, served, PLACE, Region="eu")
    assert status == 200 and said["lists"] == 3


@pytest.mark.parametrize("tell", [True, False])
async def test_tools_that_change_are_asked_for_again(serve, http, tell, monkeypatch):
    """Told of it, the gateway forgets; not told, it asks once more before it refuses."""
    monkeypatch.setattr("sigmaguard_proxy.mcp.stdio_shared.ASKED_S", 0.0)
    served = await serve({"servers": {"box": ROUTER}})
    assert (await call(http, served, PLACE, Region="eu"))[0] == 200
    assert (await call(http, served, {"header": "Zone", "tell": tell}, "change"))[0] == 200
    assert (await call(http, served, PLACE, Zone="eu"))[0] == 200
    status, said = await call(http, served, PLACE)
    assert status == 400 and "Zone" in said["message"]


async def test_a_tool_nobody_lists_is_asked_for_once(serve, http):
    served = await serve({"servers": {"box": ROUTER}})
    for _ in range(3):
        status, said = await call(http, served, {"x": 1}, "unlisted")
        assert status == 200 and said["lists"] == 2


async def test_a_program_that_does_not_list_is_called_all_the_same(serve, http):
    mute = {**ROUTER, "args": [*ROUTER["args"], "mute"], "start_timeout_s": 3.0}
    served = await serve({"servers": {"box": mute}})
    for _ in range(2):
        status, said = await call(http, served, PLACE)
        assert status == 200 and said["lists"] == 1
    assert "tool_list_failed" in Path(served.plane.log._stream.name).read_text()


async def test_the_sdks_client_needs_to_know_nothing(serve):
    served = await serve({"servers": {"box": ROUTER}})
    async with Client(f"{served.url}/mcp/box") as client:
        first = await client.list_tools()
        await client.list_tools(cursor=first.next_cursor)
        answer = await client.call_tool("route", {"region": "Köln ", "limits": {"most": 7}})
    assert json.loads(text_of(answer))["got"]["region"] == "Köln "


# against the SDK's own reading of the same rules

KEYS = st.sampled_from(["a", "b", "x-mcp-header", "properties"])
TOKENS = st.sampled_from(["A", "a", "B", "no token", "", 3])
KINDS = st.sampled_from(["string", "integer", "boolean", "number", "object", ["string"], None])
LEAF = st.fixed_dictionaries(
    {}, optional={"type": KINDS, "x-mcp-header": TOKENS, "default": st.just({"x-mcp-header": 1})}
)
GOOD = st.builds(
    lambda kind, token: {"type": kind, "x-mcp-header": token},
    st.sampled_from(["string", "integer", "boolean"]),
    st.sampled_from(["A", "B", "C", "D"]),
)
SCHEMAS = st.recursive(
    LEAF | GOOD,
    lambda inner: st.builds(
        lambda own, more: {**own, **more},
        st.just({"type": "object"}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(KEYS, inner, max_size=3)},
            optional={
                "items": LEAF,
                "anyOf": st.lists(LEAF, max_size=2),
                "$defs": st.dictionaries(KEYS, LEAF, max_size=1),
            },
        ),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "x", " x", "ä", "1"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS, st.dictionaries(KEYS, VALUES, max_size=3), st.data())
def test_the_sdk_reads_schemas_and_headers_alike(schema, arguments, data):
    valid = find_invalid_x_mcp_header(schema) is None
    found = params_of(schema)
    expected = {path: f"Mcp-Param-{token}" for path, token in header_map(schema).items()} if valid else {}
    assert {one.path: one.header for one in found} == expected
    sent = mcp_param_headers(header_map(schema), arguments) if valid else {}
    assert disagreement(found, arguments, CIMultiDict(sent)) == ""  # what a client of the SDK sends, we accept
    for name in data.draw(st.lists(st.sampled_from(sorted({*sent, "Mcp-Param-A", "Mcp-Param-B"})), max_size=2)):
        if data.draw(st.booleans()):
            sent.pop(name, None)
        else:
            sent[name] = data.draw(st.sampled_from(["x", "1", "1.0", "-1", "true", "=?base64?eA==?=", "=?base64?eA?="]))
    theirs = validate_mcp_param_headers(schema, arguments, sent)
    assert bool(disagreement(found, arguments, CIMultiDict(sent))) == (theirs is not None)


def test_what_is_kept_is_bounded():
    known = ToolParams(limit=2)
    wanted = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    known.learn({"tools": [{"name": name, "inputSchema": wanted} for name in "abc"] + [None, {"name": 3}]})
    assert known.get("a") is None and known.get("b") and known.get("c")
    known.learn({"tools": "none"})
    known.learn(None)
    assert known.get("c")
    known.forget()
    assert known.get("c") is None
