"""What was already looked at: findings a segment, by digest. Bounded; holds no text."""

from typing import Generic, TypeVar

import msgspec

from sigmaguard.model import Finding


class Remembered(msgspec.Struct, frozen=True):
    """What one group of detectors said of one text."""

    findings: tuple[Finding, ...]
    score: float


class Prefix(msgspec.Struct, frozen=True):
    """What one group of detectors said of the beginning of a conversation, seams and all.

    `findings` are (segment's place, finding, place of the last segment it needs).
    """

    findings: tuple[tuple[int, Finding, int], ...]
    score: float


Key = tuple[str, str, bytes]  # scope (policy, direction, timing, tenant), origin, content digest
PrefixKey = tuple[str, bytes]  # scope, digest of everything up to a segment
K = TypeVar("K")
V = TypeVar("V")


class VerdictMemory:
    """Two generations of answers: when the young one is full it becomes the old one.

    Lookups cost two dictionary reads and no bookkeeping, which an exact LRU cannot say; at most
    `capacity` entries are kept. Threads that meet here may lose an entry or a count, never get a wrong
    answer: entries are whole and keyed by what they say. `found` and `missed` count texts.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._texts = _Generations[Key, Remembered](max(1, capacity * 3 // 4))
        self._prefixes = _Generations[PrefixKey, Prefix](max(1, capacity // 4))
        self.found = 0
        self.missed = 0

    def get(self, key: Key) -> Remembered | None:
        """What is remembered of a text, None where nothing is."""
        answer = self._texts.get(key)
        if answer is None:
            self.missed += 1
        else:
            self.found += 1
        return answer

    def put(self, key: Key, answer: Remembered) -> None:
        """Remembers an answer about a text."""
        self._texts.put(key, answer)

    def get_prefix(self, scope: str, digest: bytes, count: int) -> Prefix | None:
        """What is remembered of a beginning of `count` segments, None where nothing is."""
        answer = self._prefixes.get((scope, digest))
        if answer is not None:
            self.found += count
        return answer

    def put_prefix(self, scope: str, digest: bytes, answer: Prefix) -> None:
        """Remembers an answer about a beginning."""
        self._prefixes.put((scope, digest), answer)

    def __len__(self) -> int:
        return len(self._texts) + len(self._prefixes)

    def clear(self) -> None:
        """Forgets everything."""
        self._texts.clear()
        self._prefixes.clear()


class _Generations(Generic[K, V]):
    """A bounded mapping: half of it is forgotten at once, what was asked for lately stays."""

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        answer = self._young.get(key)
        if answer is None:
            answer = self._old.get(key)
            if answer is not None:
                self.put(key, answer)
        return answer

    def put(self, key: K, answer: V) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = answer

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def clear(self) -> None:
        self._young = {}
        self._old = {}
