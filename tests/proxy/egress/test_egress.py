"""HTTP tools through the egress: who may be reached, what leaves, what comes back."""

import socket

import aiohttp
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard_proxy.egress.address import clean_path, parse
from sigmaguard_proxy.egress.resolving import AddressRefusedError, SafeResolver, allowed_address
from sigmaguard_proxy.egress.settings import Rules, parse_egress
from sigmaguard_proxy.faults import FaultError
from tests.proxy.mcp.toolbox import INJECTION, SECRET

LOCAL = ["127.0.0.0/8"]


@pytest.fixture
async def api():
    """An API that tells what it was asked; `api.seen` keeps the requests."""
    seen: list[tuple[str, str, dict, bytes]] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        seen.append((request.method, str(request.rel_url), dict(request.headers), body))
        match request.path:
            case "/v1/page":
                return web.Response(text=f"<p>{INJECTION}</p>", content_type="text/html")
            case "/v1/key":
                return web.json_response({"key": SECRET, "n": 1}, headers={"Set-Cookie": "a=b", "ETag": "e"})
            case "/v1/picture":
                return web.Response(body=b"\x89PNG\x00\x01", content_type="image/png")
            case "/v1/inside":
                return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})
            case "/v1/away":
                return web.Response(status=302, headers={"Location": f"http://localhost:{server.port}/v1/landed"})
            case "/v1/round":
                return web.Response(status=302, headers={"Location": "/v1/round"})
            case "/v1/large":
                return web.Response(body=b"x" * 5000)
        return web.json_response({"path": request.path})

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    class Api:
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/v1"

    server = Api()
    server.seen = seen  # type: ignore[attr-defined]
    yield server
    await runner.cleanup()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


def tool(api, **more) -> dict:
    return {"tools": {"api": {"url": api.url, "networks": LOCAL, "allow": ["GET|POST /**"], **more}}}


async def call(http, served, path: str, method: str = "GET", **more):
    url = aiohttp.client.URL(f"{served.url}/egress/{path}", encoded=True)
    async with http.request(method, url, **more) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def test_a_call_goes_through_with_the_proxys_credentials(serve, api, http):
    section = tool(api, headers={"Authorization": "Bearer stored"}, query={"key": "q1"})
    served = await serve(egress=section)
    mine = {"Authorization": "Bearer mine", "Cookie": "a=b", "X-Odd": "1", "Accept": "application/json"}
    status, headers, body = await call(http, served, "api/items%20a/7?x=1&key=mine", headers=mine)
    assert (status, orjson.loads(body)) == (200, {"path": "/v1/items a/7"})
    method, url, got, _ = api.seen[0]
    assert (method, url) == ("GET", "/v1/items%20a/7?x=1&key=q1")
    assert got["Authorization"] == "Bearer stored" and got["Accept"] == "application/json"
    assert not {"Cookie", "X-Odd"} & set(got)
    assert headers["x-sigmaguard-verdict"] == "allow"
    record = served.recorder.records[-1]
    assert (record.protocol, record.endpoint, record.method, record.tool) == (
        "egress",
        "/egress/api",
        "GET",
        "egress/api",
    )


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_an_injected_page_and_a_leaking_answer(serve, api, http, mode):
    served = await serve(egress=tool(api), mode=mode)
    status, _, body = await call(http, served, "api/page")
    stopped = mode is Mode.ENFORCE
    assert (status == 403) is stopped and (INJECTION.encode() in body) is not stopped
    assert served.recorder.records[-1].intended == "block"
    status, headers, body = await call(http, served, "api/key")
    assert status == 200 and (SECRET.encode() in body) is not stopped
    assert orjson.loads(body)["n"] == 1 and "Set-Cookie" not in headers and ("Etag" in headers) is not stopped
    status, headers, body = await call(http, served, "api/picture")
    assert (status, body) == (200, b"\x89PNG\x00\x01")


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_secrets_do_not_leave_by_any_way(serve, api, http, mode):
    served = await serve(egress=tool(api), mode=mode)
    await call(http, served, f"api/{SECRET}/x")
    await call(http, served, f"api/x?q={SECRET}&{SECRET}=1")
    await call(http, served, "api/x", "POST", json={"a": [{"b": SECRET}], "n": 1})
    await call(http, served, "api/x", "POST", data={"a": SECRET})
    await call(http, served, "api/x", "POST", data=f"key {SECRET}".encode(), headers={"Content-Type": "image/png"})
    assert len(api.seen) == 5
    for method, url, _, body in api.seen:
        assert (SECRET in url or SECRET.encode() in body) is (mode is Mode.SHADOW), (method, url, body)
    assert {one.intended for one in served.recorder.records} == {"mask"}
    assert orjson.loads(api.seen[2][3])["n"] == 1
    assert SECRET not in str(served.recorder.records)


