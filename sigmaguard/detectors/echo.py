"""Finds an answer that repeats a long part of its request's system prompt. Knows words, not meaning.

The prompt is known only within an exchange, so the policy's detector finds nothing until it is bound to
the request's segments (`bind`). A passage counts that is made of the prompt's own pieces of `PIECE` words,
with at most `GAP` other words between two pieces. What the caller wrote too is no secret and does not count.
What it cannot do: see a paraphrase or a translation.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Annotated

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule

RULE = "echo.system_prompt"
ENTITY = "SYSTEM_PROMPT"
TAGS = ("OWASP:LLM07:2025", "ATLAS:AML.T0056")
PIECE = 4  # words; shorter pieces turn up in any text of the same subject
GAP = 2  # words that may be changed between two pieces
LEAST_WORDS = 8
PROMPT_WORDS = 50_000  # words of a prompt, and of what the caller wrote, that are looked at
CACHED_WORDS = 100_000  # over all prompts kept: about 40 MB

_WORD = re.compile(r"\w+")
_Pieces = tuple[frozenset[tuple[str, ...]], ...]


# More words than that in one go are a prompt nearly whole: nothing but a copy would ever be told
Words = Annotated[int, msgspec.Meta(ge=LEAST_WORDS, le=1_000)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`words` is how many words of the prompt an answer may not repeat in one go."""

    words: Words = 24


class EchoDetector:
    """The policy's detector: knows the threshold, and the pieces of the prompts seen last. Thread-safe.

    A prompt of 2,000 words takes 2 ms the first time it is seen, 0.03 ms after that.
    """

    name = "echo"
    cost = Cost.INLINE

    def __init__(self, options: Options) -> None:
        self.words = options.words
        self.version = f"echo1-{options.words}"
        self._lock = Lock()
        self._known: dict[bytes, tuple[int, _Pieces]] = {}

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Nothing: without a request there is no prompt to repeat."""
        return [[] for _ in passages]

    def hold(self, text: str) -> int:
        """Nothing is held either."""
        return len(text)

    def bind(self, segments: Sequence[Segment]) -> "BoundEcho | None":
        """The detector of one exchange, from its request's segments; None where the prompt is too short."""
        prompt = "\n".join(one.text for one in segments if one.origin is Origin.SYSTEM)
        if len(prompt) < 2 * self.words:
            return None
        digest = blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=12)
        pieces = self._pieces(digest.digest(), prompt)
        if len(pieces) < PIECE:
            return None
        others = [one.text for one in segments if one.origin is not Origin.SYSTEM]
        for text in others:
            digest.update(text.encode("utf-8", "surrogatepass"))
        return BoundEcho(self.words, f"{self.version}-{digest.hexdigest()}", pieces, others)

    def _pieces(self, key: bytes, prompt: str) -> _Pieces:
        """The prompt's pieces of 1 to PIECE words; none where it has fewer words than may not be repeated."""
        with self._lock:
            known = self._known.pop(key, None)
            if known is not None:
                self._known[key] = known
                return known[1]
        words = _spelled(prompt)[:PROMPT_WORDS]
        if len(words) < self.words:
            return ()
        pieces = tuple(
            frozenset(zip(*(words[at:] for at in range(size)), strict=False)) for size in range(1, PIECE + 1)
        )
        with self._lock:
            self._known[key] = (len(words), pieces)
            while len(self._known) > 1 and sum(count for count, _ in self._known.values()) > CACHED_WORDS:
                del self._known[next(iter(self._known))]
        return pieces


class BoundEcho:
    """Finds repetitions of one exchange's prompt."""

    name = "echo"
    cost = Cost.INLINE

    def __init__(self, words: int, version: str, pieces: _Pieces, others: Sequence[str]) -> None:
        self.version = version
        self._words = words
        self._pieces = pieces
        self._others = others
        self._told: frozenset[tuple[str, ...]] | None = None

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in the order they stand."""
        return [self._passage(passage) for passage in passages]

    def _passage(self, passage: Passage) -> list[Finding]:
        found: dict[tuple[int, int], Finding] = {}
        for reading in passage.readings:
            if self._pieces[-1].isdisjoint(_cut(_spelled(reading.text), PIECE)):
                continue
            words = list(_words(reading.text))
            for first, last, count in self._runs(words):
                if count >= self._words:
                    span = reading.source(words[first][0], words[last - 1][1])
                    finding = Finding(RULE, self.name, *span, 1.0, entity=ENTITY, view=reading.kind, tags=TAGS)
                    found.setdefault(span, finding)
        return sorted(found.values(), key=lambda one: (one.start, one.end))

    def _runs(self, words: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int, int]]:
        """Stretches made of the prompt's pieces as (first word, end word, words that are the prompt's)."""
        first = end = -1
        count = 0
        whole = self._pieces[-1]
        for at, piece in enumerate(_cut([word for _, _, word in words], PIECE)):
            if piece not in whole or piece in self._told_by_caller():
                continue
            if first >= 0 and at > end + GAP:
                yield first, end, count
                first = -1
            if first < 0:
                first, end, count = at, at, 0
            count += at + PIECE - max(at, end)
            end = at + PIECE
        if first >= 0:
            yield first, end, count

    def _told_by_caller(self) -> frozenset[tuple[str, ...]]:
        """Pieces that stand in what the caller sent as well; worked out once, when a first piece was repeated."""
        if self._told is None:
            words: list[str] = []
            for text in self._others:
                words += ("", *_spelled(text)[: PROMPT_WORDS - len(words)])
            self._told = self._pieces[-1].intersection(_cut(words, PIECE))
        return self._told

    def hold(self, text: str) -> int:
        """Where a repetition begins that could still come about or grow; the last word is not known until it ends."""
        words = list(_words(text))
        limit = len(text)
        if words and words[-1][1] == len(text):
            limit = words.pop()[0]
        size = len(words)
        spelled = tuple(word for _, _, word in words)
        begun = [at for at in range(max(0, size - PIECE + 1), size) if spelled[at:] in self._pieces[size - at - 1]]
        for first, end, _ in self._runs(words):
            if any(at <= end + GAP for at in (*begun, size)):
                begun.append(first)
        return min(limit, *(words[at][0] for at in begun)) if begun else limit


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """The words of a text in lower case, with where they stand."""
    for found in _WORD.finditer(text):
        yield found.start(), found.end(), found[0].lower()


def _spelled(text: str) -> list[str]:
    """The words of a text in lower case."""
    return list(map(str.lower, _WORD.findall(text)))


def _cut(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Every piece of so many words in a row."""
    return zip(*(words[at:] for at in range(size)), strict=False)


def build(options: dict[str, object], rules: Sequence[Rule]) -> EchoDetector:
    """The echo detector of a policy. Raises ConfigError."""
    if rules:
        raise ConfigError("echo takes no rules; set `words` in `options`")
    return EchoDetector(convert(options, Options, "options"))
