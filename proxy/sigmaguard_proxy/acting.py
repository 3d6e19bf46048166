"""Stage 6 and 9: findings to edits, placeholders back to values. Knows which findings are masked, not how."""

from collections.abc import Sequence

from sigmaguard.decide import masked_findings
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Direction, Finding, Segment, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.codec import Edit
from sigmaguard_proxy.exchange import Exchange


def mask_request(exchange: Exchange, verdict: Verdict, key: bytes) -> list[Edit]:
    """The edits that mask a request; fills the exchange's vault so that the answer can be restored."""
    policy = exchange.policy
    vault = exchange.vault = Vault(segment.text for segment in exchange.segments)
    by_path = _by_path(masked_findings(policy, Direction.INPUT, verdict.findings))
    edits: list[Edit] = []
    for segment in exchange.segments:
        found = by_path.get(segment.path)
        if found:
            edits += mask_segment(segment, found, policy.masks, vault, key, Direction.INPUT)
    return edits


def mask_answer(policy: Policy, verdict: Verdict, segments: Sequence[Segment], key: bytes) -> list[Edit]:
    """The edits that mask an answer; nothing is reversible there, since nobody may restore it."""
    by_path = _by_path(masked_findings(policy, Direction.OUTPUT, verdict.findings))
    vault = Vault(())
    edits: list[Edit] = []
    for segment in segments:
        found = by_path.get(segment.path)
        if found:
            edits += mask_segment(segment, found, policy.masks, vault, key, Direction.OUTPUT)
    return edits


def restore_edits(vault: Vault, segments: Sequence[Segment], edits: Sequence[Edit]) -> list[Edit]:
    """The edits of an answer with its placeholders restored: one whole-string edit a changed segment."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    result: list[Edit] = []
    for segment in segments:
        text = apply_edits(segment.text, by_path.get(segment.path, ()))
        text = vault.restore(text, is_json=segment.is_json)
        if text != segment.text:
            result.append(Edit(segment.path, 0, len(segment.text), text))
    return result


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """A text with non-overlapping edits applied."""
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _by_path(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    result: dict[str, list[Finding]] = {}
    for finding in findings:
        result.setdefault(finding.path, []).append(finding)
    return result
