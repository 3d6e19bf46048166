"""Passwords: hashed with argon2id in threads, never on the event loop. Knows no user.

One hash takes about 150 ms and 64 MiB, so only a few run at once; the rest wait, which also slows guessing.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

LEAST = 12  # characters; length beats composition rules (NIST SP 800-63B)
MOST = 256  # longer input only costs time
AT_ONCE = 2


class PasswordError(ValueError):
    """A password that may not be chosen; the message says why."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._dummy = ""

    async def hash(self, password: str) -> str:
        """The hash to store. Raises PasswordError."""
        if not LEAST <= len(password) <= MOST:
            raise PasswordError(f"a password has {LEAST} to {MOST} characters")
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; takes as long where there is none."""
        if len(password) > MOST:
            return False
        async with self._slots:
            if not self._dummy:
                self._dummy = await asyncio.to_thread(self._hasher.hash, "nobody's password")
            return await asyncio.to_thread(self._verify, stored or self._dummy, password) and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False
