"""A policy tried on texts and on its own cases: what is asked, what it says. Knows no tenant and stores nothing."""

from typing import Annotated, Any

import msgspec

from sigmaguard.model import Action, Direction, Origin
from sigmaguard.policy.compiled import Policy
from sigmaguard.scanning import Scanner

Reference = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(@[1-9][0-9]{0,5})?$",
        examples=["basic", "support@3"],
        max_length=70,
    ),
]


class TestText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text to try. It is neither kept nor logged."""

    text: Annotated[str, msgspec.Meta(max_length=100_000)]
    origin: Origin = Origin.USER
    direction: Direction = Direction.INPUT


class TestOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tries a policy: one that exists (`policy`), or one that is only written here (`pack`)."""

    policy: Reference | None = None
    pack: dict[str, Any] | None = None
    texts: Annotated[tuple[TestText, ...], msgspec.Meta(max_length=50)] = ()


class TestFinding(msgspec.Struct, frozen=True):
    """Where what was found; never the text."""

    rule: str
    detector: str
    start: int
    end: int
    score: float


class TestResult(msgspec.Struct, frozen=True):
    """What enforce would do with one text; `masked` is the text as it would be sent, null where nothing is masked."""

    action: Action
    score: float
    rule: str
    findings: tuple[TestFinding, ...]
    masked: str | None


class CaseResult(msgspec.Struct, frozen=True):
    """One of the policy's own cases."""

    at: int
    wanted: Action
    got: Action
    passed: bool


class TestReport(msgspec.Struct, frozen=True):
    """What a policy does with texts and with its own cases."""

    policy: str
    revision: str
    passed: bool
    texts: tuple[TestResult, ...]
    cases: tuple[CaseResult, ...]


def run_test(policy: Policy, texts: tuple[TestText, ...]) -> TestReport:
    """Runs texts and cases; takes as long as it takes, so call it in a thread."""
    scanner = Scanner(policy)
    results: list[TestResult] = []
    for one in texts:
        found = scanner.scan([(one.origin, one.text)], one.direction)[0]
        results.append(
            TestResult(
                found.action,
                found.score,
                found.verdict.rule if found.verdict else "",
                tuple(TestFinding(f.rule, f.detector, f.start, f.end, f.score) for f in found.findings),
                found.text,
            )
        )
    cases = []
    for at, case in enumerate(policy.pack.cases):
        got = scanner.scan([(case.origin, case.text)], Direction(case.direction))[0].action
        cases.append(CaseResult(at, case.action, got, got is case.action))
    return TestReport(policy.name, policy.revision, all(case.passed for case in cases), tuple(results), tuple(cases))
