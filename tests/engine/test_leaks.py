"""The leak rules prove themselves, and the detector keeps its promises on any text."""

from pathlib import Path

import pytest

from sigmaguard.detector import Passage
from sigmaguard.detectors.leaks import LeaksDetector
from sigmaguard.fold import readings
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.pack import Rule
from sigmaguard.policy.rules import load_rule_file, prove_rules
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
