"""Virtual keys through the admin API and at the data port: who gets in, with what, and how others are told."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.control_servers import until
from tests.control_site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDER = {"name": "bot"}


async def make(place: Site, **order: object) -> str:
    made = await place.owner.do("POST", "/tenants/default/keys", {**ORDER, **order})
    await place.in_force()
    return str(made["secret"])


async def test_the_life_of_a_key(place: Site) -> None:
    made = await place.owner.do("POST", "/tenants/default/keys", ORDER)
    secret, key = made["secret"], made["key"]
    assert secret.startswith("sg-")
    assert key["hint"] == f"...{secret[-4:]}"
    await place.in_force()
    assert (await place.chat(key=secret))[0] == 200
    listed = await place.owner.do("GET", "/tenants/default/keys")
    assert listed["items"][0] == key
    rotated = await place.owner.do("POST", f"/tenants/default/keys/{key['id']}/rotate")
    await place.in_force()
    assert (await place.chat(key=secret))[0] == 401
    assert (await place.chat(key=rotated["secret"]))[0] == 200
    revoked = await place.owner.do("DELETE", f"/tenants/default/keys/{key['id']}")
    assert revoked["revoked_at"] is not None
    await place.in_force()
    status, body, _ = await place.chat(key=rotated["secret"])
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    again = await place.owner.ask("DELETE", f"/tenants/default/keys/{key['id']}")
    assert again.status == 409


async def test_a_key_for_an_agent_without_settings_is_warned_of_with_the_nearest_name(place: Site) -> None:
    await place.owner.do("PUT", "/tenants/default/agents/support-bot", {})
    keys = "/tenants/default/keys"
    slip = await place.owner.do("POST", keys, {**ORDER, "agent": "suport-bot"})
    assert len(slip["warnings"]) == 1 and "did you mean `support-bot`?" in slip["warnings"][0]
    new = await place.owner.do("POST", keys, {**ORDER, "agent": "zzz"})
    assert "`zzz`" in new["warnings"][0] and "did you mean" not in new["warnings"][0]
    for fine in ({"agent": "support-bot"}, {}):
        assert (await place.owner.do("POST", keys, {**ORDER, **fine}))["warnings"] == []


async def test_a_name_of_blanks_is_no_name(place: Site) -> None:
    for name in ("", " ", "  ", "\t"):
        assert (await place.owner.ask("POST", "/tenants/default/keys", {"name": name})).status == 422, repr(name)
    assert (await place.owner.ask("POST", "/tenants/default/keys", {"name": " Jörg Müßig "})).status == 201


async def test_a_refused_call_is_recorded_as_refused_with_its_code_and_the_mode_in_force(place: Site) -> None:
    narrow = await make(place, endpoints=["/v1/embeddings"])
    for key, code in (("sg-nobody-knows-this-one", "invalid_api_key"), (narrow, "endpoint_not_allowed")):
        _, _, headers = await place.chat(key=key)
        assert headers["x-sigmaguard-verdict"] == "refuse"
        path = f"/tenants/default/records/{headers['x-sigmaguard-exchange']}"

        async def stored(path: str = path) -> bool:
            return (await place.owner.ask("GET", path)).status == 200

        async with asyncio.timeout(20.0):
            while not await stored():
                pass
        line = (await place.owner.do("GET", path))["line"]
        assert (line["action"], line["intended"], line["rule"]) == ("refuse", "refuse", f"fault.{code}")
        assert line["mode"] == "enforce"


async def test_a_virtual_key_never_leaves_and_the_providers_takes_its_place(place: Site) -> None:
    secret = await make(place)
    assert (await place.chat(key=secret))[0] == 200
    assert "Authorization" not in place.provider.seen[-1]
    await place.owner.do("PUT", "/tenants/default/provider-keys/openai", {"secret": "sk-real-provider-key"})
    await place.in_force()
    assert (await place.chat(key=secret))[0] == 200
    assert place.provider.seen[-1]["Authorization"] == "Bearer sk-real-provider-key"
    assert (await place.chat(key="sk-own-key"))[0] == 200  # without a virtual key the caller's own goes through
    assert place.provider.seen[-1]["Authorization"] == "Bearer sk-own-key"
    shown = await place.owner.do("GET", "/tenants/default/provider-keys/openai")
    assert "sk-real-provider-key" not in str(shown)
    assert all(secret not in str(headers) for headers in place.provider.seen)
    await place.owner.do("DELETE", "/tenants/default/provider-keys/openai")


@pytest.mark.parametrize(
    ("order", "headers", "status", "code"),
    [
        ({"models": ["other"]}, {}, 403, "model_not_allowed"),
        ({"models": ["gpt-4o"]}, {}, 200, ""),
        ({"endpoints": ["/v1/embeddings"]}, {}, 403, "endpoint_not_allowed"),
        ({"networks": ["10.0.0.0/8"]}, {}, 403, "address_not_allowed"),
        ({"networks": ["10.0.0.0/8", "127.0.0.1"]}, {}, 200, ""),
        ({"agent": "support"}, {"x_sigmaguard_agent": "other"}, 403, "agent_not_allowed"),
        ({"agent": "support"}, {"x_sigmaguard_agent": "support"}, 200, ""),
        ({}, {"x_sigmaguard_agent": "no agent at all"}, 400, "invalid_agent"),
        # no settings can be stored under such a name: it is a path of two parts in the API
        ({}, {"x_sigmaguard_agent": "team/bot"}, 400, "invalid_agent"),
    ],
)
async def test_scopes(place: Site, order: dict[str, object], headers: dict[str, str], status: int, code: str) -> None:
    secret = await make(place, **order)
    got, body, _ = await place.chat(key=secret, **headers)
    assert (got, body.get("error", {}).get("code", "")) == (status, code)


async def test_a_key_for_some_models_wants_one_named(place: Site) -> None:
    """Some providers take a model of their own choice where none is named, or read what is no text."""
    secret = await make(place, models=["gpt-4o", "small"])
    url, headers = f"http://127.0.0.1:{place.node.port}/v1/", {"Authorization": f"Bearer {secret}"}
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    for model in ({}, {"model": ["dear"]}, {"model": None}, {"model": "dear"}):
        async with place.client.post(url + "chat/completions", json={**model, **chat}, headers=headers) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (403, "model_not_allowed"), model
            assert "it may use `gpt-4o`, `small`" in error["message"]
    async with place.client.get(url + "models", headers=headers) as answer:
        assert answer.status != 403, "a request without a body names no model"


async def test_who_makes_keys_does_not_thereby_decide_what_inspects_them(place: Site) -> None:
    """A developer makes keys; the firewall, policies in force and limits are others' decisions."""
    developer, keys = await place.member("developer"), "/tenants/default/keys"
    await place.owner.do("PUT", "/tenants/default/agents/open", {"firewall": False})
    await place.owner.do("PUT", "/tenants/default/agents/unread", {"policy": "off"})
    await place.owner.do("PUT", "/tenants/default/agents/guarded", {})
    for order, needed in (
        ({"policy": "off"}, "policy.promote"),
        ({"agent": "open"}, "agent.write"),
        ({"agent": "unread"}, "agent.write"),
    ):
        reply = await developer.ask("POST", keys, {**ORDER, **order})
        assert (reply.status, reply.body["code"]) == (403, "forbidden"), order
        assert f"`{needed}`" in reply.body["detail"]
        theirs = (await place.owner.do("POST", keys, {**ORDER, **order}))["key"]["id"]
        assert (await developer.ask("POST", f"{keys}/{theirs}/rotate")).status == 403, "its secret would be theirs"
        assert (await developer.ask("PATCH", f"{keys}/{theirs}", {"name": "other"})).status == 200
    limited = {"agent": "guarded", "limits": {"requests_per_minute": 5}}
    mine = (await developer.do("POST", keys, {**ORDER, **limited}))["key"]["id"]
    for edit, needed in (({"policy": "off"}, "policy.promote"), ({"limits": {}}, "limit.write")):
        reply = await developer.ask("PATCH", f"{keys}/{mine}", edit)
        assert reply.status == 403 and f"`{needed}`" in reply.body["detail"], edit
    same = await developer.do("PATCH", f"{keys}/{mine}", {"policy": None, "limits": limited["limits"]})
    assert same["policy"] is None
    assert (await developer.ask("POST", f"{keys}/{mine}/rotate")).status == 200
    assert (await place.owner.do("PATCH", f"{keys}/{mine}", {"policy": "off", "limits": {}}))["policy"] == "off"


