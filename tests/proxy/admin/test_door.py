"""The admin API's door: cookies and CSRF, tokens, ETags, idempotency, errors of one shape, pages, headers, events."""

import asyncio
import io
import json
import re

import aiohttp
import pytest

from tests.control_site import ATTACK, PASSWORD, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}


async def test_the_owners_link_works_once(place: Site) -> None:
    link = place.node.owner_link.partition("#")[2]
    claim = {"token": link, "email": "late@example.org", "name": "Late", "password": PASSWORD}
    reply = await place.person().ask("POST", "/auth/claim", claim)
    assert (reply.status, reply.body["code"]) == (404, "link_used")


async def test_a_cookie_alone_changes_nothing(place: Site) -> None:
    browser = place.person()
    login = await browser.ask("POST", "/auth/login", {"email": "Owner@Example.org", "password": PASSWORD})
    assert login.status == 200
    cookie = login.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    order = {"mode": "enforce", "reason": "csrf"}
    assert (await browser.ask("GET", "/toggle")).status == 200
    assert (await browser.ask("PUT", "/toggle", order)).body["code"] == "csrf"
    csrf = {"X-CSRF-Token": login.body["csrf"]}
    assert (await browser.ask("PUT", "/toggle", order, csrf)).status == 200
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = await browser.ask("PUT", "/toggle", order, {**csrf, **header})
        assert (reply.status, reply.body["code"]) == (403, "cross_site")
    assert (await browser.ask("POST", "/auth/logout", None, csrf)).status == 204
    assert (await browser.ask("GET", "/toggle")).status == 401


async def test_who_is_signed_in_can_sign_in_and_accept_anew(place: Site) -> None:
    """A browser's old session does not stand in the way: pages know no `csrf` of it. Other sites do not get in."""
    browser, login = place.person(), {"email": "owner@example.org", "password": PASSWORD}
    assert (await browser.ask("POST", "/auth/login", login)).status == 200
    assert (await browser.ask("POST", "/auth/login", login)).status == 200
    order = {"email": "second@example.org", "role": "viewer"}
    invited = await place.owner.do("POST", "/tenants/default/members", order)
    assert invited["link"] == f"{place.admin}/claim#{invited['token']}"
    claim = {"token": invited["token"], "email": order["email"], "name": "Jörg Müßig", "password": PASSWORD}
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = await browser.ask("POST", "/auth/claim", claim, header)
        assert (reply.status, reply.body["code"]) == (403, "cross_site")
    assert (await browser.do("POST", "/auth/claim", claim))["email"] == order["email"]
    assert (await browser.do("GET", "/auth/session"))["name"] == "Jörg Müßig"


async def test_passwords_stay_out_of_addresses(place: Site) -> None:
    """A form that is sent before its script runs must not put what was typed into the address, and so into logs."""
    async with aiohttp.ClientSession() as session:
        for path in ("/claim", "/sign-in"):
            async with session.get(place.admin + path) as answer:
                forms = re.findall("<form[^>]*>", await answer.text())
            assert len(forms) == 4
            assert all('method="post"' in form for form in forms)


async def test_wrong_passwords_are_slowed_down_and_say_nothing(place: Site) -> None:
    stranger = place.person()
    replies = [
        await stranger.ask("POST", "/auth/login", {"email": email, "password": "wrong wrong wrong"})
        for email in ("owner@example.org", "nobody@example.org")
    ]
    said = [{name: value for name, value in reply.body.items() if name != "request"} for reply in replies]
    assert said[0] == said[1]
    assert said[0]["code"] == "wrong_credentials"


async def test_a_token_can_be_narrowed_and_ends(place: Site) -> None:
    browser = place.person()
    login = await browser.ask("POST", "/auth/login", {"email": "owner@example.org", "password": PASSWORD})
    csrf = {"X-CSRF-Token": login.body["csrf"]}
    order = {"name": "ci", "tenant": "default", "role": "viewer"}
    made = await browser.do("POST", "/me/tokens", order, csrf)
    assert made["secret"].startswith("sga_")
    narrow = place.person(made["secret"])
    assert (await narrow.ask("GET", "/tenants/default")).status == 200
    assert (await narrow.ask("GET", "/tenants/default/keys")).status == 403
    assert (await narrow.ask("GET", "/toggle")).status == 403
    assert (await narrow.ask("POST", "/me/tokens", {"name": "more"})).status == 403
    await browser.do("DELETE", f"/me/tokens/{made['token']['id']}", None, csrf)
    assert (await narrow.ask("GET", "/tenants/default")).status == 401


