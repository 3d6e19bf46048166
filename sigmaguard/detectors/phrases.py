"""Finds sentences that give a model orders it must not take. Knows rule files, not what is done about a finding.

A rule is a keyword with which the sentence begins and a pattern that matches from there. An Aho-Corasick
automaton finds the keywords of all rules in one pass; only there is a pattern tried, over a bounded span, so
the work is linear in the text. In a pattern a space stands for any gap between two words (` ?` for one that
may be missing), `{any}` for up to three words that do not matter, and a letter with a mark also matches what
people write for it (`ü`, `ue`, `u`).
What it cannot do: understand. An order in words that no rule has is the classifier's to find.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from sigmaguard.detector import Cost, Passage
from sigmaguard.detectors.keywords import Keywords, lower
from sigmaguard.errors import ConfigError
from sigmaguard.gate import gate, literal
from sigmaguard.model import Finding, Origin
from sigmaguard.outline import EDGE, outline
from sigmaguard.policy.pack import Rule
from sigmaguard.prefilter import prefilter
from sigmaguard.reading import Reading
from sigmaguard.splice import SEAM, composed

LONGEST = 240  # code points a phrase may span, what tells a mention included; joined texts reach 256 to either side
_LONGEST_KEYWORD = 40
BEFORE = 160  # code points before a phrase in which a cue tells that it is only mentioned
FEW = 3  # phrases whose keywords are sooner looked for one by one than with those of all others
SOME = 8  # phrases of which RE2 tells sooner whether they begin anywhere than Aho-Corasick where any does,
SHORT = 256  # in texts longer than this
MOST = 200  # findings a passage: a text that repeats one phrase a million times is found guilty without counting
MENTIONED = 0.6  # a phrase in quotation marks that the sentence talks about
DESCRIBED = 0.7  # a phrase that stands in a sentence about such attacks
HIDDEN = 0.9  # the least score of a phrase that someone took the trouble to encode
TAGS = ("OWASP:LLM01:2025", "ATLAS:AML.T0051")

_STRANGERS = frozenset({Origin.DOCUMENT, Origin.TOOL_RESULT, Origin.TOOL_DEFINITION, Origin.TOOL_CALL})
_HIDING = frozenset({"base64", "base32", "hex", "binary", "rot13", "leet", "reversed", "spaced", "decimal", "grouped"})
_MARKED_LETTERS = {"ä": "(?:ä|ae?)", "ö": "(?:ö|oe?)", "ü": "(?:ü|ue?)", "ß": "(?:ß|ss)"} | {
    marked: f"[{marked}{plain}]" for marked, plain in zip("áàâéèêëíìîïóòôúùûñç", "aaaeeeeiiiiooouuunc", strict=True)
}
_SPELLINGS = {
    "ä": ("ä", "ae", "a"),
    "ö": ("ö", "oe", "o"),
    "ü": ("ü", "ue", "u"),
    "ß": ("ß", "ss"),
    "'": ("'", "’", ""),
} | {marked: (marked, plain) for marked, plain in zip("áàâéèêëíìîïóòôúùûñç", "aaaeeeeiiiiooouuunc", strict=True)}
_GAP = r"[\W_]{1,6}"
_ANY = rf"(?:(?:[^\W_]|['’-]){{1,24}}+{_GAP}){{0,3}}"
_WIDEST_GAP = 6
# More than a gap, between words; what parts two windows of a reading must stay as wide as it is
_PADDING = re.compile(rf"[\W_]{{{_WIDEST_GAP + 1},}}+")
# The same at memory speed, for nearly all texts have none: letters and digits as `w`, all else as a blank
_AS_PADDING = bytes(ord("w") if chr(byte).isalnum() and byte < 128 else ord(" ") for byte in range(256))
_LEAST_PADDING = b" " * (_WIDEST_GAP + 1)
_BLANKS = re.compile(rb" {%d,}+" % (_WIDEST_GAP + 1))
_PADDED_END = re.compile(r"[\W_]{1,6}\Z")
_PADDED_TAIL = 4_096  # code points of a growing text in which padding is taken out
_EDGE = r"(?:(?<![^\W_])|(?![^\W_]))"  # as \b, but an underscore parts words too

_APOSTROPHE = "['’´`]?"
_CLASS = re.compile(r"(?<!\\)(\[[^\]]*\])")

_OPENING = re.compile(r"""(?:^|[\s(:\[,;=-])["'„“”«»‚‘`]{1,3}[^"„“”«»`\n]{0,40}\Z""")
_CLOSING = re.compile(r"""[^"“”«»`\n]{0,160}?["'“”«»‘’`](?!\w)""")
_CUE = re.compile(
    r"(?<![./\w])(?:mean(?:s|ing)?|phrases?|sentences?|wording|example|e\.g|such as|like|detect\w*|explain\w*|translate"
    r"|defin\w+|quot\w+|article|attack\w*|injection\w*|payloads?|why|study|paper|bedeute[nt]?|heisst|heißt|satz|sätze"
    r"|beispiel\w*|z\. ?b|wie etwa|erkenn\w+|erklär\w+|übersetz\w+|angriff\w*|warum|zitat\w*|artikel|sogenannte\w*)\b"
)
_DESCRIBING = re.compile(
    r"(?:prompt[- ]?injections?|jailbreak\w*|injection attacks?|angreifer\w*|attackers?)\b[^.!?\n]{0,60}"
    r"\b(?:like|such as|e\.g|for example|say\w*|writ\w+|contain\w*|embed\w*|hid\w+|wie|etwa|z\. ?b|beispielsweise"
    r"|schreib\w+|enth\w+|consist\w*|instruct\w*|try|tries|versuch\w+)\b[^.!?\n]{0,60}\Z"
)

# Somebody tells what they or a machine do, which is no order: "I can ...", "make the system ...", "il m'a dit d'..."
_REPORTING = re.compile(
    r"(?:\b(?:i|we|he|she|they|it)"
    r"(?: (?:can|could|may|might|should|must|would|did|have to|had to|just|simply|also)){0,2} "
    r"|\b(?:make|makes|making|let|lets|have|has)(?: (?:the|a|my|our|git|it))? \w{2,12} "
    r"|\b(?:dit|detto|dicho|peux|posso|puedo) (?:de |d['’]|di |que )?)\Z"
)

V = TypeVar("V")


class Phrase:
    """One rule, ready to match."""

    __slots__ = ("begins", "id", "limit", "origins", "outline", "pattern", "score", "squeezed", "tags", "words")

    def __init__(self, rule: Rule) -> None:
        self.id = rule.id
        self.score = rule.score
        self.origins = frozenset(rule.origins or Origin)
        self.tags = rule.tags or TAGS
        self.words = frozenset(word for keyword in rule.keywords for word in _spellings(keyword.lower()))
        self.begins = gate([literal(word) for word in self.words])
        self.limit = min(rule.max_chars, LONGEST)
        self.pattern = _compiled(rule, _GAP, _ANY, _EDGE)
        # texts that may have lost the gaps between words: letters put together, texts laid side by side
        self.squeezed = _compiled(rule, r"[\W_]{0,6}", "", "")
        self.outline = outline(_compiled(rule, r"[\W_]{0,6}", _ANY, "").pattern, ignores_case=True).after(EDGE)


@lru_cache(2_048)
def _phrase(rule: Rule) -> Phrase:
    """A rule made ready; compiling a hundred patterns takes a second, and every policy has the same ones."""
    return Phrase(rule)


def _compiled(rule: Rule, gap: str, any_words: str, edge: str) -> re.Pattern[str]:
    words = "|".join(re.escape(word).replace("\\ ", " ") for word in rule.keywords)
    pieces = _CLASS.split(rule.pattern or rf"(?:{words})\b")
    source = "".join(piece if at % 2 else _loosened(piece, gap, any_words, edge) for at, piece in enumerate(pieces))
    try:
        return re.compile(source)
    except re.error as error:
        raise ConfigError(f"rule `{rule.id}`: pattern is no regular expression: {error}") from error


def _loosened(piece: str, gap: str, any_words: str, edge: str) -> str:
    """A piece of a pattern outside character classes, with its shorthands written out."""
    piece = "".join(_MARKED_LETTERS.get(char, char) for char in piece)
    optional = gap.replace("{1,", "{0,")
    piece = piece.replace("{any} ", "\0").replace(" ?", optional).replace(" ", gap)
    return piece.replace("'", _APOSTROPHE).replace("\\b", edge).replace("\0", any_words)


def _spellings(word: str) -> Iterable[str]:
    spelled = [""]
    for char in word:
        spelled = [start + way for start in spelled for way in _SPELLINGS.get(char, (char,))]
    return spelled


class Phrases:
    """The detector over a set of phrases."""

    name = "phrases"
    version = "1"
    cost = Cost.INLINE

    def __init__(self, rules: Sequence[Rule]) -> None:
        starts: dict[str, list[Phrase]] = {}
        for rule in rules:
            if not rule.keywords:
                raise ConfigError(f"rule `{rule.id}`: give the `keywords` that a match begins with")
            phrase = _phrase(rule)
            for word in phrase.words:
                starts.setdefault(word, []).append(phrase)
        self._starts = _tuples(starts)
        self._keywords: Keywords[tuple[Phrase, ...]] = Keywords(self._starts)
        self._phrases = tuple(dict.fromkeys(_phrase(rule) for rule in rules))
        self._prefilter = prefilter(tuple(one.outline for one in self._phrases))

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order."""
        return [self._look(passage) for passage in passages]

    def _look(self, passage: Passage) -> list[Finding]:
        found: dict[tuple[str, int, int], Finding] = {}
        for reading in passage.readings:
            possible = self._possible(reading)
            if not possible:
                continue
            look = _Look(passage, reading)
            if len(possible) <= SOME and len(look.lowered) > SHORT:
                lowered = look.lowered.encode("utf-8", "surrogatepass")
                possible = [phrase for phrase in possible if phrase.begins.search(lowered) is not None]
            for at, phrases in self._places(look.lowered, possible):
                if at and not look.spaced and look.lowered[at - 1].isalnum():
                    continue
                for phrase in phrases:
                    if phrase in possible and passage.segment.origin in phrase.origins:
                        look.match(phrase, at, found)
                if len(found) >= MOST:
                    return list(found.values())
        return list(found.values())

    def _possible(self, reading: Reading) -> Collection[Phrase]:
        """The phrases that can be in a reading."""
        # letters put together begin a phrase wherever they like
        seen = None if "spaced" in reading.kind else self._prefilter.seen(reading.text)
        return self._phrases if seen is None else [self._phrases[at] for at in seen]

    def _places(self, lowered: str, possible: Collection[Phrase]) -> Iterable[tuple[int, tuple[Phrase, ...]]]:
        """Where a phrase can begin, by where its keyword ends, the longest first."""
        if len(possible) > FEW:
            return self._keywords.find(lowered)
        found: list[tuple[int, int, str]] = []
        for word in {word for phrase in possible for word in phrase.words}:
            at = lowered.find(word)
            while at >= 0:
                found.append((at + len(word), at, word))
                at = lowered.find(word, at + 1)
        found.sort()
        return [(at, self._starts[word]) for _, at, word in found]

    def hold(self, text: str) -> int:
        """Code point from which a phrase could begin or still grow."""
        first = max(0, len(text) - LONGEST - _LONGEST_KEYWORD)
        tail = lower(text[first:])
        if _may_be_padded(tail):
            return self._hold_padded(text)
        return first + self._held(tail)

    def _hold_padded(self, text: str) -> int:
        """The same where padding makes a phrase as long as it likes."""
        first = max(0, len(text) - _PADDED_TAIL)
        while first > 0 and len(text) - first < 2 * _PADDED_TAIL and not text[first].isalnum():
            first -= 1
        tail, kept = unpadded(Reading(text[first:]), lower(text[first:]))
        begin = max(0, len(kept) - LONGEST - _LONGEST_KEYWORD)
        at = begin + self._held(kept[begin:])
        # padding at the end may go on, and then looks otherwise
        ending = _PADDED_END.search(kept)
        at = min(at, ending.start()) if ending else at
        return first + (tail.source(at, at)[0] if at < len(kept) else len(text) - first)

    def _held(self, tail: str) -> int:
        size = len(tail)
        limit = self._keywords.unfinished(tail)
        for at, phrases in self._keywords.find(tail):
            if at < limit and any(at + phrase.limit > size for phrase in phrases):
                limit = at
        return limit


def _may_be_padded(text: str) -> bool:
    """Whether so much stands between two words that a phrase would not reach over it; a foreign letter counts too."""
    return _LEAST_PADDING in _blanked(text)


def _blanked(text: str) -> bytes:
    return text.encode("ascii", "replace").translate(_AS_PADDING)


def _paddings(text: str) -> Iterator[tuple[int, int]]:
    seen = _blanked(text)
    if _LEAST_PADDING in seen:
        spans = [match.span() for match in _BLANKS.finditer(seen)]
        if not text.isascii():
            spans = [match.span() for span in spans for match in _PADDING.finditer(text, *span)]
        yield from (spans if SEAM not in text else [span for span in spans if SEAM not in text[slice(*span)]])


def unpadded(reading: Reading, lowered: str) -> tuple[Reading, str]:
    """The reading and its text in lower case (as long) without padding between words: of it the ends stay."""
    half = _WIDEST_GAP // 2
    cuts = [(start + half, end - half) for start, end in _paddings(lowered)]
    if not cuts:
        return reading, lowered
    begins = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(lowered)]
    kept = list(zip(begins, ends, strict=True))

    def sides() -> tuple[list[int], list[int]]:
        starts = [point for begin, end in kept for point in range(begin, end)]
        return starts, [point + 1 for point in starts]

    less = "".join(lowered[begin:end] for begin, end in kept)
    return composed(reading, less, reading.kind, sides, adds=False), less


class _Look:
    """One reading of one passage being looked at."""

    __slots__ = ("hidden", "is_trusted", "lowered", "reading", "spaced", "squeezed")

    def __init__(self, passage: Passage, reading: Reading) -> None:
        kinds = reading.kind.split("+")
        self.reading, self.lowered = unpadded(reading, lower(reading.text))
        self.spaced = "spaced" in kinds
        self.squeezed = self.spaced or passage.is_joined
        self.hidden = not _HIDING.isdisjoint(kinds)
        self.is_trusted = passage.segment.origin not in _STRANGERS

    def match(self, phrase: Phrase, at: int, found: dict[tuple[str, int, int], Finding]) -> None:
        """Tries a phrase at a keyword and adds what it finds."""
        reach = at + phrase.limit
        match = phrase.pattern.match(self.lowered, at, reach)
        if match is None and self.squeezed:
            match = phrase.squeezed.match(self.lowered, at, reach)
        if match is None:
            return
        start, end = self.reading.source(at, match.end())
        key = (phrase.id, start, end)
        if key in found:
            return
        score = phrase.score * self._mention(at, match.end(), reach)
        if self.hidden:
            score = max(score, HIDDEN)
        found[key] = Finding(
            phrase.id, "phrases", start, end, round(score, 3), view=self.reading.kind, tags=phrase.tags
        )

    def _mention(self, start: int, end: int, reach: int) -> float:
        """By how much a phrase weighs less because the text only speaks about it.

        What strangers wrote must also say that it describes an attack: anyone can put quotation marks.
        """
        before = self.lowered[max(0, start - BEFORE) : start]
        after = self.lowered[end:reach]
        quoted = _OPENING.search(before) and _CLOSING.match(after)
        described = _DESCRIBING.search(before)
        if self.is_trusted:
            if quoted and (_CUE.search(before) or _CUE.search(after)):
                return MENTIONED
            return DESCRIBED if described or _REPORTING.search(before) else 1.0
        return DESCRIBED if quoted and described else 1.0


def _tuples(lists: Mapping[str, Sequence[V]]) -> dict[str, tuple[V, ...]]:
    return {key: tuple(dict.fromkeys(values)) for key, values in lists.items()}


def build(options: dict[str, object], rules: Sequence[Rule]) -> Phrases:
    """The detector over these rules; it has no options. Raises ConfigError."""
    if options:
        raise ConfigError(f"options.{next(iter(options))}: `phrases` has no options; write rules")
    return Phrases(rules)
