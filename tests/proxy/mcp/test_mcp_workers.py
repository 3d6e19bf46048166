"""Several workers, one set of tool sessions: whichever worker a connection reaches, the session is there."""

import pytest
from mcp import Client
from mcp.client.sse import sse_client

from sigmaguard.model import Mode
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.settings import Settings
from tests.proxy.mcp.conftest import policy
from tests.proxy.mcp.test_mcp_sdk import exercise, text_of

pytestmark = [pytest.mark.asyncio]


@pytest.fixture
async def workers(tmp_path, stdio):
    """Two workers on one data folder; each has a port of its own, so that a test chooses."""
    recorders = [ListRecorder(), ListRecorder()]
    planes: list[DataPlane] = []
    for number in (0, 1):
        settings = Settings(
            listen="127.0.0.1:0",
            upstreams={"openai": "http://127.0.0.1:9"},
            data=str(tmp_path),
            workers=2,
            mcp={"servers": {"box": stdio}},
        )
        directory = FixedDirectory(policy(), Mode.ENFORCE)
        log = Log("test", (tmp_path / f"log{number}").open("a"))
        plane = DataPlane(settings, Plane(directory, NoLimits(), recorders[number], Healthy()), log=log, worker=number)
        await plane.start()
        planes.append(plane)
    yield planes, recorders
    for plane in reversed(planes):
        await plane.stop()
        plane.log._stream.close()


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_everything_passes_through_the_other_worker(workers, era):
    (_, other), (records, none) = workers
    await exercise(f"http://127.0.0.1:{other.port}/mcp/box", era)
    assert none.records == [], "an exchange is recorded once, where it is judged"
    assert {one.remote for one in records.records} == {"127.0.0.1"}


async def test_the_older_transport_and_the_shared_address_do_too(workers):
    (_, other), _ = workers
    await exercise(sse_client(f"http://127.0.0.1:{other.port}/mcp/box/sse"), "legacy")
    async with Client(f"http://127.0.0.1:{other.port}/mcp", mode="legacy") as client:
        assert text_of(await client.call_tool("box__add", {"a": 1, "b": 2})) == "3"


async def test_a_session_begun_at_one_worker_goes_on_at_the_other(workers):
    import aiohttp
    import orjson

    (keeper, other), _ = workers
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    head = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    async def post(plane: DataPlane, method: str, params: dict, number: int | None, **headers: str):
        body = {"jsonrpc": "2.0", "method": method, "params": params} | ({"id": number} if number else {})
        url = f"http://127.0.0.1:{plane.port}/mcp/box"
        async with http.post(url, data=orjson.dumps(body), headers={**head, **headers}) as answer:
            return answer, await answer.read()

    async with aiohttp.ClientSession() as http:
        answer, _ = await post(keeper, "initialize", hello, 1)
        session = {"Mcp-Session-Id": answer.headers["Mcp-Session-Id"]}
        await post(other, "notifications/initialized", {}, None, **session)
        for plane in (keeper, other):
            answer, body = await post(plane, "tools/call", {"name": "add", "arguments": {"a": 2, "b": 2}}, 2, **session)
            assert answer.status == 200 and b'"4"' in body
        await keeper.stop()
        answer, body = await post(other, "tools/list", {}, 3, **session)
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"


async def test_a_caller_cannot_claim_another_address(workers):
    import aiohttp

    (keeper, other), (records, _) = workers
    async with aiohttp.ClientSession() as http:
        for plane in (keeper, other):
            url = f"http://127.0.0.1:{plane.port}/mcp/box"
            async with http.post(url, data=b"{}", headers={"x-sigmaguard-remote": "10.9.9.9"}) as answer:
                assert answer.status == 400
    assert {one.remote for one in records.records} == {"127.0.0.1"}
