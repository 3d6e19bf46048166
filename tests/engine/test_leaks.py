"""The leak rules prove themselves, and the detector keeps its promises on any text."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.leaks import LeaksDetector
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
