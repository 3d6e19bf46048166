"""Stage 6 and 9: findings to edits, placeholders back to values. Knows which findings are masked, not how."""

from collections.abc import Sequence

from sigmaguard.decide import masked_findings
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Direction, Finding, Segment, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.json_text import fit_findings, quote_scalars
from sigmaguard_proxy.exchange import Exchange


def mask_request(exchange: Exchange, verdict: Verdict, key: bytes) -> list[Edit]:
    """The edits that mask a request; fills the exchange's vault so that the answer can be restored."""
    exchange.vault = Vault(segment.text for segment in exchange.segments)
    return _masks(exchange.policy, Direction.INPUT, verdict, exchange.segments, exchange.vault, key)


def mask_answer(policy: Policy, verdict: Verdict, segments: Sequence[Segment], key: bytes) -> list[Edit]:
    """The edits that mask an answer; nothing is reversible there, since nobody may restore it."""
    return _masks(policy, Direction.OUTPUT, verdict, segments, Vault(()), key)


def _masks(
    policy: Policy, direction: Direction, verdict: Verdict, segments: Sequence[Segment], vault: Vault, key: bytes
) -> list[Edit]:
    by_path: dict[str, list[Finding]] = {}
    for finding in masked_findings(policy, direction, verdict.findings):
        by_path.setdefault(finding.path, []).append(finding)
    edits: list[Edit] = []
    for segment in segments:
        found = by_path.get(segment.path)
        if found:
            edits += mask(segment, found, policy, vault, key, direction)
    return edits


def mask(
    segment: Segment, findings: Sequence[Finding], policy: Policy, vault: Vault, key: bytes, direction: Direction
) -> list[Edit]:
    """The edits that mask findings in one segment; JSON source stays valid JSON."""
    if not segment.is_json:
        return mask_segment(segment, findings, policy.masks, vault, key, direction)
    fitted = fit_findings(segment.text, findings)
    return quote_scalars(segment.text, mask_segment(segment, fitted, policy.masks, vault, key, direction))


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
