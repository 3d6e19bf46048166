"""The chain: what of a record is hashed, in which order, and what a checkpoint signs. Pure arithmetic.

hash(n) = SHA-256(domain, hash(n-1), canonical JSON of tenant, sequence, id, kind, time and three digests).
The digests stand for the record's facts, its personal part and its content, so that the last two can be
erased and the chain still be proved.
"""

from hashlib import sha256

import msgspec

DOMAIN = b"sigmaguard audit record 1\n"
GENESIS = b"sigmaguard audit genesis 1\n"
CHECKPOINT = b"sigmaguard audit checkpoint 1\n"
NO_DIGEST = b""


class Head(msgspec.Struct, frozen=True):
    """A place in a tenant's chain: the last record's sequence and hash."""

    tenant: str
    sequence: int
    hash: bytes


class Signed(msgspec.Struct, frozen=True):
    """A head somebody vouches for. `at_us` microseconds since 1970."""

    tenant: str
    sequence: int
    hash: bytes
    at_us: int
    key_id: str
    signature: bytes


def genesis(tenant: str) -> Head:
    """The place before a tenant's first record."""
    return Head(tenant, 0, sha256(GENESIS + tenant.encode()).digest())


def digest(part: bytes) -> bytes:
    """The digest of one part of a record; empty for an absent part."""
    return sha256(part).digest() if part else NO_DIGEST


def link(
    previous: bytes,
    tenant: str,
    sequence: int,
    record_id: str,
    kind: str,
    at_us: int,
    digests: tuple[bytes, bytes, bytes],
) -> bytes:
    """The hash of a record. `digests` are those of its facts, personal part and content (empty: absent)."""
    facts, personal, content = digests
    canonical = msgspec.json.encode(
        [tenant, sequence, record_id, kind, at_us, facts.hex(), personal.hex(), content.hex()]
    )
    return sha256(DOMAIN + previous + canonical).digest()


def checkpoint_message(tenant: str, sequence: int, head: bytes, at_us: int) -> bytes:
    """What a checkpoint's signature covers."""
    return CHECKPOINT + msgspec.json.encode([tenant, sequence, head.hex(), at_us])
