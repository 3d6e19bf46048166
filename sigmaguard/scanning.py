"""Texts to verdicts in one call, without a server: for the command line, tests and in-process use."""

from collections.abc import Sequence

import msgspec

from sigmaguard.decide import decide, masked_findings
from sigmaguard.inspection import Inspection
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Action, Direction, Finding, Mode, Origin, Segment, Timing, Verdict
from sigmaguard.policy.compiled import Policy

MASK_KEY = b"sigmaguard scan"  # scanning prints masked text only to whoever gave the text


class ScanResult(msgspec.Struct, frozen=True):
    """What enforce would do with one text; `text` is the masked text, None where nothing is masked."""

    action: Action
    score: float
    findings: tuple[Finding, ...]
    text: str | None = None
    verdict: Verdict | None = None


class Scanner:
    """Inspects single texts under one policy; every text stands alone."""

    def __init__(self, policy: Policy, memory_entries: int = 10_000) -> None:
        self.policy = policy
        self._memory = VerdictMemory(memory_entries)

    def scan(self, texts: Sequence[tuple[Origin, str]], direction: Direction = Direction.INPUT) -> list[ScanResult]:
        """One result a text, in order."""
        return [self.scan_segments([Segment("/text", origin, text)], direction) for origin, text in texts]

    def scan_segments(self, segments: Sequence[Segment], direction: Direction) -> ScanResult:
        """The result of several segments that belong to one exchange; `text` is the first one's."""
        findings: list[Finding] = []
        inspections = [
            Inspection(self.policy, direction, timing, segments, self._memory, tenant="", digest_key=MASK_KEY)
            for timing in Timing
        ]
        for inspection in inspections:
            for work in inspection.work():
                inspection.run(work)
            findings += inspection.finish()
        verdict = decide(
            self.policy,
            Mode.ENFORCE,
            direction,
            findings,
            faults=[fault for one in inspections for fault in one.faults],
            outcomes={name: outcome for one in inspections for name, outcome in one.outcomes.items()},
            score=max(one.score for one in inspections),
        )
        text = self._masked(segments[0], verdict, direction) if verdict.action is Action.MASK else None
        return ScanResult(verdict.action, verdict.score, verdict.findings, text, verdict)

    def _masked(self, segment: Segment, verdict: Verdict, direction: Direction) -> str:
        found = [one for one in masked_findings(self.policy, direction, verdict.findings) if one.path == segment.path]
        text = segment.text
        vault = Vault((text,))
        edits = mask_segment(segment, found, self.policy.masks, vault, MASK_KEY, direction)
        for edit in sorted(edits, key=lambda one: one.start, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text
