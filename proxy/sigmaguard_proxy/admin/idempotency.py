"""Doing a thing once however often it is asked for: `Idempotency-Key`. Keeps answers a day, encrypted.

A key is one caller's. The same key with another request is refused; while the first is under way, so is the second.
"""

import time
from collections.abc import Mapping
from hashlib import sha256

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sigmaguard_proxy.admin.problems import ProblemError
from sigmaguard_proxy.control.keyring import Keyring, SealError
from sigmaguard_proxy.control.tables import idempotency
from sigmaguard_proxy.store.database import Database

KEEP_S = 86_400.0


class Kept(msgspec.Struct, frozen=True):
    """An answer given before."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency:
    """Remembers what was asked and answered."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    async def begin(self, actor: str, key: str, method: str, path: str, body: bytes) -> Kept | None:
        """None for a new request; the answer of one that was here before. Raises ProblemError."""
        fingerprint = sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest()
        now = time.time()
        try:
            async with self._database.write() as connection:
                await connection.execute(delete(idempotency).where(idempotency.c.created_at < now - KEEP_S))
                await connection.execute(
                    insert(idempotency).values(
                        actor=actor, key=key, fingerprint=fingerprint, headers={}, created_at=now
                    )
                )
            return None
        except IntegrityError:
            pass
        async with self._database.read() as connection:
            where = (idempotency.c.actor == actor) & (idempotency.c.key == key)
            row = (await connection.execute(select(idempotency).where(where))).mappings().first()
        if row is None or row["status"] is None:
            raise ProblemError(409, "in_progress", "a request with this Idempotency-Key is under way; try again")
        if row["fingerprint"] != fingerprint:
            raise ProblemError(422, "key_reused", "this Idempotency-Key was used for another request; use a new one")
        try:
            return Kept(row["status"], row["headers"], self._keyring.unseal(row["sealed"], _place(actor, key)))
        except SealError as error:
            raise ProblemError(409, "answer_lost", "this was done before, but its answer cannot be read") from error

    async def finish(self, actor: str, key: str, kept: Kept) -> None:
        """Keeps the answer; a failure of ours is forgotten, so that the caller may try again."""
        where = (idempotency.c.actor == actor) & (idempotency.c.key == key)
        async with self._database.write() as connection:
            if kept.status >= 500:
                await connection.execute(delete(idempotency).where(where))
                return
            sealed = self._keyring.seal(kept.body, _place(actor, key))
            values = {"status": kept.status, "headers": dict(kept.headers), "sealed": sealed}
            await connection.execute(update(idempotency).where(where).values(values))


def _place(actor: str, key: str) -> str:
    return f"idempotency/{actor}/{key}"
