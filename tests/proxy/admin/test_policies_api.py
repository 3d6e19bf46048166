"""Policies and toggles through the admin API, seen at the data port: what is in force, and how it is undone."""

import time

import pytest

from tests.control_servers import until
from tests.control_site import ATTACK, BLOCKING, SECRET_TEXT, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
TENANT = "/tenants/default"


async def verdict(place: Site, text: str = SECRET_TEXT, key: str = "", **headers: str) -> str:
    return (await place.chat(text, key=key, **headers))[2]["x-sigmaguard-verdict"]


async def key_with(place: Site, **order: object) -> str:
    made = await place.owner.do("POST", f"{TENANT}/keys", {"name": "k", **order})
    await place.in_force()
    return str(made["secret"])


async def test_the_life_of_a_policy(place: Site) -> None:
    do = place.owner.do
    made = await do("POST", f"{TENANT}/policies", {"name": "house", "pack": BLOCKING, "comment": "first"})
    assert (made["active"], made["staged"], made["latest"]) == (None, None, 1)
    refused = await place.owner.ask("PUT", f"{TENANT}/policy-assignments", {"kind": "tenant", "policy": "house"})
    assert refused.status == 422  # nothing is in force yet
    await do("POST", f"{TENANT}/policies/house/versions/1/promote", {"reason": "go"})
    await do("PUT", f"{TENANT}/policy-assignments", {"kind": "tenant", "policy": "house"})
    await place.in_force()
    assert await verdict(place) == "block"
    assert await verdict(place, "Hello") == "allow"
    softer = {**BLOCKING, "detectors": {"leaks": {"action": "mask"}}}
    version = await do("POST", f"{TENANT}/policies/house/versions", {"pack": softer, "comment": "softer"})
    assert version["number"] == 2
    await place.in_force()
    assert await verdict(place) == "block"  # a version alone changes nothing
    await do("POST", f"{TENANT}/policies/house/versions/2/promote", {"reason": "try masking"})
    await place.in_force()
    assert await verdict(place) == "mask"
    back = await do("POST", f"{TENANT}/policies/house/rollback", {"reason": "support complained"})
    assert back["active"] == 1
    await place.in_force()
    assert await verdict(place) == "block"
    nothing = await place.owner.ask("POST", f"{TENANT}/policies/house/rollback", {"reason": "again"})
    assert (nothing.status, nothing.body["code"]) == (409, "nothing_to_roll_back")
    moves = await do("GET", f"{TENANT}/policies/house/moves")
    assert [(one["move"], one["number"]) for one in moves["items"]] == [
        ("rolled_back", 1),
        ("promoted", 2),
        ("promoted", 1),
    ]
    assert moves["items"][0]["reason"] == "support complained"
    assert moves["items"][0]["changed_by"] == "owner@example.org"
    in_use = await place.owner.ask("DELETE", f"{TENANT}/policies/house")
    assert (in_use.status, in_use.body["code"]) == (409, "in_use")
    await do("DELETE", f"{TENANT}/policy-assignments?kind=tenant")
    await do("DELETE", f"{TENANT}/policies/house")
    await place.in_force()
    assert await verdict(place) == "allow"


async def test_a_staged_version_looks_on(place: Site) -> None:
    do = place.owner.do
    harmless = {"detectors": {"leaks": {"action": "flag"}}, "custom_rules": BLOCKING["custom_rules"]}
    await do("POST", f"{TENANT}/policies", {"name": "trial", "pack": harmless})
    await do("POST", f"{TENANT}/policies/trial/versions/1/promote", {"reason": "go"})
    await do("POST", f"{TENANT}/policies/trial/versions", {"pack": BLOCKING})
    staged = await do("POST", f"{TENANT}/policies/trial/versions/2/stage", {"reason": "see what it blocks"})
    assert (staged["active"], staged["staged"]) == (1, 2)
    key = await key_with(place, policy="trial")
    for _ in range(3):
        assert await verdict(place, key=key) == "allow"
    await until(lambda: place.node.control.trials._running == 0)
    await place.node.control.flush()
    trials = (await do("GET", f"{TENANT}/policies/trial/trials"))["items"]
    assert [(one["number"], one["acted"], one["would"], one["rule"], one["exchanges"]) for one in trials] == [
        (2, "allow", "block", "leak.project", 3)
    ]
    assert trials[0]["example"].startswith("exc_")
    promoted = await do("POST", f"{TENANT}/policies/trial/versions/2/promote", {"reason": "good"})
    assert (promoted["active"], promoted["staged"]) == (2, None)
    await place.in_force()
    assert await verdict(place, key=key) == "block"


