"""Placeholders put back: sealed into a token for callers that carry one, kept for a while for those that cannot.

A token is opaque (AES-GCM under a key all workers share) and bound to tenant and key, so whoever holds
another's cannot open it. What is kept lives in this worker's memory only: bounded, and ten minutes at most.
"""

import base64
import binascii
import os
import time
from collections import OrderedDict
from hashlib import blake2b

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sigmaguard.errors import WireError
from sigmaguard.model import Subject
from sigmaguard.restore import Issued

NONCE_BYTES = 12
KEPT = 10_000
KEPT_S = 600.0


class _Values(msgspec.Struct, frozen=True, array_like=True):
    names: dict[str, str]
    stand_ins: dict[str, str]


class Sealer:
    """Seals values into tokens and opens them."""

    def __init__(self, mask_key: bytes) -> None:
        self._cipher = AESGCM(blake2b(mask_key, digest_size=32, person=b"guard restore").digest())

    def seal(self, subject: Subject, issued: Issued) -> str:
        """A token that stands for what was issued."""
        nonce = os.urandom(NONCE_BYTES)
        plain = msgspec.json.encode(_Values(issued.names, issued.stand_ins))
        sealed = self._cipher.encrypt(nonce, plain, _bound(subject))
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, subject: Subject, token: str) -> Issued:
        """What was issued. Raises WireError where it is not ours, or not this caller's."""
        try:
            raw = base64.urlsafe_b64decode(token)
            plain = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(subject))
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise WireError("bad_restore", "`restore` is not a token that this caller was given") from error
        values = msgspec.json.decode(plain, type=_Values)
        return Issued({f"<{name}>": value for name, value in values.names.items()}, values.stand_ins)


class Kept:
    """Values by the caller's own name for an exchange."""

    def __init__(self, limit: int = KEPT, seconds: float = KEPT_S) -> None:
        self._limit = limit
        self._seconds = seconds
        self._values: OrderedDict[tuple[str, str, str], tuple[float, Issued]] = OrderedDict()

    def keep(self, subject: Subject, call: str, issued: Issued) -> None:
        """Keeps what was issued for the answer to this call."""
        now = time.monotonic()
        self._values[subject.tenant, subject.key, call] = (now + self._seconds, issued)
        while self._values and (len(self._values) > self._limit or next(iter(self._values.values()))[0] < now):
            self._values.popitem(last=False)

    def find(self, subject: Subject, call: str) -> Issued | None:
        """What is kept for a call; None where nothing is any more."""
        ends, issued = self._values.get((subject.tenant, subject.key, call), (0.0, None))
        return issued if ends > time.monotonic() else None


def _bound(subject: Subject) -> bytes:
    return f"{subject.tenant}\n{subject.key}".encode()
