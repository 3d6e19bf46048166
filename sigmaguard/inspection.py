"""One direction of one exchange being inspected, without I/O: what is new, who must look, what they said.

Knows the verdict memory and the detectors' protocol; runs no thread, reads no clock, decides nothing.
The caller runs each `Work` where it likes (the loop, a pool) and hands back what came of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from sigmaguard.detector import Passage
from sigmaguard.digests import Digests, content_digest
from sigmaguard.fold import UNSTREAMED, readings
from sigmaguard.joined import Joined, beside, seams, take_back
from sigmaguard.memory import Prefix, Remembered, VerdictMemory
from sigmaguard.model import Direction, Fault, FaultSource, Finding, Origin, Outcome, Segment, Timing
from sigmaguard.policy.compiled import ActiveDetector, Plan, Policy
from sigmaguard.reading import Reading

LEAST_PREFIX = 2  # a single text is remembered by itself
MOST_PLACES = 256  # findings kept of one beginning
Place = tuple[int, Finding, int]  # the segment it is in, the finding, the last segment it needs
SCORED_FAMILIES = ("injection.", "jailbreak.")


def views(text: str, direction: Direction) -> tuple[Reading, ...]:
    """The readings that detectors look at: all of a request's, of an answer's those that a stream gives too."""
    every = readings(text)
    if direction is Direction.INPUT or len(every) == 1:
        return every
    return tuple(one for one in every if not one.kind.endswith(UNSTREAMED))


@dataclass(slots=True, eq=False)
class Work:
    """Passages that one detector must look at; `rows` says which new text each belongs to. Lists are shared."""

    active: ActiveDetector
    passages: list[Passage]
    rows: list[int]


@dataclass(slots=True, eq=False)
class _Row:
    """One text not remembered: a segment's (index) or a seam's (joined)."""

    key: tuple[str, str, bytes]
    index: int
    joined: Joined | None
    findings: list[Finding] = field(default_factory=list)
    whole: bool = True


class Inspection:
    """Collects findings of one plan (direction and timing) over the segments of one body."""

    def __init__(
        self,
        policy: Policy,
        direction: Direction,
        timing: Timing,
        segments: Sequence[Segment],
        memory: VerdictMemory,
        *,
        tenant: str,
        digest_key: bytes,
        digests: Digests | None = None,
    ) -> None:
        self.policy = policy
        self.direction = direction
        self.plan: Plan = policy.plan(direction, timing)
        self.segments = segments
        self.score = 0.0
        self.faults: list[Fault] = []
        self.outcomes: dict[str, Outcome] = {}
        self._memory = memory
        self._digest_key = digest_key
        self._scope = f"{self.plan.scope}/{tenant}"
        self._rows: list[_Row] = []
        self._places: list[Place] = []
        self._scores: list[tuple[int, float]] = []  # the last segment that a score needs, and the score
        self._across: list[tuple[Joined, tuple[Finding, ...]]] = []
        self._digests = digests or Digests(segments)
        if self.plan.detectors:
            self._recall(self._known_prefix())

    @property
    def fresh(self) -> int:
        """How many texts had not been seen before."""
        return len(self._rows)

    @property
    def fresh_chars(self) -> int:
        """How many code points those texts have; what is laid side by side counts again."""
        return sum([len(self._text_of(row)) for row in self._rows])

    def _text_of(self, row: _Row) -> str:
        return row.joined.text if row.joined else self.segments[row.index].text

    def _known_prefix(self) -> int:
        """How many segments from the start are remembered as one; what was found in them counts again."""
        for count, digest in self._digests.prefixes():
            known = self._memory.get_prefix(self._scope, digest, count)
            if known is not None:
                self.score = known.score
                self._scores.append((-1, known.score))
                self._places += known.findings
                return count
        return 0

    def _recall(self, first: int) -> None:
        scope, wanted, memory, digests = self._scope, self.plan.origins, self._memory, self._digests
        segments = self.segments
        for index in range(first, len(segments)):
            segment = segments[index]
            if segment.origin not in wanted or not segment.text:
                continue
            key = (scope, segment.origin, digests.of(index))
            known = memory.get(key)
            if known is None:
                self._rows.append(_Row(key, index, None))
            else:
                self._add(index, known)
        if not self.plan.is_inline:
            return
        seam_scope = scope + "/seam"
        for joined in seams(segments, first):
            key = (seam_scope if joined.within else seam_scope + "s", joined.origin, content_digest(joined.text))
            known = memory.get(key)
            if known is None:
                self._rows.append(_Row(key, -1, joined))
            elif known.findings:
                self._across.append((joined, known.findings))

    def _add(self, index: int, known: Remembered) -> None:
        self._count(index, known.score)
        for one in known.findings:
            self._places.append((index, one, index))

    def _place_across(self) -> None:
        """What was found beside the seams, after all that the texts show by themselves."""
        placed: set[tuple[int, Finding]] = set()
        own: dict[tuple[int, str], list[Finding]] = {}
        for index, finding, _ in self._places:
            placed.add((index, finding))
            own.setdefault((index, finding.detector), []).append(finding)
        # in the order of the texts: what an early seam shows is never put down to a later one
        for joined, findings in sorted(self._across, key=_last):
            needs = _last((joined, findings))
            for pieces in take_back(joined, findings):
                if any(_is_surer(own.get((index, piece.detector), ()), piece) for index, piece in pieces):
                    continue  # a key that ends its text, which the next text's first word only seems to prolong
                for place in pieces:
                    if place not in placed:  # several seams show the same
                        placed.add(place)
                        self._place(*place, needs)
            for index, finding in beside(joined, findings):
                others = own.setdefault((index, finding.detector), [])
                if not any(_says_as_much(other, finding) for other in others):
                    others.append(finding)
                    self._place(index, finding, needs)
        self._across = []

    def _place(self, index: int, finding: Finding, needs: int) -> None:
        if finding.rule.startswith(SCORED_FAMILIES):
            self._count(needs, finding.score)
        self._places.append((index, finding, needs))

    def _count(self, needs: int, score: float) -> None:
        if score:
            self._scores.append((needs, score))
            self.score = max(self.score, score)

    def work(self) -> list[Work]:
        """What each detector must look at; empty where everything was seen before."""
        present = {segment.origin for segment in self.segments if segment.text}
        outcomes, clean, not_run = self.outcomes, Outcome.CLEAN, Outcome.NOT_RUN
        for active in self.plan.detectors:
            outcomes[active.detector.name] = not_run if active.origins.isdisjoint(present) else clean
        if not self._rows:
            return []
        passages = [self._passage(row) for row in self._rows]
        every: list[Work] = []
        alike: dict[object, tuple[list[Passage], list[int]]] = {}  # most detectors look at the same
        for active in self.plan.detectors:
            shown = alike.get(active.looks_at)
            if shown is None:
                chosen = self._concerned(*active.looks_at)
                shown = alike[active.looks_at] = [passages[at] for at in chosen], chosen
            if shown[1]:
                every.append(Work(active, *shown))
        return every

    def _passage(self, row: _Row) -> Passage:
        if row.joined is None:
            segment = self.segments[row.index]
            return Passage(segment, views(segment.text, self.direction), self.direction)
        segment = Segment("", row.joined.origin, row.joined.text)
        return Passage(segment, views(segment.text, self.direction), self.direction, is_joined=True)

    def _concerned(self, origins: frozenset[Origin], is_inline: bool, is_across: bool) -> list[int]:
        """The rows that detectors with these `looks_at` look at."""
        segments = self.segments
        chosen: list[int] = []
        for at, row in enumerate(self._rows):
            joined = row.joined
            if joined is None:
                if segments[row.index].origin in origins:
                    chosen.append(at)
            elif is_inline and joined.origin in origins and (is_across or joined.within):
                chosen.append(at)
        return chosen

    def run(self, work: Work) -> None:
        """Runs one piece of work right here and takes its answer; a failure becomes a fault."""
        try:
            answer = work.active.detector.detect(work.passages)
        except Exception as error:  # the detectors' door: whatever one raises is a fault of its own
            self.fail(work, f"{type(error).__name__} in {work.active.detector.name}")
        else:
            self.take(work, answer)

    def take(self, work: Work, answer: Sequence[Sequence[Finding]]) -> None:
        """Takes a detector's answer: one list of findings a passage."""
        if len(answer) != len(work.passages):
            self.fail(work, f"{work.active.detector.name} answered {len(answer)} of {len(work.passages)} passages")
            return
        for at, findings in zip(work.rows, answer, strict=True):
            if findings:
                self._rows[at].findings.extend(findings)

    def fail(self, work: Work, message: str, *, timed_out: bool = False) -> None:
        """Notes that a detector gave no answer: its texts are not remembered and `decide` hears of it."""
        name = work.active.detector.name
        if timed_out:
            outcome = Outcome.TIMED_OUT
        elif work.active.on_fault.value == "closed":
            outcome = Outcome.FAILED_CLOSED
        else:
            outcome = Outcome.FAILED_OPEN
        self.outcomes[name] = outcome
        kind = "detector_timeout" if timed_out else "detector_failed"
        self.faults.append(Fault(FaultSource.DETECTOR, kind, message, retryable=True, detector=name))
        for at in work.rows:
            self._rows[at].whole = False

    def finish(self) -> list[Finding]:
        """Every finding that counts under the policy, remembered for the next time."""
        for row in self._rows:
            known = self._judge(row.findings, self._text_of(row))
            if row.whole:
                self._memory.put(row.key, known)
            if row.joined is None:
                self._add(row.index, known)
            elif known.findings:
                self._across.append((row.joined, known.findings))
        if self._across:
            self._place_across()
        self._remember_prefix()
        self._rows = []
        found = [msgspec.structs.replace(one, path=self.segments[index].path) for index, one, _ in self._places]
        for finding in found:
            if self.outcomes.get(finding.detector) is Outcome.CLEAN:
                self.outcomes[finding.detector] = Outcome.FOUND
        return found

    def _remember_prefix(self) -> None:
        """The whole conversation as it stands, the next turn's beginning, and what came before its last text: the
        beginning of the same question put another way, or of many put side by side."""
        if not self._rows or len(self.segments) < LEAST_PREFIX or len(self._places) > MOST_PLACES:
            return
        if not all(row.whole for row in self._rows):
            return
        prefixes = self._digests.prefixes()
        _, digest = prefixes[0]
        self._memory.put_prefix(self._scope, digest, Prefix(tuple(self._places), self.score))
        count, digest = prefixes[1]
        if count >= LEAST_PREFIX:
            places = tuple(place for place in self._places if place[2] < count)
            score = max((score for needs, score in self._scores if needs < count), default=0.0)
            self._memory.put_prefix(self._scope, digest, Prefix(places, score))

    def _judge(self, findings: Sequence[Finding], text: str) -> Remembered:
        if not findings:
            return NOTHING
        policy = self.policy
        score = max((one.score for one in findings if one.rule.startswith(SCORED_FAMILIES)), default=0.0)
        kept = tuple(
            msgspec.structs.replace(one, digest=value_digest(text[one.start : one.end], self._digest_key))
            for one in findings
            if policy.counts(one)
        )
        return Remembered(kept, score)


NOTHING = Remembered((), 0.0)


def _says_as_much(one: Finding, other: Finding) -> bool:
    """Whether a finding overlaps another and is at least as sure."""
    return one.start < other.end and other.start < one.end and one.score >= other.score


def _is_surer(own: Sequence[Finding], piece: Finding) -> bool:
    """Whether what a text shows by itself holds all that a finding across a seam has of it, and says so more surely."""
    return any(one.start <= piece.start and piece.end <= one.end and one.score > piece.score for one in own)


def _last(across: tuple[Joined, Sequence[Finding]]) -> int:
    """The segment behind a seam."""
    return across[0].parts[-1].index


def value_digest(value: str, key: bytes) -> str:
    """A keyed digest of matched text (16 hex digits): tells that two findings saw the same, never what."""
    return blake2b(value.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()