async def test_the_most_specific_policy_wins(place: Site) -> None:
    do = place.owner.do
    for name in ("wide", "narrow"):
        pack = BLOCKING if name == "narrow" else {"detectors": {"leaks": {"action": "flag"}}}
        await do("POST", f"{TENANT}/policies", {"name": name, "pack": pack})
        await do("POST", f"{TENANT}/policies/{name}/versions/1/promote", {"reason": "go"})

    async def ran(key: str = "", **headers: str) -> bool:
        await place.in_force()
        return await verdict(place, key=key, **headers) == "block"

    bare = await key_with(place)
    await do("PUT", f"{TENANT}/policy-assignments", {"kind": "tenant", "policy": "narrow"})
    assert await ran(bare)
    route = {"kind": "route", "target": "/v1/chat/completions", "policy": "wide"}
    await do("PUT", f"{TENANT}/policy-assignments", route)
    assert not await ran(bare)
    await do("PUT", f"{TENANT}/agents/precise", {"policy": "narrow"})
    bound = await key_with(place, agent="precise")
    assert await ran(bound)
    own = await key_with(place, agent="precise", policy="wide")
    assert not await ran(own)
    for query in ("kind=tenant", "kind=route&target=/v1/chat/completions"):
        await do("DELETE", f"{TENANT}/policy-assignments?{query}")


async def test_a_header_makes_nothing_weaker(place: Site) -> None:
    do = place.owner.do
    await do("PUT", f"{TENANT}/agents/free", {"firewall": False})
    await place.in_force()
    assert await verdict(place, ATTACK, x_sigmaguard_agent="free") == "block"
    bound = await key_with(place, agent="free")
    assert (await place.chat(ATTACK, key=bound))[0] == 200
    await do("PUT", f"{TENANT}/agents/free", {"firewall": False, "trust_header": True})
    await place.in_force()
    status, _, headers = await place.chat(ATTACK, x_sigmaguard_agent="free")
    assert (status, headers["x-sigmaguard-mode"]) == (200, "off")


async def test_an_agents_own_rules_as_json(place: Site) -> None:
    do = place.owner.do
    order = {"rules": BLOCKING["custom_rules"], "trust_header": True}
    await do("PUT", f"{TENANT}/agents/ruled", order)
    await place.in_force()
    assert await verdict(place, x_sigmaguard_agent="ruled") == "block"
    assert await verdict(place) == "allow"
    assert await verdict(place, ATTACK, x_sigmaguard_agent="ruled") == "block"  # beside what runs anyway
    await do("PUT", f"{TENANT}/agents/ruled", {"policy": "custom", "pack": BLOCKING, "trust_header": True})
    await place.in_force()
    assert await verdict(place, x_sigmaguard_agent="ruled") == "block"


BROKEN = [
    ({"detectors": {"leaks": {"actoin": "block"}}}, "actoin"),
    ({"detectors": {"no-such": {}}}, "no-such"),
    ({"extends": "../../etc/passwd"}, "extends"),
    ({"rule_files": ["/etc/passwd"]}, "rule_files"),
    (
        {
            "detectors": {"leaks": {}},
            "custom_rules": [
                {
                    "detector": "leaks",
                    "rules": [
                        {
                            "id": "leak.wrong",
                            "description": "finds nothing",
                            "match": ["one", "two"],
                            "miss": ["three", "four"],
                            "pattern": "nothing of the kind",
                        }
                    ],
                }
            ],
        },
        "leak.wrong: match[0]",
    ),
    ({"detectors": {"leaks": {}}, "custom_rules": [{"detector": "leaks", "rules": [{"id": "x"}]}]}, "custom_rules"),
]


