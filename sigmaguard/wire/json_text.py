"""Spans and edits of a text that is itself JSON source, fitted so that it stays valid JSON. Detects nothing."""

import re
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from sigmaguard.model import Finding
from sigmaguard.wire.codec import Edit

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^\s{}\[\],:"]++', re.S)
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.S)


def fit_findings(source: str, findings: Sequence[Finding]) -> list[Finding]:
    """The findings with their spans on whole characters of JSON strings and on whole scalars.

    A span that begins in an escape begins after it (`\\nbob@example.org` is not `nbob`), one that
    crosses from one string into another becomes one span in each, and a number is taken whole.
    """
    if not findings:
        return []
    tokens = [match.span() for match in _TOKEN.finditer(source)]
    starts = [start for start, _ in tokens]
    fitted: list[Finding] = []
    for finding in findings:
        at = max(0, bisect_right(starts, finding.start) - 1)
        while at < len(tokens) and tokens[at][0] < finding.end:
            start, end = _fit(source, *tokens[at], finding.start, finding.end)
            if start < end:
                fitted.append(msgspec.structs.replace(finding, start=start, end=end))
            at += 1
    return fitted


def _fit(source: str, token_start: int, token_end: int, start: int, end: int) -> tuple[int, int]:
    """What of [start, end) lies in a token, on its characters' boundaries; empty where nothing does."""
    if source[token_start] != '"':
        return (token_start, token_end) if start < token_end and token_start < end else (0, 0)
    closed = token_end - token_start > 1 and source[token_end - 1] == '"'
    inner_start, inner_end = token_start + 1, token_end - closed
    start, end = max(start, inner_start), min(end, inner_end)
    if start >= end:
        return 0, 0
    for escape in _ESCAPE.finditer(source, inner_start, inner_end):
        low, high = escape.span()
        if low < start < high:
            start = high if high - low == 2 else low
        if low < end < high:
            end = high
        if low >= end:
            break
    return start, end


def quote_scalars(source: str, edits: Sequence[Edit]) -> list[Edit]:
    """The edits with those that replace a number, `true`, `false` or `null` put in quotes."""
    if not edits:
        return []
    scalars = {match.span() for match in _TOKEN.finditer(source) if source[match.start()] != '"'}
    return [
        msgspec.structs.replace(edit, text=f'"{edit.text}"') if (edit.start, edit.end) in scalars else edit
        for edit in edits
    ]
