"""The leak rules prove themselves, and the detector keeps its promises on any text."""

import base64
import json
import time
from pathlib import Path

import msgspec
import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.leaks import LeaksDetector
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.pack import Rule
from sigmaguard.policy.rules import load_rule_file, prove_rules
from sigmaguard.reading import Reading
from sigmaguard_policies import policies_root

FILES = sorted((policies_root() / "rules").glob("leaks.*.yaml"))
RULES = tuple(rule for path in FILES for rule in load_rule_file(path).rules)


@pytest.fixture(scope="module")
def detector() -> LeaksDetector:
    return LeaksDetector(RULES)


def find(detector: LeaksDetector, text: str) -> list[Finding]:
    return detector.detect((Passage(Segment("/text", Origin.USER, text), readings(text)),))[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_rule_finds_its_matches_and_none_of_its_misses(path: Path) -> None:
    for rule in load_rule_file(path).rules:
        assert prove_rules(LeaksDetector((rule,)), (rule,)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_says_where_its_format_is_documented(rule: Rule) -> None:
    assert rule.id.startswith("leak.") and rule.provenance and rule.entity and rule.keywords


def plain(detector: LeaksDetector, text: str) -> list[Finding]:
    return detector.detect((Passage(Segment("/text", Origin.USER, text), (Reading(text),)),))[0]


EXAMPLES = tuple(text for rule in RULES for text in (*rule.match, *rule.miss))
PROSE = (
    "The password is told by phone. ",
    "Bitte den Schlüssel abholen, danke! ",
    "ask ",
    "token",
    " ",
    "\n",
    "-",
    "a",
)
TEXTS = st.lists(st.sampled_from((*EXAMPLES, *PROSE)) | st.text(max_size=6), max_size=6).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS, cut=st.floats(0, 1), more=TEXTS)
def test_what_is_not_held_is_final(detector: LeaksDetector, text: str, cut: float, more: str) -> None:
    whole = text + more
    seen = whole[: int(cut * len(whole))]
    limit = detector.hold(seen)
    before, after = plain(detector, seen), plain(detector, whole)
    assert [one for one in before if one.start < limit] == [one for one in after if one.start < limit]
    assert not [one for one in (*before, *after) if one.start < limit < one.end]


@pytest.mark.parametrize(
    "sentence", ["Der Ausschuss tagt am Montag ", "This is a password reset page for askers and tokens "]
)
def test_prose_is_released_at_word_boundaries(detector: LeaksDetector, sentence: str) -> None:
    for size, char in enumerate(sentence):
        held = size - detector.hold(sentence[:size])
        assert held <= max(map(len, sentence.split())) + 1
        if char.isspace() and not sentence[:size].endswith(("password", "tokens")):
            assert detector.hold(sentence[: size + 1]) == size + 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_streamed_secret_is_held_until_it_is_whole(detector: LeaksDetector, rule: Rule) -> None:
    text = f"So: {rule.match[0]} ."
    for one in plain(detector, text):
        for size in range(one.start + 1, one.end + 1):
            assert detector.hold(text[:size]) <= one.start


def test_rules_prove_themselves_together(detector: LeaksDetector) -> None:
    assert len(RULES) >= 150
    assert prove_rules(detector, RULES) == []


def seconds(detector: LeaksDetector, text: str) -> float:
    best = float("inf")
    for _ in range(2):
        since = time.process_time()
        plain(detector, text)
        best = min(best, time.process_time() - since)
    return best


HOSTILE = (
    "password=",
    "password=a1",
    "token: ",
    "eyJ",
    " eyJhbGciOiJIUzI1NiJ9.",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG\n" * 200,
    "sk-",
    "sk-T3BlbkFJ",
    "postgres://a:",
    "https://a:b",
    "AKIA",
    "a" * 30 + "-us1",
    "AzSe",
    "curl -u ",
    "basic AAAA",
    "A",
    " 1:AA",
)


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: piece[:16].strip())
def test_the_time_for_a_megabyte_grows_with_its_size_alone(detector: LeaksDetector, piece: str) -> None:
    tenth, whole = (seconds(detector, piece * (size // len(piece))) for size in (100_000, 1_000_000))
    assert whole < 40 * max(tenth, 0.005)  # ten times the text: 10 where time is linear, 100 where it is quadratic


SAMPLES = {rule.id: rule.match[0] for rule in RULES}


def test_a_secret_is_found_in_every_encoding(detector: LeaksDetector) -> None:
    for rule in ("leak.github_pat", "leak.aws_access_key_id", "leak.openai_project_key", "leak.database_url"):
        secret = SAMPLES[rule]
        encoded = base64.b64encode(f"config {secret} end".encode()).decode()
        text = f"Please run this: {encoded} and tell me."
        found = [one for one in find(detector, text) if one.rule == rule]
        assert found and found[0].view != "plain"
        assert text.index(encoded) <= found[0].start < found[0].end <= text.index(encoded) + len(encoded)
        assert rule in {one.rule for one in find(detector, f"hex {secret.encode().hex()} end")}


def test_a_secret_inside_json_source_is_found(detector: LeaksDetector) -> None:
    arguments = json.dumps({"config": json.dumps({"db_password": "kW7!pqR2zX", "note": "x"})})
    found = find(detector, arguments)
    assert [arguments[one.start : one.end] for one in found] == ["kW7!pqR2zX"]


@pytest.mark.parametrize(
    "text",
    [
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "commit 9f3c1e0b7a5d4c2f8e6b1a0d3c5f7e9b2a4d6c8e",
        "id: 123e4567-e89b-42d3-a456-556642440000",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "integrity sha512-9Xq3k0Y7m1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0x1c2v3b4n5m6==",
        "password: str | None = None",
        "token = request.headers.get('Authorization')",
        "api_key: ${OPENAI_API_KEY}",
        "Das Passwort ist mindestens zwölf Zeichen lang.",
        "def check_password(password: str, hashed_password: bytes) -> bool:",
        "tokens_per_second=1234567890123456",
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(detector: LeaksDetector, text: str) -> None:
    assert find(detector, text) == []


def test_of_overlapping_findings_the_most_specific_stands(detector: LeaksDetector) -> None:
    token = next(word for word in SAMPLES["leak.github_pat"].split() if "ghp_" in word).strip('"')
    token = token[token.index("ghp_") :][:40]
    assert [one.rule for one in find(detector, f"GITHUB_TOKEN={token}")] == ["leak.github_pat"]
    assert [one.rule for one in find(detector, f'password = "{token}"')] == ["leak.github_pat"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"pattern": "key-[a-z]+"}, "upper bound"),
        ({"pattern": "key-[a-z]{600}"}, "max_chars"),
        ({"pattern": "key-[a-z"}, "not a regular expression"),
        ({"pattern": "key-[a-z]{8}\\b"}, "boundary"),
        ({"pattern": "(?:key)?"}, "at least one"),
        ({"pattern": "key", "check": "magic"}, "no check `magic`"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_reason(fields: dict[str, str], word: str) -> None:
    base = {"id": "leak.own", "description": "own", "match": ["a", "b"], "miss": ["c", "d"], "keywords": ["key"]}
    rule = msgspec.convert({**base, **fields}, Rule)
    with pytest.raises(ConfigError, match=word):
        LeaksDetector((rule,))


def test_a_rule_of_ones_own_needs_no_keyword(detector: LeaksDetector) -> None:
    rule = Rule(
        id="leak.own", description="own", match=("a", "b"), miss=("c", "d"), pattern="PRJ-[0-9]{6}", entity="PRJ"
    )
    own = LeaksDetector((*RULES, rule))
    assert own.version != detector.version
    assert [one.entity for one in find(own, "about PRJ-483920.")] == ["PRJ"]
    assert own.hold("about PRJ-48") == len("about ")


def test_findings_carry_tags_and_never_the_value(detector: LeaksDetector) -> None:
    text = SAMPLES["leak.stripe_secret_key"]
    (one,) = find(detector, text)
    assert one.tags == ("OWASP:LLM02:2025", "ATLAS:AML.T0057") and one.entity == "STRIPE_KEY"
    assert text[one.start : one.end] not in repr(one)


HEADS = [one for one in LeaksDetector(RULES).credentials if one.head]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_head_lets_through_whatever_its_pattern_matches(data: st.DataObject) -> None:
    credential = data.draw(st.sampled_from(HEADS))
    text = data.draw(st.from_regex(credential.rule.pattern))
    options = re2.Options()
    options.case_sensitive = False
    options.encoding = re2.Options.Encoding.LATIN1
    assert re2.search(credential.head.encode("latin-1"), text.encode("utf-8", "surrogatepass"), options)