async def test_a_body_nobody_can_read_needs_permission(serve, api, http):
    served = await serve(egress=tool(api))
    status, _, _ = await call(http, served, "api/x", "POST", data=b"\xff\x00\x01")
    assert status == 415 and not api.seen
    served = await serve(egress=tool(api, binary=True))
    status, _, _ = await call(http, served, "api/x", "POST", data=b"\xff\x00\x01")
    assert status == 200 and api.seen[0][3] == b"\xff\x00\x01"


@pytest.mark.parametrize("mode", list(Mode))
async def test_rules_on_methods_and_paths_hold_in_every_mode(serve, api, http, mode):
    served = await serve(egress=tool(api, allow=["GET /items/*", "POST /reports/**"]), mode=mode)
    for method, path, wanted in (
        ("GET", "api/items/7", 200),
        ("GET", "api/items/7/parts", 403),
        ("POST", "api/items/7", 403),
        ("POST", "api/reports/a/b", 200),
        ("GET", "api/items/..%2freports", 400),
        ("GET", "api/items/%2e%2e/secret", 400),
        ("GET", "api/items/%252e%252e", 400),
        ("GET", "other/items/7", 404),
    ):
        status, _, _ = await call(http, served, path, method)
        assert status == wanted, (method, path)
    assert len(api.seen) == 2


@pytest.mark.parametrize("mode", list(Mode))
async def test_no_name_leads_inside(serve, api, http, mode):
    """The API runs on loopback, so without its network a tool cannot reach it under any name."""
    section = {"tools": {"web": {"hosts": ["localhost", "127.0.0.1", "*.localhost", "2130706433", "127.1"]}}}
    served = await serve(egress=section, mode=mode)
    for host in ("localhost", "127.0.0.1", "2130706433", "127.1"):
        status, _, body = await call(http, served, f"web?url=http%3A%2F%2F{host}%3A{api.port}%2Fv1%2Fx")
        assert status in (403, 502), (host, body)
        assert orjson.loads(body)["error"]["code"] in ("address_not_allowed", "upstream_unreachable"), host
    assert not api.seen


async def test_only_listed_hosts_are_called_and_redirects_are_checked(serve, api, http):
    section = tool(api, headers={"Authorization": "Bearer stored"})
    served = await serve(egress=section)
    status, _, body = await call(http, served, "api/inside")
    assert status == 403 and orjson.loads(body)["error"]["code"] == "host_not_allowed"
    status, _, body = await call(http, served, "api/round")
    assert orjson.loads(body)["error"]["code"] == "too_many_redirects"
    status, _, body = await call(http, served, "api/away")
    assert orjson.loads(body)["error"]["code"] == "host_not_allowed"
    section["tools"]["api"] |= {"hosts": ["localhost"], "networks": [*LOCAL, "::1/128"], "response_bytes": 1000}
    served = await serve(egress=section)
    status, _, body = await call(http, served, "api/away")
    assert (status, orjson.loads(body)) == (200, {"path": "/v1/landed"})
    assert "Authorization" not in api.seen[-1][2], "credentials are for the host they were given for"
    status, _, body = await call(http, served, "api/large")
    assert orjson.loads(body)["error"]["code"] == "upstream_too_large"


@pytest.mark.parametrize(
    ("path", "method", "more", "setting"),
    [
        ("api/other", "GET", {"allow": ["GET /items/*"]}, "egress.tools.api.allow"),
        ("api/items/7", "DELETE", {"allow": ["GET /items/*"]}, "egress.tools.api.allow"),
        ("api/items/7", "GET", {"networks": []}, "egress.tools.api.networks"),
        ("web?url=http%3A%2F%2Flocalhost%2F", "GET", {}, "egress.tools.web.networks"),
        ("web?url=http%3A%2F%2F10.0.0.1%2F", "GET", {}, "egress.tools.web.networks"),
        ("web?url=http%3A%2F%2Felsewhere.test%2F", "GET", {}, "egress.tools.web.hosts"),
    ],
)
async def test_what_is_refused_names_the_setting_that_would_permit_it(serve, api, http, path, method, more, setting):
    section = tool(api, **more)
    section["tools"]["web"] = {"hosts": ["localhost", "10.0.0.1"]}
    served = await serve(egress=section)
    status, _, body = await call(http, served, path, method)
    assert status == 403 and f"`{setting}`" in orjson.loads(body)["error"]["message"]
    assert not api.seen


async def test_a_body_nobody_can_read_names_the_setting_that_lets_it_pass(serve, api, http):
    served = await serve(egress=tool(api))
    _, _, body = await call(http, served, "api/x", "POST", data=b"\xff\x00\x01")
    assert "`egress.tools.api.binary`" in orjson.loads(body)["error"]["message"]


