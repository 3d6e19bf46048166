"""Guards a streamed answer, sans-io: text fragments in, text that may leave out, or a stop.

For any chunking of a stream the released text, the findings and the verdict are the same, nothing
blocked is ever released, and a streamed-and-masked answer equals the masked whole.
What it cannot do: a detector that has no `hold` (a classifier, a name tagger) is asked only when a
channel is complete; where its finding would mask or block, the whole channel is held until then.
Detectors whose findings change nothing read the first `KEPT` code points of a channel at its end.
"""

from collections.abc import Callable, Sequence

import msgspec

from sigmaguard.decide import STRENGTH
from sigmaguard.detector import Cost, Passage, StreamingDetector
from sigmaguard.inspection import SCORED_FAMILIES, Work, value_digest, views
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
from sigmaguard.reading import Reading
from sigmaguard.tail import open_from, uncut
from sigmaguard.wire.codec import Delta, Edit

CONTEXT = 256  # code points kept before the released point: the farthest a rule looks back
KEPT = 262_144  # code points of one channel kept for detectors that only observe
REPEATED = 64  # texts of `done` events whose outcome is kept: one text comes up to four times
_UNBROKEN = frozenset(" \n\t\r<>")  # without one of these the last word just goes on

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
        acting = [one for one in detectors if policy.may_act(one, Direction.OUTPUT)]
        self.holding = [one for one in acting if _can_hold(one)]
        self.whole_only = [one for one in acting if not _can_hold(one)]
        self.observing = [one for one in detectors if one not in acting]
        self.findings: list[Finding] = []
        self.faults: list[Fault] = []
        self.outcomes: dict[str, Outcome] = {one.detector.name: Outcome.CLEAN for one in detectors}
        self.score = 0.0
        self.stopped: Stop | None = None
        self._channels: dict[str, _Channel] = {}
        self._repeated: dict[Segment, str] = {}

    def feed(self, delta: Delta) -> str:
        """Takes a fragment; returns what may leave on its channel now."""
        if self.stopped:
            return ""
        channel = self._channels.get(delta.channel)
        if channel is None:
            channel = self._channels[delta.channel] = _Channel(self, delta)
        return channel.feed(delta.text)

    def held(self, name: str) -> int:
        """How many code points of a channel are held back."""
        channel = self._channels.get(name)
        return 0 if channel is None else channel.held

    def close(self, name: str) -> "Closing | None":
        """Ends a channel; what must still be looked at before the rest of it may leave."""
        channel = self._channels.pop(name, None)
        return None if channel is None or self.stopped else channel.close()

    def finish(self, name: str) -> str:
        """Ends a channel right here; returns what was still held."""
        closing = self.close(name)
        return "" if closing is None else closing.run_all()

    def finish_all(self) -> dict[str, str]:
        """Ends every channel still open; what was held on each."""
        return {name: self.finish(name) for name in self.open_channels()}

    def open_channels(self) -> list[str]:
        """The channels still open."""
        return list(self._channels)

    def arrived(self, segment: Segment) -> "Closing | None":
        """What must be looked at before a text that arrives complete may leave; None after a stop.

        A `done` event repeats what was streamed: a finding that was counted is not counted again.
        """
        if self.stopped:
            return None
        delta = Delta(segment.path, segment.path, segment.origin, segment.text, segment.is_json)
        channel = _Channel(self, delta, whole=True)
        channel.take(segment.text)
        closing = channel.close()
        bare = msgspec.structs.replace(segment, path="", message="")
        closing.known = self._repeated.get(bare)
        closing.key = bare
        return closing

    def whole(self, segment: Segment) -> str:
        """A text that arrives complete, as it may leave."""
        closing = self.arrived(segment)
        return "" if closing is None else closing.run_all()

    def remember(self, segment: Segment, text: str) -> None:
        """Keeps what became of a text that may come again."""
        if len(self._repeated) >= REPEATED:
            self._repeated.clear()
        self._repeated[segment] = text

    def note(self, finding: Finding, text: str, offset: int, path: str, *, repeated: bool = False) -> Action:
        """Counts a finding whose segment begins at `offset` of its channel; what the policy does about it.

        Allow where it does not count. `repeated` findings count only where none like it was seen.
        """
        policy = self.policy
        if finding.rule.startswith(SCORED_FAMILIES):
            self.score = max(self.score, finding.score)
        if not policy.counts(finding):
            return Action.ALLOW
        self.outcomes[finding.detector] = Outcome.FOUND
        digest = value_digest(text[finding.start : finding.end], self.digest_key)
        if not (repeated and any(one.rule == finding.rule and one.digest == digest for one in self.findings)):
            span = {"start": finding.start + offset, "end": finding.end + offset}
            self.findings.append(msgspec.structs.replace(finding, path=path, digest=digest, **span))
        return policy.action(finding.rule, finding.detector, Direction.OUTPUT)

    def look(self, actives: Sequence[ActiveDetector], passage: Passage) -> list[Finding]:
        """What these detectors find in a text; a detector that fails stops the stream or is noted."""
        found: list[Finding] = []
        for active in actives:
            try:
                found.extend(active.detector.detect((passage,))[0])
            except Exception as error:  # the detectors' door: whatever one raises is a fault of its own
                self.failed(active, f"{type(error).__name__} in {active.detector.name}")
        return found

    def failed(self, active: ActiveDetector, message: str, *, timed_out: bool = False) -> None:
        """Notes a detector that gave no answer; one that fails closed stops the stream."""
        name = active.detector.name
        closed = active.on_fault is OnFault.CLOSED
        kind = "detector_timeout" if timed_out else "detector_failed"
        if timed_out:
            self.outcomes[name] = Outcome.TIMED_OUT
        else:
            self.outcomes[name] = Outcome.FAILED_CLOSED if closed else Outcome.FAILED_OPEN
        if not any(fault.kind == kind and fault.detector == name for fault in self.faults):
            self.faults.append(Fault(FaultSource.DETECTOR, kind, message, retryable=True, detector=name))
        if closed:
            self.stopped = Stop(f"fault.{kind}")


