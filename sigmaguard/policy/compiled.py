"""A policy compiled for the hot path: an immutable snapshot. Knows tables, not how they were written."""

from collections.abc import Mapping
from dataclasses import dataclass

from sigmaguard.detector import Detector
from sigmaguard.model import Action, Direction, OnFault, Origin, Timing
from sigmaguard.policy.pack import Limits, MaskConfig, Pack


@dataclass(frozen=True, slots=True, eq=False)
class ActiveDetector:
    """A detector with what the policy says of it."""

    detector: Detector
    actions: tuple[Action, Action]  # input, output
    threshold: float
    timing: Timing
    origins: frozenset[Origin]
    directions: frozenset[Direction]
    on_fault: OnFault


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Everything an exchange needs to be judged; taken once per exchange.

    `revision` is a digest of the pack, its rules and the detectors' versions. `rule_actions` and
    `rule_thresholds` are exact rule ids or families (`leak.*`); `disabled` rules never count.
    """

    name: str
    revision: str
    description: str
    detectors: tuple[ActiveDetector, ...]
    rule_actions: Mapping[str, tuple[Action | None, Action | None]]
    rule_thresholds: Mapping[str, float]
    disabled: frozenset[str]
    masks: Mapping[str, MaskConfig]
    limits: Limits
    budget_ms: float
    on_fault: OnFault
    refuse_unknown_endpoints: bool
    refuse_unknown_fields: bool
    pack: Pack

    def __repr__(self) -> str:
        return f"Policy({self.name!r}, revision={self.revision!r})"
