"""Finds canary tokens, however they are written. Knows how one is made and proves itself; issues and stores none.

A token is `opening + body + check + closing`, 33 characters of base 32: opening and closing follow from
the key, the body is random, the check is a keyed digest of the body. So every token of a key is known
without a list of those issued. Letters only count in lower case and everything between them is passed
over, so case, spacing, punctuation, markup and invisible characters hide nothing; rot13 and reversal
are looked for as such; base64, hex, percent and other encodings are undone by the passage's readings.
What it cannot do: see a token of which a part is missing, or one that was paraphrased.
"""

import base64
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding
from sigmaguard.outline import Outline
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule
from sigmaguard.prefilter import prefilter
from sigmaguard.reading import Reading

RULE = "canary.token"
ENTITY = "CANARY"
TAGS = ("OWASP:LLM07:2025", "ATLAS:AML.T0057")
LEAST_LISTED = 8  # letters and digits of a listed token; a shorter one would turn up by chance

_BODY_BYTES = 10  # 80 bits: 16 characters
_MARK, _CHECK = 5, 7
SIZE = _MARK + 16 + _CHECK + _MARK
_DEFAULT_KEY = b"sigmaguard canary 1"
_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789"
_LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
_DROPPED = bytes(byte for byte in range(256) if bytes([byte]).translate(_LOWER) not in [bytes([one]) for one in _KEPT])
_ROT13 = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"nopqrstuvwxyzabcdefghijklm")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key` makes a team's tokens its own; `tokens` are canaries from elsewhere, found literally."""

    key: str = ""
    tokens: tuple[str, ...] = ()


class _Form(msgspec.Struct, frozen=True):
    """One way a token can be spelled: how it starts, how long it is, and how it reads the right way round."""

    opening: bytes
    size: int
    is_reversed: bool = False
    is_rot13: bool = False
    is_listed: bool = False

    def straight(self, written: bytes) -> bytes:
        turned = written.translate(_ROT13) if self.is_rot13 else written
        return turned[::-1] if self.is_reversed else turned


def new_canary(randomness: bytes, key: str = "") -> str:
    """A new token from at least 10 random bytes. Raises ValueError where there are fewer."""
    if len(randomness) < _BODY_BYTES:
        raise ValueError(f"a canary needs {_BODY_BYTES} random bytes, not {len(randomness)}")
    opening, closing = _marks(key)
    body = _base32(randomness[:_BODY_BYTES])
    return (opening + body + _check(body, key) + closing).decode()


def is_canary(token: str, key: str = "") -> bool:
    """Whether a token was made with this key."""
    return _is_valid(token.lower().encode("ascii", "replace"), key)


def _is_valid(token: bytes, key: str) -> bool:
    opening, closing = _marks(key)
    body = token[_MARK : _MARK + 16]
    return len(token) == SIZE and token == opening + body + _check(body, key) + closing


def _marks(key: str) -> tuple[bytes, bytes]:
    digest = _base32(_keyed(b"marks", key))
    return digest[:_MARK], digest[_MARK : 2 * _MARK]


def _check(body: bytes, key: str) -> bytes:
    return _base32(_keyed(b"check" + body, key))[:_CHECK]


def _keyed(content: bytes, key: str) -> bytes:
    secret = key.encode("utf-8", "surrogatepass") or _DEFAULT_KEY
    return blake2b(content, key=blake2b(secret, digest_size=32).digest(), digest_size=15).digest()


def _base32(raw: bytes) -> bytes:
    return base64.b32encode(raw).lower()


class CanaryDetector:
    """Finds the tokens of one key and any listed ones. Immutable, so any number of threads may share it.

    About 3 us a KB where there is none: one pass that keeps letters and digits, four searches.
    """

    name = "canary"
    cost = Cost.INLINE

    def __init__(self, options: Options) -> None:
        self._key = options.key
        opening, closing = _marks(options.key)
        spelled = [_Form(opening, SIZE), _Form(closing[::-1], SIZE, is_reversed=True)]
        for token in options.tokens:
            squeezed = _squeezed(token)
            if len(squeezed) < LEAST_LISTED:
                raise ConfigError(f"options.tokens: one has fewer than {LEAST_LISTED} letters and digits")
            spelled.append(_Form(squeezed, len(squeezed), is_listed=True))
            spelled.append(_Form(squeezed[::-1], len(squeezed), is_listed=True))
        turned = (msgspec.structs.replace(one, opening=one.opening.translate(_ROT13), is_rot13=True) for one in spelled)
        self._forms = tuple({one.opening: one for one in (*turned, *spelled)}.values())
        self._prefilter = prefilter(tuple(_outline(one.opening) for one in self._forms))
        starts = {one.opening[:size] for one in self._forms for size in range(1, len(one.opening))}
        self._starts = tuple(sorted(starts, key=len, reverse=True))
        self.version = blake2b(msgspec.json.encode(self._forms), digest_size=6).hexdigest()

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in the order they stand."""
        return [self._passage(passage) for passage in passages]

    def _passage(self, passage: Passage) -> list[Finding]:
        spans: dict[tuple[int, int], str] = {}
        for reading in passage.readings:
            for span in self._spans(reading):
                spans.setdefault(span, reading.kind)
        return [
            Finding(RULE, self.name, start, end, 1.0, entity=ENTITY, view=view, tags=TAGS)
            for (start, end), view in sorted(spans.items())
        ]

    def _spans(self, reading: Reading) -> Iterator[tuple[int, int]]:
        seen = self._prefilter.seen(reading.text)
        if seen is not None and not seen:
            return
        squeezed = _squeezed(reading.text)
        places: list[int] | None = None
        for form in self._forms:
            at = squeezed.find(form.opening)
            while at >= 0:
                written = squeezed[at : at + form.size]
                if form.is_listed or _is_valid(form.straight(written), self._key):
                    places = places or _places(reading.text)
                    yield reading.source(places[at], places[at + form.size - 1] + 1)
                at = squeezed.find(form.opening, at + 1)

    def hold(self, text: str) -> int:
        """Where a token that is not complete yet could have begun; len(text) where none could."""
        squeezed = _squeezed(text)
        size = len(squeezed)
        begun = [at for one in self._forms if (at := squeezed.find(one.opening, max(0, size - one.size + 1))) >= 0]
        if squeezed.endswith(self._starts):
            begun.append(size - next(len(start) for start in self._starts if squeezed.endswith(start)))
        if not begun:
            return len(text)
        limit = _places(text)[min(begun)]
        return min((start for start, end in self._spans(Reading(text)) if start < limit < end), default=limit)


def _squeezed(text: str) -> bytes:
    """The letters and digits of a text, in lower case."""
    return text.encode("ascii", "ignore").translate(_LOWER, _DROPPED)


def _outline(opening: bytes) -> Outline:
    """How an opening may stand in a text: anything but letters and digits between its own."""
    return Outline("[^0-9A-Za-z]*".join(map(chr, opening)), ignores_case=True)


def _places(text: str) -> list[int]:
    """Where each character of the squeezed text stands in the text."""
    return [at for at, char in enumerate(text) if char.isascii() and char.isalnum()]


def build(options: dict[str, object], rules: Sequence[Rule]) -> CanaryDetector:
    """The canary detector of a policy. Raises ConfigError."""
    if rules:
        raise ConfigError("canary takes no rules; name its `key` and `tokens` in `options`")
    return CanaryDetector(convert(options, Options, "options"))
