"""Findings to a verdict. The only reader of the mode; looks at no text."""

from collections.abc import Mapping, Sequence

from sigmaguard.model import Action, Direction, Fault, Finding, Mode, OnFault, Outcome, Verdict
from sigmaguard.policy.compiled import Policy

STRENGTH = {Action.ALLOW: 0, Action.FLAG: 1, Action.MASK: 2, Action.BLOCK: 3}


def decide(
    policy: Policy,
    mode: Mode,
    direction: Direction,
    findings: Sequence[Finding],
    *,
    faults: Sequence[Fault] = (),
    outcomes: Mapping[str, Outcome] | None = None,
    score: float = 0.0,
) -> Verdict:
    """What to do about one direction of an exchange.

    The strongest action any finding asks for wins; of equals the highest score, then the first.
    A fault of a detector that fails closed blocks, with the fault's kind as rule.
    """
    intended, rule, best = Action.ALLOW, "", 0.0
    for finding in findings:
        action = policy.action(finding.rule, finding.detector, direction)
        if action is Action.ALLOW:
            continue
        stronger = STRENGTH[action] - STRENGTH[intended]
        if stronger > 0 or (stronger == 0 and finding.score > best):
            intended, rule, best = action, finding.rule, finding.score
    for fault in faults:
        if intended is not Action.BLOCK and fails_closed(policy, fault):
            intended, rule = Action.BLOCK, f"fault.{fault.kind}"
    if intended is Action.FLAG:
        # a flag reports and changes nothing, so the exchange as a whole was allowed
        intended = Action.ALLOW
    return Verdict(
        action=intended if mode is Mode.ENFORCE else Action.ALLOW,
        intended=intended,
        mode=mode,
        rule=rule,
        score=score,
        findings=tuple(findings),
        faults=tuple(faults),
        outcomes=tuple(outcomes.items()) if outcomes else (),
    )


def fails_closed(policy: Policy, fault: Fault) -> bool:
    """Whether a fault refuses the exchange: its detector's own setting, else the policy's."""
    active = policy.detectors.get(fault.detector)
    return (active.on_fault if active else policy.on_fault) is OnFault.CLOSED


def masked_findings(policy: Policy, direction: Direction, findings: Sequence[Finding]) -> list[Finding]:
    """The findings whose spans are masked (those that would block are, too, where only a mask is left)."""
    return [
        finding
        for finding in findings
        if STRENGTH[policy.action(finding.rule, finding.detector, direction)] >= STRENGTH[Action.MASK]
    ]
