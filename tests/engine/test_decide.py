"""Findings and faults to a verdict; the only place where the mode counts."""

from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.decide import STRENGTH, decide, masked_findings
from sigmaguard.model import Action, Direction, Fault, FaultSource, Finding, Mode, OnFault
from sigmaguard.policy.pack import RuleOverride
from tests.engine.fakes import Raises, Words, active, policy_of

RULES = {f"test.{action.value}": RuleOverride(action=action) for action in Action}
POLICY = policy_of(
    active(Words({}), Action.FLAG),
    active(Raises(name="closed")),
    active(Raises(name="open"), on_fault=OnFault.OPEN),
    rules=RULES,
)
findings = st.lists(
    st.builds(
        lambda rule, score: Finding(rule, "words", 0, 1, score), st.sampled_from(sorted(RULES)), st.floats(0.0, 1.0)
    ),
    max_size=5,
)


@given(findings, st.sampled_from(list(Mode)))
def test_the_strongest_action_wins_and_only_enforce_acts(found: list[Finding], mode: Mode) -> None:
    verdict = decide(POLICY, mode, Direction.INPUT, found)
    actions = [POLICY.action(one.rule, one.detector, Direction.INPUT) for one in found]
    strongest = max(actions, key=STRENGTH.__getitem__, default=Action.ALLOW)
    assert verdict.intended is (Action.ALLOW if strongest is Action.FLAG else strongest)
    assert verdict.action is (verdict.intended if mode is Mode.ENFORCE else Action.ALLOW)
    assert verdict.findings == tuple(found)
    if strongest is Action.ALLOW:
        assert verdict.rule == ""  # what is allowed decides nothing
    else:
        decisive = [one for one, action in zip(found, actions, strict=True) if action is strongest]
        assert verdict.rule in {one.rule for one in decisive if one.score == max(two.score for two in decisive)}


@given(findings)
def test_shadow_intends_what_enforce_does(found: list[Finding]) -> None:
    enforced, watched = (decide(POLICY, mode, Direction.OUTPUT, found) for mode in (Mode.ENFORCE, Mode.SHADOW))
    assert (watched.intended, watched.rule) == (enforced.action, enforced.rule)


def fault(detector: str) -> Fault:
    """A detector's failure."""
    return Fault(FaultSource.DETECTOR, "detector_failed", "it failed", detector=detector)


def test_a_fault_blocks_unless_its_detector_fails_open() -> None:
    closed = decide(POLICY, Mode.ENFORCE, Direction.INPUT, [], faults=[fault("closed")])
    assert (closed.action, closed.rule) == (Action.BLOCK, "fault.detector_failed")
    opened = decide(POLICY, Mode.ENFORCE, Direction.INPUT, [], faults=[fault("open")])
    assert (opened.action, opened.rule, opened.faults) == (Action.ALLOW, "", (fault("open"),))


def test_a_fault_nobody_owns_obeys_the_policy() -> None:
    for on_fault, action in ((OnFault.CLOSED, Action.BLOCK), (OnFault.OPEN, Action.ALLOW)):
        verdict = decide(policy_of(on_fault=on_fault), Mode.ENFORCE, Direction.INPUT, [], faults=[fault("")])
        assert verdict.action is action


def test_a_verdict_goes_before_a_fault() -> None:
    found = [Finding("test.block", "words", 0, 1, 0.9)]
    verdict = decide(POLICY, Mode.ENFORCE, Direction.INPUT, found, faults=[fault("closed")])
    assert verdict.rule == "test.block"


@given(findings)
def test_what_is_masked_is_what_masks_or_blocks(found: list[Finding]) -> None:
    masked = masked_findings(POLICY, Direction.INPUT, found)
    assert masked == [one for one in found if one.rule in ("test.mask", "test.block")]
