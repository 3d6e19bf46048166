"""Finds credentials: keywords first, a pattern only around them, then entropy and checksum. Knows no format itself.

The formats are the rules of `rules/leaks.*.yaml`. What it cannot do: see a credential that has neither
a telling prefix nor a telling word before it.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.detectors.credential import LOOKAHEAD, Credential, Growing, Match
from sigmaguard.detectors.keywords import Keywords
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding
from sigmaguard.policy.pack import Rule
from sigmaguard.prefilter import prefilter

TAGS = ("OWASP:LLM02:2025", "ATLAS:AML.T0057")
_BLOCK = 512
_CODE = 1  # raise when the same rules could give another answer

Found = tuple[Credential, Match]


class LeaksDetector:
    """Every leak rule of a policy over a text in one pass. Immutable, so any number of threads may share it."""

    name = "leaks"
    cost = Cost.INLINE

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.credentials = tuple(Credential(rule, TAGS) for rule in rules)
        self.version = sha256(msgspec.json.encode((_CODE, tuple(rules)))).hexdigest()[:12]
        words: dict[str, list[Credential]] = {}
        for credential in self.credentials:
            for word in credential.keywords:
                words.setdefault(word, []).append(credential)
        bounded = {word for word, found in words.items() if all(one.leads and one.bounded for one in found)}
        heads = {word: "|".join(dict.fromkeys(one.head for one in found)) for word, found in words.items()}
        known = {word: head for word, head in heads.items() if all(one.head for one in words[word])}
        self._keywords = Keywords({word: tuple(found) for word, found in words.items()}, bounded, known)
        self._prefilter = prefilter(tuple(one.outline for one in self.credentials))
        self._unkeyed = tuple(one for one in self.credentials if not one.keywords)
        inner = [one for one in self.credentials if not one.leads]
        self._spanning = tuple(one for one in inner if one.shape.spans_spaces)
        self._solid = Growing([one for one in inner if not one.shape.spans_spaces])
        self._reach = max((one.reach for one in self.credentials), default=0)

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in the order they stand; of overlapping ones the most specific."""
        return [self._passage(passage) for passage in passages]

    def _passage(self, passage: Passage) -> list[Finding]:
        candidates: dict[tuple[int, int, str], Finding] = {}
        origin = passage.segment.origin
        for reading in passage.readings:
            for credential, (_, _, start, end) in self._matches(reading.text):
                rule = credential.rule
                if rule.origins and origin not in rule.origins:
                    continue
                begin, stop = reading.source(start, end)
                finding = Finding(
                    rule.id,
                    self.name,
                    begin,
                    stop,
                    rule.score,
                    entity=rule.entity,
                    view=reading.kind,
                    tags=credential.tags,
                )
                candidates.setdefault((begin, stop, rule.id), finding)
        return resolve(candidates.values()) if candidates else []

    def _matches(self, text: str) -> list[Found]:
        seen = self._prefilter.seen(text)
        if seen is not None and not seen:
            return []
        possible = None if seen is None else frozenset([self.credentials[at] for at in seen])
        found: list[Found] = []
        ends: dict[str, int] = {}  # where the last match of a rule that leads ended
        windows: dict[Credential, list[tuple[int, int]]] = {}
        for at, credentials in self._keywords.find(text):
            for credential in credentials:
                if possible is not None and credential not in possible:
                    continue
                if not credential.leads:
                    window = (at - credential.reach, at + credential.reach + LOOKAHEAD)
                    windows.setdefault(credential, []).append(window)
                elif at >= ends.get(credential.rule.id, 0):
                    match = credential.match(text, at)
                    if match:
                        ends[credential.rule.id] = match[1]
                        found.append((credential, match))
        for credential, spans in windows.items():
            for start, end in joined(spans, len(text)):
                found.extend((credential, match) for match in credential.search(text, start, end))
        for credential in self._unkeyed:
            if possible is not None and credential not in possible:
                continue
            found.extend((credential, match) for match in credential.search(text, 0, len(text)))
        return found

    def hold(self, text: str) -> int:
        """Where the first match begins that could still come about or grow; len(text) where none could."""
        limit = self._open_from(text)
        if limit < len(text):
            for match in sorted((match for _, match in self._matches(text)), reverse=True):
                if match[0] < limit < match[1]:
                    limit = match[0]
        return limit

    def _open_from(self, text: str) -> int:
        size = len(text)
        tail_at = max(0, size - self._reach)
        limit = tail_at + self._keywords.unfinished(text[tail_at:])
        for at, credentials in self._keywords.find(text[tail_at:], unfinished=True):
            at += tail_at
            if at < limit and any(
                one.leads and size - at <= one.reach and one.may_grow(text, at) for one in credentials
            ):
                limit = at
        for credential in self._spanning:
            limit = min(limit, credential.grows_from(text, max(0, size - credential.reach)))
        run = max(size - self._solid.reach, _run_start(text))
        return min(limit, self._solid.grows_from(text, run)) if run < limit else limit


def _run_start(text: str) -> int:
    """Where the run of characters without a space at the text's end begins."""
    at = len(text)
    while at and not text[at - 1].isspace():
        at -= 1
    return at


def joined(spans: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Spans in order, clipped to [0, size), overlapping ones joined."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        start, end = max(0, start), min(size, end)
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def resolve(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order they stand; one that a surer (then longer) one covers by half or more is dropped."""
    kept: list[Finding] = []
    near: dict[int, list[Finding]] = {}  # by block of the text, so that many findings cost no more each
    ranked = sorted(
        findings, key=lambda one: (-one.score, one.view != "plain", one.start - one.end, one.start, one.rule)
    )
    for one in ranked:
        blocks = range(one.start // _BLOCK, one.end // _BLOCK + 1)
        if any(_covers(other, one) for block in blocks for other in near.get(block, ())):
            continue
        kept.append(one)
        for block in blocks:
            near.setdefault(block, []).append(one)
    return sorted(kept, key=lambda one: (one.start, one.end, one.rule))


def _covers(surer: Finding, other: Finding) -> bool:
    return 2 * (min(surer.end, other.end) - max(surer.start, other.start)) >= other.end - other.start


def build(options: dict[str, object], rules: Sequence[Rule]) -> LeaksDetector:
    """The detector of a policy's leak rules. Raises ConfigError."""
    if options:
        raise ConfigError(f"options.{min(options)}: leaks takes no options; its rules are files and `custom_rules`")
    return LeaksDetector(rules)
