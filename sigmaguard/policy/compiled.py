"""A policy compiled for the hot path: an immutable snapshot. Knows tables, not how they were written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sigmaguard.actions.compiled import Tools
from sigmaguard.detector import Cost, Detector
from sigmaguard.model import Action, Direction, Finding, OnFault, Origin, Timing
from sigmaguard.policy.pack import Limits, MaskConfig, Pack, UnknownEndpoints

# Which inline detectors look across a seam between messages: those whose finding cannot come about by two
# harmless messages standing side by side. Within one message all of them do.
ACROSS_MESSAGES = frozenset({"phrases", "leaks", "canary", "dictionary"})


@dataclass(frozen=True, slots=True, eq=False)
class ActiveDetector:
    """A detector with what the policy says of it. `families` of rules it may find, empty: any.

    Detectors with equal `looks_at` look at the same texts: the origins, whether it runs inline, whether it looks
    across messages.
    """

    detector: Detector
    actions: tuple[Action, Action]  # input, output
    threshold: float
    timing: Timing
    origins: frozenset[Origin]
    on_fault: OnFault
    families: frozenset[str] = frozenset()
    looks_at: tuple[frozenset[Origin], bool, bool] = field(init=False)

    def __post_init__(self) -> None:
        is_inline = self.detector.cost is Cost.INLINE
        looks_at = self.origins, is_inline, is_inline and self.detector.name in ACROSS_MESSAGES
        object.__setattr__(self, "looks_at", looks_at)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The detectors of one direction and timing, and the origins any of them looks at.

    `scope` is part of the verdict memory's key: it names everything that could change an answer.
    """

    scope: str
    detectors: tuple[ActiveDetector, ...]
    origins: frozenset[Origin]
    is_inline: bool = field(init=False)  # whether any of them is

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_inline", any(active.looks_at[1] for active in self.detectors))


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Everything an exchange needs to be judged; taken once per exchange.

    `revision` is a digest of the pack, its rules and the detectors' versions. `files` are those that rules
    and options were read from: compiled again after a change, they make another revision. `rule_actions`
    and `rule_thresholds` are exact rule ids or families (`leak.*`); `disabled` rules never count.
    """

    name: str
    revision: str
    description: str
    plans: Mapping[tuple[Direction, Timing], Plan]
    detectors: Mapping[str, ActiveDetector]
    rule_actions: Mapping[str, tuple[Action | None, Action | None]]
    rule_thresholds: Mapping[str, float]
    disabled: frozenset[str]
    masks: Mapping[str, MaskConfig]
    limits: Limits
    budget_ms: float
    on_fault: OnFault
    unknown_endpoints: UnknownEndpoints
    refuse_unknown_fields: bool
    tools: Tools
    pack: Pack
    files: tuple[Path, ...] = ()

    def plan(self, direction: Direction, timing: Timing) -> Plan:
        """The detectors of one direction and timing."""
        return self.plans[direction, timing]

    def action(self, rule: str, detector: str, direction: Direction) -> Action:
        """What the policy does about a finding of this rule: the rule's, its family's, the detector's."""
        at = 0 if direction is Direction.INPUT else 1
        for name in (rule, rule.partition(".")[0] + ".*"):
            chosen = self.rule_actions.get(name)
            if chosen is not None and chosen[at] is not None:
                return chosen[at] or Action.ALLOW
        active = self.detectors.get(detector)
        return active.actions[at] if active else Action.FLAG

    def threshold(self, rule: str, detector: str) -> float:
        """The least score at which a finding of this rule counts."""
        for name in (rule, rule.partition(".")[0] + ".*"):
            if name in self.rule_thresholds:
                return self.rule_thresholds[name]
        active = self.detectors.get(detector)
        return active.threshold if active else 0.0

    def counts(self, finding: Finding) -> bool:
        """Whether a finding counts: its rule and family are enabled and its score reaches the threshold."""
        rule, disabled = finding.rule, self.disabled
        if disabled and (rule in disabled or rule.partition(".")[0] + ".*" in disabled):
            return False
        return finding.score >= self.threshold(rule, finding.detector)

    def may_act(self, active: ActiveDetector, direction: Direction) -> bool:
        """Whether any finding of a detector could mask or block in this direction."""
        at = 0 if direction is Direction.INPUT else 1
        strong = (Action.MASK, Action.BLOCK)
        if active.actions[at] in strong:
            return True
        families = active.families
        return any(
            actions[at] in strong and (not families or name.partition(".")[0] in families)
            for name, actions in self.rule_actions.items()
        )

    def __repr__(self) -> str:
        return f"Policy({self.name!r}, revision={self.revision!r})"
