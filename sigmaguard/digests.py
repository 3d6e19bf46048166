"""Digests of one body's texts, made once for however many inspections look at it. Knows hashing, no verdict.

Agents send the whole conversation with every turn, so besides a digest a text there is one a prefix:
everything up to a segment, as one digest. SHA-256, because a cheaper hash would let an attacker collide
with a clean text.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from sigmaguard.model import Segment

TURNS = 8  # segments a turn adds at most for its prefix to be found; more are looked up one by one
_encode = msgspec.msgpack.Encoder().encode


class Digests:
    """Digests of the segments of one body."""

    __slots__ = ("_own", "_prefixes", "_segments")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._own: dict[int, bytes] = {}
        self._prefixes: tuple[tuple[int, bytes], ...] | None = None

    def of(self, index: int) -> bytes:
        """The digest of one segment's text."""
        digest = self._own.get(index)
        if digest is None:
            digest = self._own[index] = content_digest(self._segments[index].text)
        return digest

    def prefixes(self) -> tuple[tuple[int, bytes], ...]:
        """The longest prefixes, longest first: (how many segments, digest)."""
        if self._prefixes is None:
            segments = self._segments
            first = max(0, len(segments) - TURNS)
            rolling = sha256(_written(segments[:first]))
            found: list[tuple[int, bytes]] = []
            for index in range(first, len(segments)):
                rolling.update(_written(segments[index : index + 1]))
                found.append((index + 1, rolling.copy().digest()))
            found.reverse()
            self._prefixes = tuple(found)
        return self._prefixes


def _written(segments: Sequence[Segment]) -> bytes:
    """Segments one after the other, each with its lengths, so that no two rows of them are written alike."""
    try:
        return _encode(segments)[_head(len(segments)) :]
    except UnicodeEncodeError:  # half of a surrogate pair
        return "".join(repr(msgspec.structs.astuple(segment)) for segment in segments).encode()


def _head(count: int) -> int:
    """Bytes in which MessagePack says how long an array is: what follows is its members one after the other."""
    return 1 if count < 16 else 3 if count < 65_536 else 5


def content_digest(text: str) -> bytes:
    """A digest that no two texts share."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