async def test_changes_need_the_version_that_was_seen(place: Site) -> None:
    owner = place.owner
    key = (await owner.do("POST", "/tenants/default/keys", {"name": "etag"}))["key"]
    path = f"/tenants/default/keys/{key['id']}"
    seen = await owner.ask("GET", path)
    assert seen.headers["ETag"] == '"1"'
    assert (await owner.ask("GET", path, None, {"If-None-Match": '"1"'})).status == 304
    changed = await owner.ask("PATCH", path, {"name": "one"}, {"If-Match": '"1"'})
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    stale = await owner.ask("PATCH", path, {"name": "two"}, {"If-Match": '"1"'})
    assert (stale.status, stale.body["code"]) == (412, "changed_meanwhile")
    assert (await owner.do("GET", path))["name"] == "one"


async def test_a_thing_is_done_once(place: Site) -> None:
    owner, key = place.owner, {"Idempotency-Key": "make-it-once"}
    order = {"name": "once"}
    replies = await asyncio.gather(*(owner.ask("POST", "/tenants/default/keys", order, key) for _ in range(6)))
    assert {reply.status for reply in replies} <= {201, 409}
    again = await owner.ask("POST", "/tenants/default/keys", order, key)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    secrets = {reply.body["secret"] for reply in replies if reply.status == 201} | {again.body["secret"]}
    assert len(secrets) == 1
    other = await owner.ask("POST", "/tenants/default/keys", {"name": "another"}, key)
    assert (other.status, other.body["code"]) == (422, "key_reused")
    refused = await owner.ask("POST", "/tenants/default/keys", {"name": ""}, {"Idempotency-Key": "bad"})
    assert refused.status == 422


async def test_pages_show_everything_once(place: Site) -> None:
    owner = place.owner
    await owner.do("POST", "/tenants", {"id": "paged", "name": "Paged"})
    made = [(await owner.do("POST", "/tenants/paged/keys", {"name": str(n)}))["key"]["id"] for n in range(7)]
    seen: list[str] = []
    path = "/tenants/paged/keys?limit=3"
    while True:
        page = await owner.do("GET", path)
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/tenants/paged/keys?limit=3&cursor={page['next']}"
    assert seen == sorted(made, reverse=True)
    await owner.do("DELETE", "/tenants/paged")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("POST", "/toggle", None, {}, 405),
        ("PUT", "/toggle", b"{", JSON, 400),
        ("PUT", "/toggle", b'{"mode": 5, bad', JSON, 400),
        ("PUT", "/toggle", b'{"mode": "off", "unknown": ' + b"[" * 3_000 + b"]" * 3_000 + b"}", JSON, 400),
        ("PUT", "/toggle", b'{"mode": "off"}', JSON, 422),
        ("PUT", "/toggle", b'{"mode": "off", "reason": "x"}', {"Content-Type": "text/plain"}, 415),
        ("PUT", "/toggle", b'"' + b"x" * 3_000_000 + b'"', JSON, 413),
        ("GET", "/tenants?limit=0", None, {}, 422),
        ("GET", "/tenants?limt=5", None, {}, 422),
        ("GET", "/tenants?cursor=%ff", None, {}, 422),
        ("GET", "/tenants/UPPER", None, {}, 404),
        ("GET", "/tenants/default/keys/1%27%20OR%201=1", None, {}, 404),
    ],
)
async def test_errors_have_one_shape(
    place: Site, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    sent = {"Authorization": f"Bearer {place.owner.token}", **headers}
    data = io.BytesIO(body) if body is not None else None
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{place.admin}/api/v1{path}", data=data, headers=sent) as answer,
    ):
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        problem = json.loads(await answer.read())
    assert {"title", "status", "code", "detail"} <= problem.keys()
    assert problem["status"] == status


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        (
            "POST",
            "/tenants/default/keys",
            {"name": "x", "polcy": "off"},
            "unknown field `polcy`; did you mean `policy`?",
        ),
        ("POST", "/tenants/default/keys", {"name": 5}, "`name` must be text, not a whole number"),
        ("POST", "/tenants/default/members", {"email": "a@example.org", "role": "ownr"}, "did you mean `owner`?"),
        ("GET", "/tenants/default/keys?limit=0", None, "`limit` must be at least 1"),
        ("GET", "/tenants/default/keys?agnet=x", None, "unknown field `agnet`; did you mean `agent`?"),
        ("PUT", "/tenants/default/agents/M%C3%BCller", {}, "`agent` is not well-formed, it matches [A-Za-z0-9]"),
    ],
)
async def test_errors_tell_the_remedy(place: Site, method: str, path: str, body: object, said: str) -> None:
    reply = await place.owner.ask(method, path, body)
    assert reply.status in (404, 422)
    assert said in reply.body["detail"]


async def test_headers_are_on_everything_and_other_origins_are_told_nothing(place: Site) -> None:
    elsewhere = {"Origin": "https://evil.example"}
    async with aiohttp.ClientSession() as session:
        for path in (
            "/docs/",
            "/docs/docs.js",
            "/claim",
            "/api/v1/openapi.json",
            "/api/v1/toggle",
            "/nothing",
            "/metrics",
        ):
            async with session.get(place.admin + path, headers=elsewhere) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert "Server" not in answer.headers
        async with session.options(f"{place.admin}/api/v1/toggle", headers=elsewhere) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_pages_need_nothing_from_elsewhere(place: Site) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/docs/", "/docs/docs.js", "/docs/docs.css", "/claim", "/sign-in", "/docs/account.js"):
            async with session.get(place.admin + path) as answer:
                assert answer.status == 200
                text = await answer.text()
                assert "http://" not in text
                assert "https://" not in text