async def test_an_expired_key_is_refused_at_its_second(place: Site) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    secret = await make(place, expires_at=at.isoformat())
    assert (await place.chat(key=secret))[0] == 200
    async with asyncio.timeout(5.0):
        while (answer := await place.chat(key=secret))[0] == 200:
            pass
    assert (answer[0], answer[1]["error"]["code"]) == (401, "key_expired")
    assert datetime.now(UTC) >= at


async def test_refusals_speak_the_callers_protocol(place: Site) -> None:
    secret = await make(place, limits={"requests_per_minute": 1})
    assert (await place.chat(key=secret, path="/v1/messages", anthropic_version="2023-06-01"))[0] == 200
    status, body, headers = await place.chat(key=secret, path="/v1/messages", anthropic_version="2023-06-01")
    assert (status, body["type"], body["error"]["type"]) == (429, "error", "rate_limit_error")
    assert 1 <= int(headers["Retry-After"]) <= 61
    status, body, headers = await place.chat(key=secret)
    assert (status, body["error"]["type"], body["error"]["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    status, body, _ = await place.chat(key="sg-unknown", path="/v1/messages", anthropic_version="2023-06-01")
    assert (status, body["error"]["type"]) == (401, "authentication_error")


async def test_limits_are_exact_under_a_rush(place: Site) -> None:
    secret = await make(place, limits={"requests_per_minute": 25})
    answers = await asyncio.gather(*(place.chat(key=secret) for _ in range(80)))
    assert [answer[0] for answer in answers].count(200) == 25
    assert {answer[0] for answer in answers} == {200, 429}


async def test_concurrency_is_given_back(place: Site) -> None:
    secret = await make(place, limits={"concurrent": 2})
    place.provider.gate.clear()
    under_way = [asyncio.ensure_future(place.chat(key=secret)) for _ in range(2)]
    await until(lambda: place.provider.waiting == 2)
    status, body, headers = await place.chat(key=secret)
    assert (status, body["error"]["code"], headers["Retry-After"]) == (429, "rate_limit_exceeded", "1")
    place.provider.gate.set()
    assert [answer[0] for answer in await asyncio.gather(*under_way)] == [200, 200]
    async with asyncio.timeout(5.0):
        while (await place.chat(key=secret))[0] != 200:
            pass


async def test_token_rates_count_what_the_provider_counted(place: Site) -> None:
    secret = await make(place, limits={"tokens_per_minute": 100})
    usual, place.provider.usage = place.provider.usage, {"prompt_tokens": 60, "completion_tokens": 39}
    assert (await place.chat(key=secret))[0] == 200
    place.provider.usage = usual
    # 99 of 100 are used: the next request's estimate does not fit
    status, body, _ = await place.chat(key=secret)
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_budgets_in_money(place: Site) -> None:
    # gpt-4o: 2.50 USD a million in, 10 out: 10 in and 5 out are 75 millionths
    secret = await make(place, limits={"budgets": [{"period": "day", "usd": 0.000_190}]})
    statuses = []
    for _ in range(6):
        status, body, headers = await place.chat(key=secret)
        statuses.append(status)
    assert statuses.count(200) == 2
    assert (body["error"]["type"], body["error"]["code"]) == ("insufficient_quota", "budget_exceeded")
    assert 1 <= int(headers["Retry-After"]) <= 86_400
    await place.node.control.flush()
    spent = await place.owner.do("GET", "/tenants/default/spending")
    assert ("usd", 0.000_150) in [(one["unit"], round(one["spent"], 6)) for one in spent["items"]]


async def test_tenant_and_agent_limits_hold_too(place: Site) -> None:
    first, second = await make(place), await make(place)
    await place.owner.do("PATCH", "/tenants/default", {"limits": {"requests_per_minute": 3}})
    await place.in_force()
    answers = [(await place.chat(key=key))[0] for key in (first, second, first, second, first)]
    assert answers == [200, 200, 200, 429, 429]
    await place.owner.do("PATCH", "/tenants/default", {"limits": {}})
    await place.owner.do("PUT", "/tenants/default/agents/bot", {"limits": {"requests_per_minute": 1}})
    await place.in_force()
    first = await make(place)
    answers = [(await place.chat(key=first, x_sigmaguard_agent="bot"))[0] for _ in range(2)]
    assert answers == [200, 429]
    assert (await place.chat(key=first))[0] == 200


@pytest.mark.parametrize(
    ("order", "at"),
    [
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x", "networks": ["10.0.0.300"]}, "networks[0]"),
        ({"name": "x", "endpoints": ["chat"]}, "endpoints[0]"),
        ({"name": "x", "models": ["gpt-4o", "gpt-*"]}, "models[1]"),
        ({"name": "x", "policy": "none-such"}, "policy"),
        ({"name": "x", "limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
        ({"name": "x", "limits": {"budgets": [{"period": "year"}]}}, "limits.budgets[0].period"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "modles": []}, ""),
    ],
)
async def test_wrong_orders_name_the_place(place: Site, order: dict[str, object], at: str) -> None:
    reply = await place.owner.ask("POST", "/tenants/default/keys", order)
    assert (reply.status, reply.body["errors"][0]["at"]) == (422, at)
