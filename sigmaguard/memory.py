"""What was already looked at: findings a segment, by digest. Bounded; holds no text."""

from hashlib import sha256

import msgspec

from sigmaguard.model import Finding


class Remembered(msgspec.Struct, frozen=True):
    """What one group of detectors said of one text."""

    findings: tuple[Finding, ...]
    score: float


Key = tuple[str, str, bytes]  # scope (policy, direction, timing, tenant), origin, content digest


def content_digest(text: str) -> bytes:
    """A digest that no two texts share; a cheaper hash would let an attacker collide with a clean text."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class VerdictMemory:
    """Two generations of answers: when the young one is full it becomes the old one.

    Lookups cost two dictionary reads and no bookkeeping, which an exact LRU cannot say; at most
    `capacity` entries are kept. Not for several threads: the event loop owns it.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[Key, Remembered] = {}
        self._old: dict[Key, Remembered] = {}
        self.found = 0
        self.missed = 0

    def get(self, key: Key) -> Remembered | None:
        """What is remembered of a key, None where nothing is."""
        answer = self._young.get(key)
        if answer is None:
            answer = self._old.get(key)
            if answer is None:
                self.missed += 1
                return None
            self.put(key, answer)
        self.found += 1
        return answer

    def put(self, key: Key, answer: Remembered) -> None:
        """Remembers an answer."""
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = answer

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def clear(self) -> None:
        """Forgets everything."""
        self._young = {}
        self._old = {}