class Rebinding(SafeResolver):
    """Answers with one address first, with another ever after."""

    def __init__(self, answers: list[list[str]], networks=()) -> None:
        super().__init__(networks)
        self.answers = answers
        self.asked = 0

    async def look_up(self, host: str, port: int, family: int) -> list[tuple[int, str]]:
        self.asked += 1
        return [(socket.AF_INET, one) for one in self.answers[min(self.asked, len(self.answers)) - 1]]


async def test_a_name_is_resolved_once_and_any_private_answer_refuses_it():
    resolver = Rebinding([["93.184.216.34"], ["127.0.0.1"]])
    assert [one["host"] for one in await resolver.resolve("rebind.test", 80)] == ["93.184.216.34"]
    assert resolver.asked == 1, "what was checked is what the connector gets"
    for answers in (["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["169.254.169.254"]):
        with pytest.raises(AddressRefusedError):
            await Rebinding([answers]).resolve("rebind.test", 80)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.1", "198.18.0.1", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b:1::1", "2001:db8::1"),
        *("localhost", "0x7f.1", "", "1.2.3", "2130706433"),
    ],
)
def test_special_addresses_are_refused(address):
    assert not allowed_address(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address):
    assert allowed_address(address)


def test_a_network_opens_only_itself():
    rules = Rules(parse_egress({"tools": {"a": {"hosts": ["x.test"], "networks": ["10.1.0.0/16"]}}}).tools["a"], "a")
    assert allowed_address("10.1.2.3", rules.networks)
    assert not allowed_address("10.2.0.1", rules.networks)
    assert not allowed_address("127.0.0.1", rules.networks)


@pytest.mark.parametrize(
    "url",
    [
        *("http://user@x.test/", "http://user:pw@x.test/", "ftp://x.test/", "//x.test/", "file:///etc/passwd"),
        *("http://x.test\\@evil.test/", "http://x.test\t/", "http://x.test:99999/", "http:///x", "http://[::1"),
        *(
            "http://x.test/a/../b",
            "http://x.test/%2e%2e/b",
            "http://x.test/a%2fb",
            "http://x.test/%255c",
            "javascript:x",
        ),
    ],
)
def test_addresses_that_can_be_read_in_two_ways_are_refused(url):
    with pytest.raises(FaultError):
        parse(url)


@given(st.text(max_size=30))
def test_a_cleaned_path_never_climbs(raw):
    try:
        path = clean_path("/" + raw)
    except FaultError:
        return
    assert ".." not in path.split("/") and "\\" not in path and path.startswith("/")


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"tools": {"a": {}}}, "give `url`, or `hosts`"),
        ({"tools": {"a": {"url": "ftp://x"}}}, "an http or https address"),
        ({"tools": {"a": {"url": "http://u:p@x"}}}, "without credentials"),
        ({"tools": {"a": {"hosts": ["*"]}}}, "at least a domain"),
        ({"tools": {"a": {"url": "http://x", "allow": ["get /"]}}}, "allow[0]"),
        ({"tools": {"a": {"url": "http://x", "networks": ["10.0.0.0/33"]}}}, "networks"),
        ({"tools": {"A": {"url": "http://x"}}}, "egress.tools.A"),
        ({"tools": {"a": {"url": "http://x", "header": {}}}}, "did you mean `headers`"),
    ],
)
def test_settings_that_are_wrong_are_refused_with_their_place(section, says):
    with pytest.raises(ConfigError) as caught:
        parse_egress(section, {})
    assert says in str(caught.value)


async def test_rules_rates_and_taint_hold_for_http_tools(serve, api, http):
    rule = {
        "id": "tool.only_items",
        "description": "Only items may be read",
        "tools": ["egress/api"],
        "when": '!args.path.startsWith("/v1/items") && args.method == "POST"',
        "match": [{"args": {"path": "/v1/other", "method": "POST"}}],
        "miss": [{"args": {"path": "/v1/items/1", "method": "POST"}}],
    }
    tools = {"rules": [rule], "rates": [{"tools": ["egress/*"], "calls": 4, "seconds": 3600}]}
    served = await serve(egress=tool(api), pack={"tools": tools})
    statuses = [
        (await call(http, served, path, "POST"))[0]
        for path in ("api/items", "api/other", "api/items", "api/items", "api/items")
    ]
    assert statuses == [200, 403, 200, 200, 403]
    assert {"tool.only_items", "tool.rate"} <= served.rules()


async def test_a_secret_in_a_key_is_masked_like_one_in_a_value(serve, api, http):
    served = await serve(egress=tool(api), pack={"detectors": {"leaks": {"action": "mask"}}})
    sent = {SECRET: {SECRET: "inner", "other": SECRET}}
    async with http.post(f"{served.url}/egress/api/notes", json=sent) as answer:
        assert answer.status == 200
    (_, _, _, body) = api.seen[-1]
    assert SECRET.encode() not in body
    (outer,) = orjson.loads(body).values()
    assert len(outer) == 2 and "inner" in outer.values()