class Closing:
    """The end of a channel: work to be run wherever the caller likes, then `release`."""

    def __init__(self, channel: "_Channel", work: list[Work]) -> None:
        self.work = work
        self.policy: Policy = channel.guard.policy
        self.known: str | None = None
        self.key: Segment | None = None
        self._channel = channel
        self._found: list[Finding] = []
        self._observed: list[Finding] = []

    def run(self, work: Work) -> None:
        """Runs one piece of work right here."""
        found = self._channel.guard.look((work.active,), work.passages[0])
        self.take(work, (found,))

    def take(self, work: Work, answer: Sequence[Sequence[Finding]]) -> None:
        """Takes a detector's answer."""
        (self._observed if work.active in self._channel.observing else self._found).extend(answer[0])

    def fail(self, work: Work, message: str, *, timed_out: bool = False) -> None:
        """Notes that a detector gave no answer."""
        self._channel.guard.failed(work.active, message, timed_out=timed_out)

    def release(self) -> str:
        """What was held, as it may leave, once all work is done."""
        if self.known is not None:
            return self.known
        text = self._channel.end(self._found, self._observed)
        if self.key is not None and not self._channel.guard.stopped:
            self._channel.guard.remember(self.key, text)
        return text

    def run_all(self) -> str:
        """Runs everything right here."""
        if self.known is None:
            for work in self.work:
                self.run(work)
        return self.release()


