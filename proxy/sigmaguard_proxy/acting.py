"""Stage 6 and 9: findings to edits, placeholders back to values. Knows which findings are masked, not how."""

from collections.abc import Sequence

import msgspec

from sigmaguard.decide import masked_findings
from sigmaguard.detectors.urls import TAGS, UrlsDetector
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Direction, Finding, Segment, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard.restore import Span
from sigmaguard.url_trace import Allows
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.json_text import fit_findings, quote_scalars
from sigmaguard_proxy.exchange import Exchange

KEPT_RULE = "url.masked_value"


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


def restore_edits(
    exchange: Exchange, segments: Sequence[Segment], edits: Sequence[Edit]
) -> tuple[list[Edit], list[Finding]]:
    """The edits of an answer with its placeholders restored: one whole-string edit a changed segment.

    The findings say where a placeholder was left as it is, inside a URL.
    """
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    assert exchange.vault is not None
    allows = allowed_hosts(exchange.policy)
    result: list[Edit] = []
    findings: list[Finding] = []
    for segment in segments:
        text = apply_edits(segment.text, by_path.get(segment.path, ()))
        kept: list[Span] = []
        text = exchange.vault.restore(text, is_json=segment.is_json, allows=allows, kept=kept)
        findings += kept_findings(segment.path, kept)
        if text != segment.text:
            result.append(Edit(segment.path, 0, len(segment.text), text))
    return result, findings


def allowed_hosts(policy: Policy) -> Allows | None:
    """Which hosts the policy's URL allow list names; None where it has none."""
    active = policy.detectors.get("urls")
    detector = active.detector if active else None
    if isinstance(detector, UrlsDetector) and len(detector.allow):
        return detector.allow.has_host
    return None


def kept_findings(path: str, kept: Sequence[Span]) -> list[Finding]:
    """What the record says of placeholders that were not restored: nothing is done about them any more."""
    return [Finding(KEPT_RULE, "restore", start, end, 1.0, path=path, tags=TAGS) for start, end in kept]


def with_kept(verdict: Verdict, findings: Sequence[Finding]) -> Verdict:
    """A verdict that also tells of placeholders that were not restored."""
    return msgspec.structs.replace(verdict, findings=(*verdict.findings, *findings)) if findings else verdict
