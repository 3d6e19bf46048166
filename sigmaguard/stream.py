"""Guards a streamed answer, sans-io: text fragments in, text that may leave out, or a stop.

For any chunking of a stream the released text, the findings and the verdict are the same, nothing
blocked is ever released, and a streamed-and-masked answer equals the masked whole.
What it cannot do: a detector that has no `hold` (a classifier, a name tagger) is asked only when a
channel is complete, over at most `KEPT` code points; where its finding would mask or block, the whole
channel is held until then.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from sigmaguard.decide import STRENGTH
from sigmaguard.detector import Passage
from sigmaguard.fold import readings
from sigmaguard.inspection import SCORED_FAMILIES, value_digest
from sigmaguard.model import (
    Action,
    Direction,
    Fault,
    FaultSource,
    Finding,
    OnFault,
    Outcome,
    Segment,
    Timing,
)
from sigmaguard.policy.compiled import ActiveDetector, Policy
from sigmaguard.wire.codec import Delta, Edit

CONTEXT = 256  # code points kept before the released point: the farthest a rule looks back
KEPT = 262_144  # code points of one channel that detectors without `hold` may look at, at its end

# A tail that could still turn into disguised text: an encoded run, letters spaced out, anything
# beyond ASCII (invisible characters, look-alikes), an escape that is not complete.
_DISGUISE = re.compile(r"(?:[A-Za-z0-9+/_=-]{16,}|(?:[^\s][ ._\-]){2,}[^\s]?|[^\s]*[^\x00-\x7f][^\s]*|[\\%&][^\s]*)\Z")
_DISGUISE_REACH = 4_096

Masker = Callable[[Segment, Sequence[Finding]], list[Edit]]


class Stop(msgspec.Struct, frozen=True):
    """The stream may not go on: the rule that says so, or the fault (`fault.hold_limit`)."""

    rule: str


class StreamGuard:
    """One answer's guard over all its channels.

    `masker` turns the findings of a segment into edits. After a stop nothing more is released.
    """

    def __init__(
        self,
        policy: Policy,
        masker: Masker,
        digest_key: bytes,
        extra: Sequence[ActiveDetector] = (),
    ) -> None:
        self.policy = policy
        self.masker = masker
        self.digest_key = digest_key
        detectors = [*policy.plan(Direction.OUTPUT, Timing.BEFORE).detectors, *extra]
        acting = [one for one in detectors if _may_act(policy, one)]
        self.holding = [one for one in acting if hasattr(one.detector, "hold")]
        self.whole_only = [one for one in acting if not hasattr(one.detector, "hold")]
        self.observing = [one for one in detectors if one not in acting]
        self.findings: list[Finding] = []
        self.faults: list[Fault] = []
        self.outcomes: dict[str, Outcome] = {one.detector.name: Outcome.CLEAN for one in detectors}
        self.score = 0.0
        self.stopped: Stop | None = None
        self._channels: dict[str, _Channel] = {}
        self._streamed = False

    def feed(self, delta: Delta) -> str:
        """Takes a fragment; returns what may leave on its channel now."""
        if self.stopped:
            return ""
        self._streamed = True
        channel = self._channels.get(delta.channel)
        if channel is None:
            channel = self._channels[delta.channel] = _Channel(self, delta)
        return channel.feed(delta.text)

    def finish(self, name: str) -> str:
        """Ends a channel; returns what was still held."""
        channel = self._channels.pop(name, None)
        if channel is None or self.stopped:
            return ""
        return channel.finish()

    def finish_all(self) -> dict[str, str]:
        """Ends every channel still open; what was held on each."""
        return {name: self.finish(name) for name in self.open_channels()}

    def open_channels(self) -> list[str]:
        """The channels still open."""
        return list(self._channels)

    def whole(self, segment: Segment) -> str:
        """A text that arrives complete (a `done` event that repeats it); as it may leave.

        Its findings count only where no fragment was seen before: otherwise they are repetitions.
        """
        if self.stopped:
            return ""
        delta = Delta("", segment.path, segment.origin, segment.text, segment.is_json)
        known = len(self.findings)
        channel = _Channel(self, delta, hold_all=True)
        text = channel.feed(segment.text) + channel.finish()
        if self._streamed and not self.stopped:
            del self.findings[known:]
        return text

    def note(self, finding: Finding, text: str, path: str) -> Action:
        """Counts a finding; what the policy does about it. Allow where it does not count."""
        policy = self.policy
        if finding.rule.startswith(SCORED_FAMILIES):
            self.score = max(self.score, finding.score)
        if finding.rule in policy.disabled or finding.score < policy.threshold(finding.rule, finding.detector):
            return Action.ALLOW
        self.outcomes[finding.detector] = Outcome.FOUND
        self.findings.append(msgspec.structs.replace(finding, path=path, digest=value_digest(text, self.digest_key)))
        return policy.action(finding.rule, finding.detector, Direction.OUTPUT)

    def look(self, actives: Sequence[ActiveDetector], segment: Segment) -> list[Finding]:
        """What these detectors find in a text; a detector that fails stops the stream or is noted."""
        concerned = [one for one in actives if segment.origin in one.origins]
        if not concerned or not segment.text:
            return []
        passage = Passage(segment, readings(segment.text), Direction.OUTPUT)
        found: list[Finding] = []
        for active in concerned:
            try:
                found.extend(active.detector.detect((passage,))[0])
            except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
                self._failed(active, type(error).__name__)
        return found

    def _failed(self, active: ActiveDetector, what: str) -> None:
        name = active.detector.name
        closed = active.on_fault is OnFault.CLOSED
        self.outcomes[name] = Outcome.FAILED_CLOSED if closed else Outcome.FAILED_OPEN
        self.faults.append(
            Fault(FaultSource.DETECTOR, "detector_failed", f"{what} in {name}", retryable=True, detector=name)
        )
        if closed:
            self.stopped = Stop("fault.detector_failed")


class _Channel:
    """One channel: `text` is context already released plus what is held; `done` parts the two."""

    __slots__ = ("all", "delta", "done", "guard", "hold_all", "kept", "text")

    def __init__(self, guard: StreamGuard, delta: Delta, *, hold_all: bool = False) -> None:
        self.guard = guard
        self.delta = delta
        self.text = ""
        self.done = 0
        # tool arguments are only safe to judge once their JSON is complete
        self.hold_all = hold_all or delta.is_json or bool(guard.whole_only)
        self.all: list[str] = []
        self.kept = 0

    def feed(self, text: str) -> str:
        guard = self.guard
        if guard.observing and self.kept < KEPT:
            self.all.append(text)
            self.kept += len(text)
        if not guard.holding and not guard.whole_only:
            return text
        self.text += text
        limit = self.done if self.hold_all else self._hold()
        if limit <= self.done:
            return self._bounded()
        return self._release(limit, guard.holding)

    def _hold(self) -> int:
        """The code point from which text must wait: the earliest any detector or disguise asks for."""
        text, limit = self.text, len(self.text)
        for active in self.guard.holding:
            if self.delta.origin in active.origins:
                limit = min(limit, active.detector.hold(text))  # type: ignore[attr-defined]
        tail_from = max(0, len(text) - _DISGUISE_REACH)
        disguise = _DISGUISE.search(text, tail_from)
        if disguise:
            limit = min(limit, disguise.start())
        return limit

    def _bounded(self) -> str:
        if len(self.text) - self.done > self.guard.policy.limits.hold_chars:
            self.guard.faults.append(
                Fault(FaultSource.UPSTREAM, "hold_limit", "more text had to be held back than the policy allows")
            )
            self.guard.stopped = Stop("fault.hold_limit")
        return ""

    def _release(self, limit: int, actives: Sequence[ActiveDetector]) -> str:
        guard, text, done = self.guard, self.text, self.done
        segment = Segment(self.delta.path, self.delta.origin, text, is_json=self.delta.is_json)
        found = [one for one in guard.look(actives, segment) if one.end > done and one.start < limit]
        if guard.stopped:
            return ""
        if found:
            found.sort(key=lambda one: (one.start, one.end))
            crossing = min((one.start for one in found if one.end > limit), default=limit)
            limit = max(done, crossing)
            found = [one for one in found if one.start < limit]
        masked: list[Finding] = []
        for one in found:
            action = guard.note(one, text[one.start : one.end], self.delta.channel)
            if action is Action.BLOCK:
                guard.stopped = Stop(one.rule)
                limit = max(done, one.start)
                break
            if STRENGTH[action] >= STRENGTH[Action.MASK]:
                masked.append(msgspec.structs.replace(one, start=max(one.start, done)))
        released = self._masked(segment, masked, limit)
        cut = max(0, limit - CONTEXT)
        self.text = text[cut:]
        self.done = limit - cut
        return released

    def _masked(self, segment: Segment, masked: Sequence[Finding], limit: int) -> str:
        text, at = segment.text, self.done
        inside = [one for one in masked if one.end <= limit]
        if not inside:
            return text[at:limit]
        pieces: list[str] = []
        for edit in sorted(self.guard.masker(segment, inside), key=lambda one: one.start):
            pieces += (text[at : max(at, edit.start)], edit.text)
            at = max(at, edit.end)
        pieces.append(text[at:limit])
        return "".join(pieces)

    def finish(self) -> str:
        guard = self.guard
        released = ""
        if len(self.text) > self.done:
            released = self._release(len(self.text), [*guard.holding, *guard.whole_only])
        if guard.observing and self.all and not guard.stopped:
            whole = Segment(self.delta.path, self.delta.origin, "".join(self.all), is_json=self.delta.is_json)
            for one in guard.look(guard.observing, whole):
                guard.note(one, whole.text[one.start : one.end], self.delta.channel)
        return released


def _may_act(policy: Policy, active: ActiveDetector) -> bool:
    """Whether any finding of a detector could mask or block an answer."""
    if STRENGTH[active.actions[1]] >= STRENGTH[Action.MASK]:
        return True
    return any(
        actions[1] is not None and STRENGTH[actions[1]] >= STRENGTH[Action.MASK]
        for actions in policy.rule_actions.values()
    )
