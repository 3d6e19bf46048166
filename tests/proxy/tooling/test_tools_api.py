"""Approvals and tool definitions through the admin API of a whole node, and between worker and supervisor."""

import asyncio

import msgspec
from mcp import Client
from mcp.server.mcpserver import MCPServer

from sigmaguard.model import Subject
from sigmaguard_proxy.tooling.approvals import Approvals, State, pending_call
from sigmaguard_proxy.tooling.desk import ApprovalDesk, notice_of, obey
from tests.control_site import site
from tests.proxy.mcp.test_mcp_sdk import text_of
from tests.proxy.mcp.toolbox import INJECTION

POLICY = """
name: careful
detectors:
  phrases: {action: block, threshold: 0.7, directions: [input]}
tools:
  sensitive: ["send_*"]
  tainted: approve
  approval_s: 20
"""


def server_with(description: str) -> MCPServer:
    server = MCPServer("box", log_level="ERROR")
    server.add_tool(lambda: "Opening hours: 9 to 5.", name="read_page", description=description)
    server.add_tool(lambda to: f"sent to {to}", name="send_mail", description="Sends a mail.")
    return server


async def waiting(owner) -> dict:
    """The call that waits, once one does."""
    while True:
        listed = await owner.do("GET", "/tenants/default/approvals")
        found = [one for one in listed["items"] if one["state"] == "waiting"]
        if found:
            return found[0]
        await asyncio.sleep(0.02)


async def test_a_person_decides_through_the_admin_api(tmp_path, host):
    policy = tmp_path / "careful.yaml"
    policy.write_text(POLICY)
    url = await host(server_with("Reads a page.").streamable_http_app()) + "/mcp"
    settings = {"policy": str(policy), "mcp": {"servers": {"box": {"url": url}}}}
    async with site(tmp_path / "data", **settings) as place:
        owner = await place.claim_owner()
        viewer = await place.member("viewer")
        async with Client(f"http://127.0.0.1:{place.node.port}/mcp/box") as client:
            await client.list_tools()
            assert text_of(await client.call_tool("send_mail", {"to": "ann"})) == "sent to ann", "nothing untrusted yet"
            await client.call_tool("read_page", {})
            for decision in ("grant", "deny"):
                calling = asyncio.ensure_future(client.call_tool("send_mail", {"to": "ann"}))
                pending = await waiting(owner)
                assert (pending["tool"], pending["rule"]) == ("send_mail", "tool.tainted")
                assert pending["arguments"] == {"to": "ann"}
                seen = (await viewer.do("GET", "/tenants/default/approvals"))["items"]
                assert all(one["arguments"] is None for one in seen), "arguments are for who may decide"
                path = f"/tenants/default/approvals/{pending['id']}/decision"
                order = {"decision": decision, "reason": "as the user asked"}
                assert (await viewer.ask("POST", path, order)).status == 403
                decided = await owner.do("POST", path, order)
                assert decided["state"] == {"grant": "granted", "deny": "denied"}[decision]
                assert (await owner.ask("POST", path, order)).status in (404, 409)
                result = await calling
                assert result.is_error is (decision == "deny")
        wanted = {"approval.granted", "approval.denied"}
        while True:  # the audit log reaches its table a moment after it is written
            acts = await owner.do("GET", "/tenants/default/acts")
            if wanted <= {one["act"] for one in acts["items"]}:
                break
            await asyncio.sleep(0.05)
        assert (await owner.ask("POST", "/tenants/default/approvals/apr_x/decision", order)).status == 404


async def test_definitions_are_looked_at_through_the_admin_api(tmp_path, host):
    policy = tmp_path / "careful.yaml"
    policy.write_text(POLICY)
    url = await host(server_with(f"Reads a page. {INJECTION}").streamable_http_app()) + "/mcp"
    settings = {"policy": str(policy), "mcp": {"servers": {"box": {"url": url}}}}
    async with site(tmp_path / "data", **settings) as place:
        owner = await place.claim_owner()
        address = f"http://127.0.0.1:{place.node.port}/mcp/box"
        async with Client(address) as client:
            assert {one.name for one in (await client.list_tools()).tools} == {"send_mail"}
        first, second = (await owner.do("GET", "/tool-definitions"))["items"]
        assert first["tool"] == "read_page" and first["held"] and INJECTION in first["held_description"]
        assert second["tool"] == "send_mail" and second["held"] == [] and second["pinned_digest"]
        order = {"server": "box", "tool": "read_page", "decision": "approve", "reason": "it is a quotation"}
        approved = await owner.do("POST", "/tool-definitions", order)
        assert approved["held"] == [] and approved["pinned_digest"] == first["held_digest"]
        assert (await owner.ask("POST", "/tool-definitions", order)).status == 404
        async with Client(address) as client:
            assert {one.name for one in (await client.list_tools()).tools} == {"read_page", "send_mail"}


async def test_a_call_waits_in_one_worker_and_is_decided_in_the_supervisor():
    workers = [Approvals(), Approvals()]
    desk = ApprovalDesk(None, lambda order: [obey(one, order) for one in workers])
    for one in workers:
        one.on_change = lambda call: desk.receive(notice_of(call))
    assert not desk.receive(b'{"type": "exchange"}')
    for grant, wanted in ((True, State.GRANTED), (False, State.DENIED)):
        call = pending_call(
            "exc_1", Subject(tenant="a"), "box", "send", "tool.x", arguments={"to": "ann"}, timeout_s=5.0
        )
        asking = asyncio.ensure_future(workers[1].ask(call, 5.0))
        await asyncio.sleep(0)
        [seen] = [one for one in desk.list("a") if one.state is State.WAITING]
        assert seen.arguments == {"to": "ann"} and desk.list("b") == []
        assert desk.decide(seen, grant=grant, by="owner")
        assert await asking is wanted
        settled = desk.find("a", call.id)
        assert settled is not None and settled.state is wanted and settled.by == "owner" and settled.arguments is None
        assert not desk.decide(settled, grant=True, by="too late")


async def test_a_call_of_a_worker_that_was_killed_does_not_wait_for_ever():
    desk = ApprovalDesk(None, lambda order: None)
    call = pending_call("exc_1", Subject(), "box", "send", "tool.x", arguments={"to": "ann"}, timeout_s=5.0)
    desk.receive(notice_of(msgspec.structs.replace(call, expires_at=1.0)))
    [seen] = desk.list("default")
    assert seen.state is State.EXPIRED and seen.arguments is None


async def test_more_calls_than_may_wait_are_refused_and_leaving_ends_the_wait():
    approvals = Approvals()
    call = pending_call("exc_1", Subject(), "", "send", "tool.x", arguments={}, timeout_s=5.0)
    asking = [asyncio.ensure_future(approvals.ask(call, 5.0)) for _ in range(500)]
    await asyncio.sleep(0)
    assert await approvals.ask(call, 5.0) is State.DENIED
    assert len({one.id for one in approvals.list()}) == 500, "calls of one answer have ids of their own"
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert {one.state for one in approvals.list()} == {State.ABANDONED}
