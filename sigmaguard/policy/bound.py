"""A policy for the answer to one request: detectors that compare the two are given the request. Decides nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sigmaguard.detector import Detector
from sigmaguard.model import Direction, Segment, Timing
from sigmaguard.policy.compiled import ActiveDetector, Policy


class Binding(Protocol):
    """A detector that looks at an answer with its request in mind."""

    def bind(self, segments: Sequence[Segment]) -> Detector | None:
        """The detector of one exchange; None where the request gives nothing to compare with."""
        ...


def bound(policy: Policy, segments: Sequence[Segment]) -> Policy:
    """The policy as it judges the answer to a request of these segments; itself where nothing depends on them.

    The verdict memory is kept apart for every request that matters: a detector's version is in its key.
    """
    plan = policy.plan(Direction.OUTPUT, Timing.BEFORE)
    if not any(hasattr(one.detector, "bind") for one in plan.detectors):
        return policy
    chosen = tuple(_bound(one, segments) for one in plan.detectors)
    versions = "/".join(new.detector.version for new, old in zip(chosen, plan.detectors, strict=True) if new is not old)
    if not versions:
        return policy
    own = replace(plan, scope=f"{plan.scope}/{versions}", detectors=chosen)
    return replace(policy, plans={**policy.plans, (Direction.OUTPUT, Timing.BEFORE): own})


def _bound(active: ActiveDetector, segments: Sequence[Segment]) -> ActiveDetector:
    binding: Binding | None = active.detector if hasattr(active.detector, "bind") else None  # type: ignore[assignment]
    detector = binding.bind(segments) if binding else None
    return active if detector is None else replace(active, detector=detector)