class _Channel:
    """One channel: `text` is context already released plus what is held; `done` parts the two.

    `offset` code points were dropped before `text`. `late` is text that only makes the last word longer.
    """

    __slots__ = (
        *("acting", "all", "delta", "done", "guard", "held", "hold_all", "holding", "kept", "late", "observing"),
        *("offset", "text", "waiting", "whole"),
    )

    def __init__(self, guard: StreamGuard, delta: Delta, *, whole: bool = False) -> None:
        self.guard = guard
        self.delta = delta
        self.whole = whole
        origin = delta.origin
        self.holding = [one for one in guard.holding if origin in one.origins]
        self.acting = [*self.holding, *(one for one in guard.whole_only if origin in one.origins)]
        self.observing = [one for one in guard.observing if origin in one.origins]
        # tool arguments are only safe to judge once their JSON is complete
        self.hold_all = whole or delta.is_json or len(self.acting) > len(self.holding)
        self.text = ""
        self.offset = self.done = self.kept = self.held = 0
        self.waiting = False
        self.late: list[str] = []
        self.all: list[str] = []

    def take(self, text: str) -> None:
        """Keeps a text to be looked at when the channel ends."""
        if self.observing and (self.kept < KEPT or self.whole):
            self.all.append(text)
            self.kept += len(text)
        if self.acting:
            self.late.append(text)
            self.held += len(text)

    def feed(self, text: str) -> str:
        self.take(text)
        if not self.acting:
            return text
        if not self.hold_all and not (self.waiting and _UNBROKEN.isdisjoint(text)):
            self._settle()
            return self._advance()
        return self._bounded()

    def _settle(self) -> None:
        self.text = "".join((self.text, *self.late))
        self.late.clear()

    def _advance(self) -> str:
        """Releases as far as no finding and no disguise could still begin or grow."""
        limit = open_from(self.text)
        self.waiting = limit <= self.done and not self.text[-1:].isspace()
        if limit <= self.done:
            return self._bounded()
        text = self.text
        is_plain = len(views(text, Direction.OUTPUT)) == 1
        if not is_plain:
            limit = uncut(text, limit)
            if limit <= self.done:
                return self._bounded()
        head = text[:limit]
        readings = (Reading(head),) if is_plain else views(head, Direction.OUTPUT)
        for active in self.holding:
            limit = min(limit, self._held_from(active, readings))
        if limit <= self.done:
            return self._bounded()
        segment = Segment(self.delta.path, self.delta.origin, head)
        findings = self.guard.look(self.holding, Passage(segment, readings, Direction.OUTPUT))
        return "" if self.guard.stopped else self._release(limit, findings)

    def _held_from(self, active: ActiveDetector, readings: Sequence[Reading]) -> int:
        """From where a detector wants text held, in any reading of it, as a point of the text as written."""
        detector: StreamingDetector = active.detector  # type: ignore[assignment]  # `_can_hold` has seen its `hold`
        limit = len(readings[0].text)
        try:
            limit = detector.hold(readings[0].text)
            for reading in readings[1:]:
                text = reading.text
                tail = open_from(text)
                at = min(tail, detector.hold(text[:tail]), detector.hold(text))
                if at < len(text):
                    limit = min(limit, reading.source(at, at)[0])
        except Exception as error:  # the detectors' door
            self.guard.failed(active, f"{type(error).__name__} in {active.detector.name}")
        return limit

    def _bounded(self) -> str:
        if self.held > self.guard.policy.limits.hold_chars:
            self.guard.faults.append(
                Fault(FaultSource.UPSTREAM, "hold_limit", "more text had to be held back than the policy allows")
            )
            self.guard.stopped = Stop("fault.hold_limit")
        return ""

    def _release(self, limit: int, found: Sequence[Finding]) -> str:
        found = [one for one in found if one.end > self.done]
        if not found:
            return self._moved(limit, self.text[self.done : limit])
        limit = self._uncrossed(limit, found)
        if limit <= self.done:
            return ""
        inside = sorted((one for one in found if one.start < limit), key=lambda one: (one.start, one.end, one.rule))
        masked: list[Finding] = []
        for one in inside:
            action = self.guard.note(one, self.text, self.offset, self.delta.channel, repeated=self.whole)
            if action is Action.BLOCK:
                self.guard.stopped = Stop(one.rule)
                limit = 0 if self.delta.is_json or self.whole else self._uncrossed(one.start, masked)
                break
            if STRENGTH[action] >= STRENGTH[Action.MASK]:
                masked.append(msgspec.structs.replace(one, start=max(one.start, self.done)))
        return self._moved(limit, self._masked(masked, limit))

    def _moved(self, limit: int, released: str) -> str:
        """What was released, once the window has moved on."""
        cut = max(0, limit - CONTEXT)
        self.text = self.text[cut:]
        self.offset += cut
        self.done = limit - cut
        self.held = len(self.text) - self.done
        return released

    def _uncrossed(self, limit: int, found: Sequence[Finding]) -> int:
        """The farthest point up to `limit` that lies inside no finding."""
        while True:
            crossing = min((one.start for one in found if one.start < limit < one.end), default=limit)
            if crossing >= limit:
                return max(limit, self.done)
            limit = crossing

    def _masked(self, masked: Sequence[Finding], limit: int) -> str:
        text, at = self.text, self.done
        inside = [one for one in masked if one.end <= limit]
        if not inside:
            return text[at:limit]
        segment = Segment(self.delta.path, self.delta.origin, text, is_json=self.delta.is_json)
        pieces: list[str] = []
        for edit in sorted(self.guard.masker(segment, inside), key=lambda one: one.start):
            pieces += (text[at : max(at, edit.start)], edit.text)
            at = max(at, edit.end)
        pieces.append(text[at:limit])
        return "".join(pieces)

    def close(self) -> Closing:
        """The work that the end of this channel asks for."""
        self._settle()
        work: list[Work] = []
        if self.acting and len(self.text) > self.done:
            work += self._work(self.acting, self.text)
        if self.observing and self.all:
            work += self._work(self.observing, "".join(self.all))
        return Closing(self, work)

    def _work(self, actives: Sequence[ActiveDetector], text: str) -> list[Work]:
        segment = Segment(self.delta.path, self.delta.origin, text, is_json=self.delta.is_json)
        passage = Passage(segment, views(text, Direction.OUTPUT), Direction.OUTPUT)
        return [Work(active, [passage], []) for active in actives]

    def end(self, found: Sequence[Finding], observed: Sequence[Finding]) -> str:
        """The rest of the channel as it may leave."""
        guard = self.guard
        if guard.stopped:
            return ""
        released = self._release(len(self.text), found)
        if observed and not guard.stopped:
            text = "".join(self.all)
            for one in observed:
                guard.note(one, text, 0, self.delta.channel, repeated=self.whole)
        return self.delta.text if self.whole and not self.acting else released


def _can_hold(active: ActiveDetector) -> bool:
    return active.detector.cost is Cost.INLINE and hasattr(active.detector, "hold")
