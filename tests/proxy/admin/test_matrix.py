"""Every endpoint with every role, in one's own tenant and in a foreign one: the table of permissions, walked."""

import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from sigmaguard_proxy.control.permissions import ROLES as TABLE
from sigmaguard_proxy.control.permissions import Role
from tests.control_site import BLOCKING, ROLES, Person, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = {
    "user": "usr_" + "0" * 24,
    "key": "key_" + "0" * 24,
    "token": "tok_" + "0" * 24,
    "session": "ses_" + "0" * 24,
    "record": "exc_" + "0" * 32,
    "call": "exc_" + "0" * 32,
    "upstream": "openai",
    "agent": "nobody",
    "policy": "nothing",
    "number": "1",
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def filled(path: str, tenant: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: tenant if found[1] == "tenant" else IDS[found[1]], path)


async def status(place: Site, person: Person, method: str, path: str, operation: dict[str, Any]) -> int:
    """The status alone; endless answers are not read to their end."""
    headers = {"Authorization": f"Bearer {person.token}"} if person.token else {}
    body = {} if "requestBody" in operation else None
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, place.admin + path, json=body, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status


async def test_every_role_at_every_endpoint(place: Site) -> None:
    document = await place.owner.do("GET", "/openapi.json")
    await place.owner.do("POST", "/tenants", {"id": "foreign", "name": "Somebody else's"})
    people = {role: await place.member(role) for role in ROLES}
    nobody = place.person()
    wrong: list[str] = []
    walked = 0
    for method, path, operation in operations(document):
        scope, permission = operation["x-scope"], operation.get("x-permission")
        name = operation["operationId"]
        if scope == "public" or name in ("logout", "changePassword"):
            continue
        if await status(place, nobody, method, filled(path, "default"), operation) != 401:
            wrong.append(f"{name}: lets in nobody")
        for role, person in people.items():
            own = await status(place, person, method, filled(path, "default"), operation)
            may = scope == "self" or (scope == "tenant" and permission in {one.value for one in TABLE[Role(role)]})
            walked += 1
            if (own in (401, 403)) is may or own >= 500:
                wrong.append(f"{name} as {role}: {own}, {'may' if may else 'may not'}")
            if scope == "tenant":
                foreign = await status(place, person, method, filled(path, "foreign"), operation)
                missing = await status(place, person, method, filled(path, "no-such"), operation)
                if (foreign, missing) != (404, 404):
                    wrong.append(f"{name} as {role} in a foreign tenant: {foreign}, in none: {missing}")
        owner = await status(place, place.owner, method, filled(path, "no-such"), operation)
        if owner in (401, 403) or owner >= 500:
            wrong.append(f"{name} as owner of everything: {owner}")
    assert not wrong, "\n".join(wrong)
    assert walked > 300


async def test_foreign_ids_are_not_found_through_ones_own_tenant(place: Site) -> None:
    do = place.owner.do
    if (await place.owner.ask("GET", "/tenants/foreign")).status == 404:
        await do("POST", "/tenants", {"id": "foreign", "name": "Somebody else's"})
    key = (await do("POST", "/tenants/foreign/keys", {"name": "k"}))["key"]["id"]
    await do("PUT", "/tenants/foreign/provider-keys/openai", {"secret": "sk-foreign"})
    await do("PUT", "/tenants/foreign/agents/theirs", {})
    await do("POST", "/tenants/foreign/policies", {"name": "theirs", "pack": BLOCKING})
    member = await place.member("admin", "foreign")
    theirs = (await do("GET", "/tenants/foreign/members"))["items"]
    user = next(one["user"] for one in theirs if one["email"] == "admin.foreign@example.org")
    admin = place.owner  # even who may do everything finds only what is in the tenant named
    tries = [
        ("GET", f"keys/{key}", None),
        ("PATCH", f"keys/{key}", {"name": "mine"}),
        ("POST", f"keys/{key}/rotate", None),
        ("DELETE", f"keys/{key}", None),
        ("GET", "provider-keys/openai", None),
        ("DELETE", "provider-keys/openai", None),
        ("GET", "agents/theirs", None),
        ("DELETE", "agents/theirs", None),
        ("GET", "policies/theirs", None),
        ("POST", "policies/theirs/versions", {"pack": BLOCKING}),
        ("POST", "policies/theirs/versions/1/promote", {"reason": "x"}),
        ("GET", "policy-diff?before=theirs@1&after=basic", None),
        ("DELETE", "policies/theirs", None),
        ("PUT", f"members/{user}", {"role": "viewer"}),
        ("DELETE", f"members/{user}", None),
    ]
    for method, path, body in tries:
        reply = await admin.ask(method, f"/tenants/default/{path}", body)
        assert reply.status == 404, (method, path, reply.status, reply.body)
        assert "sk-foreign" not in str(reply.body)
    assert (await member.do("GET", f"/tenants/foreign/keys/{key}"))["revoked_at"] is None


async def test_nobody_hands_out_more_than_they_have(place: Site) -> None:
    if (await place.owner.ask("GET", "/tenants/second")).status == 404:
        await place.owner.do("POST", "/tenants", {"id": "second", "name": "Second"})
    admin = await place.member("admin", "second")
    order = {"email": "friend@example.org", "role": "owner"}
    assert (await admin.ask("POST", "/tenants/second/members", order)).status == 403
    owner = await place.member("owner", "second")
    members = (await admin.do("GET", "/tenants/second/members"))["items"]
    user = next(one["user"] for one in members if one["email"] == "owner.second@example.org")
    assert (await admin.ask("PUT", f"/tenants/second/members/{user}", {"role": "viewer"})).status == 403
    assert (await admin.ask("DELETE", f"/tenants/second/members/{user}")).status == 403
    assert (await owner.ask("DELETE", f"/tenants/second/members/{user}")).status == 204
    assert (await owner.ask("GET", "/tenants/second")).status in (401, 404)
    operators = (await place.owner.do("GET", "/members"))["items"]
    last = await place.owner.ask("DELETE", f"/members/{operators[0]['user']}")
    assert (last.status, last.body["detail"]) == (409, "the last owner stays: make another one first")
