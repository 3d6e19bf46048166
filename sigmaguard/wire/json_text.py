"""Spans and edits of a text that is itself JSON source, fitted so that it stays valid JSON. Detects nothing."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from sigmaguard.model import Finding
from sigmaguard.wire.codec import Edit

Span = tuple[int, int]

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
    escapes: dict[int, list[Span]] = {}  # of a string, looked for once: a file written by a call is one string
    fitted: list[Finding] = []
    for finding in findings:
        at = max(0, bisect_right(starts, finding.start) - 1)
        while at < len(tokens) and tokens[at][0] < finding.end:
            start, end = _fit(source, tokens[at], finding.start, finding.end, escapes)
            if start < end:
                fitted.append(msgspec.structs.replace(finding, start=start, end=end))
            at += 1
    return fitted


def _fit(source: str, token: Span, start: int, end: int, escapes: dict[int, list[Span]]) -> Span:
    """What of [start, end) lies in a token, on its characters' boundaries; empty where nothing does."""
    token_start, token_end = token
    if source[token_start] != '"':
        return (token_start, token_end) if start < token_end and token_start < end else (0, 0)
    closed = token_end - token_start > 1 and source[token_end - 1] == '"'
    inner_start, inner_end = token_start + 1, token_end - closed
    start, end = max(start, inner_start), min(end, inner_end)
    if start >= end:
        return 0, 0
    if token_start not in escapes:
        escapes[token_start] = [escape.span() for escape in _ESCAPE.finditer(source, inner_start, inner_end)]
    known = escapes[token_start]
    if cut := _across(known, start):
        start = cut[1] if cut[1] - cut[0] == 2 else cut[0]
    if cut := _across(known, end):
        end = cut[1]
    return start, end


def _across(spans: list[Span], at: int) -> Span | None:
    """The span, of some in order, that `at` lies within."""
    place = bisect_left(spans, (at,)) - 1
    return spans[place] if place >= 0 and at < spans[place][1] else None


def quote_scalars(source: str, edits: Sequence[Edit]) -> list[Edit]:
    """The edits with those that replace a number, `true`, `false` or `null` put in quotes."""
    if not edits:
        return []
    scalars = {match.span() for match in _TOKEN.finditer(source) if source[match.start()] != '"'}
    return [
        msgspec.structs.replace(edit, text=f'"{edit.text}"') if (edit.start, edit.end) in scalars else edit
        for edit in edits
    ]