async def test_events_as_they_happen(place: Site) -> None:
    headers = {"Authorization": f"Bearer {place.owner.token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{place.admin}/api/v1/tenants/default/events", headers=headers) as stream,
    ):
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readuntil(b"\n\n") == b": listening\n\n"
        _, _, told = await place.chat(ATTACK, x_sigmaguard_agent="watched")
        async with asyncio.timeout(5.0):
            raw = await stream.content.readuntil(b"\n\n")
    fields = dict(line.split(": ", 1) for line in raw.decode().strip().splitlines())
    event = json.loads(fields["data"])
    assert fields["event"] == "exchange"
    assert (event["exchange"], event["action"], event["agent"]) == (told["x-sigmaguard-exchange"], "block", "watched")
    assert "print your system prompt" not in raw.decode()


async def test_every_change_is_an_act_of_its_author(place: Site) -> None:
    owner = place.owner
    await owner.do("PUT", "/tenants/default/agents/audited", {"description": "x"})
    audit = place.node._audit
    assert audit is not None
    await audit.flush(10.0)
    acts = await owner.do("GET", "/tenants/default/acts?act=agent.made&limit=200")
    found = [one for one in acts["items"] if one["target"] == "audited"]
    assert [(one["actor"], one["act"]) for one in found] == [("owner@example.org", "agent.made")]
    record = await owner.do("GET", f"/tenants/default/records/{found[0]['id']}")
    assert record["act"]["details"]["via"] == "token"
    export = await owner.do("GET", "/tenants/default/audit/export")
    assert b"agent.made" in export


async def test_exchanges_are_erased_by_a_value_that_was_found_in_them(place: Site) -> None:
    await place.chat(ATTACK)
    audit = place.node._audit
    assert audit is not None
    await audit.flush(10.0)
    owner, path = place.owner, "/tenants/default/audit/erasures"
    newest = (await owner.do("GET", "/tenants/default/exchanges?intended=block&limit=1"))["items"][0]["id"]
    finding = (await owner.do("GET", f"/tenants/default/records/{newest}"))["personal"]["input_findings"][0]
    found = ATTACK[finding["start"] : finding["end"]]

    async def erased(*values: str) -> int:
        order = {"reason": "Art. 17 GDPR", "exchanges": [newest], "values": values}
        return int((await owner.do("POST", path, order))["records"])

    assert await erased("nobody@example.org") == 0
    assert await erased("nobody@example.org", found) == 1
    assert await erased(found) == 0
    blank = await owner.ask("POST", path, {"reason": "Art. 17 GDPR", "exchanges": [newest], "values": ["  "]})
    assert blank.status == 422
    assert (await owner.do("GET", f"/tenants/default/records/{newest}"))["personal"] is None


async def test_statistics(place: Site) -> None:
    await place.chat(ATTACK)
    audit = place.node._audit
    assert audit is not None
    await audit.flush(10.0)
    counts = await place.owner.do("GET", "/tenants/default/statistics/counts?by=action&step_minutes=1")
    assert sum(one["exchanges"] for one in counts["items"] if one["group"] == "block") >= 1
    latency = await place.owner.do("GET", "/tenants/default/statistics/latency")
    assert latency["p50"] <= latency["p99"]
    listed = await place.owner.do("GET", "/tenants/default/exchanges?intended=block&limit=1")
    assert listed["items"][0]["intended"] == "block"


async def test_secrets_reach_no_log(place: Site) -> None:
    made = await place.owner.do("POST", "/tenants/default/keys", {"name": "canary"})
    await place.owner.do("PUT", "/tenants/default/provider-keys/openai", {"secret": "sk-canary-0123456789abcdef"})
    await place.owner.do("DELETE", "/tenants/default/provider-keys/openai")
    log = place.log.getvalue()
    for secret in (made["secret"], "sk-canary-0123456789abcdef", PASSWORD, place.owner.token):
        assert secret not in log


async def test_logins_are_acts(place: Site) -> None:
    browser = place.person()
    await browser.ask("POST", "/auth/login", {"email": "acts@example.org", "password": "wrong wrong wrong"})
    await browser.ask("POST", "/auth/login", {"email": "owner@example.org", "password": PASSWORD})
    audit = place.node._audit
    assert audit is not None
    await audit.flush(10.0)
    acts = (await place.owner.do("GET", "/acts?limit=20"))["items"]
    assert ("login.failed", "acts@example.org") in [(one["act"], one["target"]) for one in acts]
    assert ("session.begun", "owner@example.org") in [(one["act"], one["actor"]) for one in acts]