@pytest.mark.parametrize(("pack", "place_named"), BROKEN)
async def test_a_broken_policy_is_refused_and_the_old_one_stays(
    place: Site, pack: dict[str, object], place_named: str
) -> None:
    do, name = place.owner.do, f"sound-{BROKEN.index((pack, place_named))}"
    await do("POST", f"{TENANT}/policies", {"name": name, "pack": BLOCKING})
    await do("POST", f"{TENANT}/policies/{name}/versions/1/promote", {"reason": "go"})
    refused = await place.owner.ask("POST", f"{TENANT}/policies/{name}/versions", {"pack": pack})
    assert refused.status == 422
    assert place_named in refused.body["detail"]
    assert (await do("GET", f"{TENANT}/policies/{name}"))["latest"] == 1
    assert await verdict(place, key=await key_with(place, policy=name)) == "block"


async def test_diff_and_test(place: Site) -> None:
    do = place.owner.do
    await do("POST", f"{TENANT}/policies", {"name": "two", "pack": BLOCKING})
    softer = {**BLOCKING, "detectors": {"leaks": {"action": "mask"}}, "budget_ms": 100}
    await do("POST", f"{TENANT}/policies/two/versions", {"pack": softer})
    diff = await do("GET", f"{TENANT}/policy-diff?before=two@1&after=two@2")
    assert [(one["at"], one["before"], one["after"]) for one in diff["changes"]] == [
        ("budget_ms", 250.0, 100.0),
        ("detectors.leaks.action", "block", "mask"),
    ]
    assert "-    action: block" in diff["text"]
    texts = [{"text": SECRET_TEXT}, {"text": "Hello"}, {"text": SECRET_TEXT, "origin": "tool_result"}]
    tried = await do("POST", f"{TENANT}/policy-test", {"policy": "two@2", "texts": texts})
    assert [one["action"] for one in tried["texts"]] == ["mask", "allow", "mask"]
    assert tried["texts"][0]["findings"][0]["rule"] == "leak.project"
    assert "HELIOTROPE" not in tried["texts"][0]["masked"]
    cases = [{"text": "Hello", "action": "allow"}, {"text": "Hello", "action": "block"}]
    tried = await do("POST", f"{TENANT}/policy-test", {"pack": {**BLOCKING, "cases": cases}})
    assert (tried["passed"], [one["passed"] for one in tried["cases"]]) == (False, [True, False])


async def test_the_toggle_says_who_and_why_and_is_obeyed_within_a_second(place: Site) -> None:
    owner = place.owner
    before = await owner.do("GET", "/toggle")
    for mode, seen in (("shadow", "shadow"), ("off", "off"), ("enforce", "enforce")):
        turned = await owner.do("PUT", "/toggle", {"mode": mode, "reason": f"to {mode}"})
        since = time.perf_counter()
        while (answer := await place.chat(ATTACK))[2]["x-sigmaguard-mode"] != seen:
            assert time.perf_counter() - since < 1.0
        assert answer[0] == (403 if mode == "enforce" else 200)
        assert (turned["mode"], turned["reason"], turned["changed_by"]) == (mode, f"to {mode}", "owner@example.org")
    history = await owner.do("GET", "/toggle/history?limit=3")
    assert [(one["previous"], one["mode"]) for one in history["items"]] == [
        ("off", "enforce"),
        ("shadow", "off"),
        (before["mode"], "shadow"),
    ]


async def test_a_tenants_toggle_is_its_own_and_the_weaker_one_wins(place: Site) -> None:
    owner = place.owner
    await owner.do("PUT", f"{TENANT}/toggle", {"mode": "shadow", "reason": "rollout"})
    await place.in_force()
    assert (await place.chat(ATTACK))[2]["x-sigmaguard-mode"] == "shadow"
    await owner.do("PUT", "/toggle", {"mode": "off", "reason": "incident"})
    await place.in_force()
    assert (await place.chat(ATTACK))[2]["x-sigmaguard-mode"] == "off"
    await owner.do("PUT", "/toggle", {"mode": "enforce", "reason": "over"})
    await place.in_force()
    assert (await place.chat(ATTACK))[2]["x-sigmaguard-mode"] == "shadow"
    await owner.do("PUT", f"{TENANT}/toggle", {"mode": "enforce", "reason": "done"})
    await place.in_force()
    assert (await place.chat(ATTACK))[0] == 403
