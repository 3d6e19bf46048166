"""Finds characters that make a text other than it looks: terminal escapes, invisible and reordering characters.

Knows code points only, no words. Which check makes which finding is written in `rules/unsafe_text.yaml`.
Reads the text as written, and JSON source also with its escapes undone, since that is what will be shown.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding, Origin
from sigmaguard.outline import Outline
from sigmaguard.policy.pack import Rule
from sigmaguard.prefilter import prefilter
from sigmaguard.reading import Reading

TAGS = ("OWASP:LLM05:2025",)
LONGEST = 512  # code points of one escape sequence; a run of invisible characters may be longer
_CODE = 1  # raise when the same rules could give another answer

_INVISIBLE = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u180e\ufeff\u00ad\u115f\u1160\u3164\uffa0"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAG_CHARACTERS = "\U000e0000-\U000e007f"
_OVERRIDES = "\u202d\u202e"
_EMBEDDINGS = "\u202a\u202b\u202c\u2066\u2067\u2068\u2069"

# The regional flags of England, Scotland, Wales and others are a black flag, tag letters and a tag end
_FLAG = r"\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_UNSAFE = re.compile(
    r"(?P<flag>" + _FLAG + r")"
    r"|(?P<command>\x1b[\]PX^_][^\x07\x1b\x9c]{0,480}(?:\x07|\x1b\\|\x9c)?|[\x9d\x90][^\x07\x1b\x9c]{0,480}(?:\x07|\x9c)?)"
    r"|(?P<color>(?:\x1b\[|\x9b)[0-9;:]{0,64}m)"
    r"|(?P<cursor>(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?|\x1b[ -/]{0,8}[0-Z\\^-~]?)"
    rf"|(?P<tags>[{_TAG_CHARACTERS}]+)"
    rf"|(?P<override>[{_OVERRIDES}])"
    rf"|(?P<embedding>[{_EMBEDDINGS}])"
    rf"|(?P<selectors>[{_SELECTORS}]{{3,}})"
    rf"|(?P<invisible>[{_INVISIBLE}]{{3,}})"
    r"|(?P<control>[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]+)"
)
CHECKS = frozenset(_UNSAFE.groupindex) - {"flag"}
_SUSPECT = re.compile(
    rf"[\x00-\x08\x0e-\x1f\x7f\x90\x9b\x9d{_OVERRIDES}{_EMBEDDINGS}{_SELECTORS}{_INVISIBLE}{_TAG_CHARACTERS}]"
)
# The same in UTF-8, a little wider: by blocks of code points
_BYTES = (
    r"[\x00-\x08\x0e-\x1f\x7f]|\xc2[\x90\x9b\x9d\xad]|\xe1[\x85\xa0]|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]"
    r"|\xe3\x85\xa4|\xef[\xb8\xbb\xbe]|\xf3\xa0"
)
_PREFILTER = prefilter((Outline(_BYTES),))
_RUN = re.compile(rf"[\U0001f3f4\x00-\x08\x0e-\x1a\x1c-\x1f\x7f{_SELECTORS}{_INVISIBLE}{_TAG_CHARACTERS}]")
_INTRODUCERS = re.compile(r"[\x1b\x90\x9b\x9d]")


class UnsafeTextDetector:
    """The checks over a text in one pass. Immutable, so any number of threads may share it."""

    name = "unsafe_text"
    cost = Cost.INLINE

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = _by_origin(rules)
        self.version = sha256(msgspec.json.encode((_CODE, tuple(rules)))).hexdigest()[:12]

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order."""
        return [self._look(passage) for passage in passages]

    def _look(self, passage: Passage) -> list[Finding]:
        found: list[Finding] = []
        rules = self.rules[passage.segment.origin]
        for at, reading in enumerate(passage.readings):
            if at == 0 or (passage.segment.is_json and "escaped" in reading.kind.split("+")):
                _look_at(reading, rules, found)
        return found

    def hold(self, text: str) -> int:
        """Code point from which a run of such characters or an escape sequence could still grow."""
        end = len(text)
        limit = end
        while limit > 0 and _RUN.match(text, limit - 1):
            limit -= 1
        for match in _INTRODUCERS.finditer(text, max(0, end - LONGEST)):
            sequence = _UNSAFE.match(text, match.start())
            if sequence and sequence.end() >= limit:
                return min(limit, match.start())
        return limit


def _look_at(reading: Reading, rules: Mapping[str, Sequence[Rule]], found: list[Finding]) -> None:
    text = reading.text
    if _PREFILTER.seen(text) == []:
        return
    first = _SUSPECT.search(text)
    if first is None:
        return
    for match in _UNSAFE.finditer(text, max(0, first.start() - 1)):
        check = match.lastgroup or ""
        for rule in rules.get(check, ()):
            start, end = reading.source(match.start(), match.end())
            tags = rule.tags or TAGS
            entity = rule.entity or "UNSAFE_TEXT"
            found.append(
                Finding(rule.id, "unsafe_text", start, end, rule.score, entity=entity, view=reading.kind, tags=tags)
            )


def _by_origin(rules: Sequence[Rule]) -> dict[Origin, dict[str, list[Rule]]]:
    table: dict[Origin, dict[str, list[Rule]]] = {origin: {} for origin in Origin}
    for rule in rules:
        if rule.check not in CHECKS:
            raise ConfigError(f"rule `{rule.id}`: `check` is one of {', '.join(sorted(CHECKS))}, not `{rule.check}`")
        for origin in rule.origins or tuple(Origin):
            table[origin].setdefault(rule.check, []).append(rule)
    return table


def build(options: dict[str, object], rules: Sequence[Rule]) -> UnsafeTextDetector:
    """The detector over these rules; it has no options. Raises ConfigError."""
    if options:
        raise ConfigError(f"options.{next(iter(options))}: `unsafe_text` has no options; change its rules")
    return UnsafeTextDetector(rules)
