"""Providers' own keys: stored sealed, put in place of virtual keys, never shown again. One for each upstream."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, select, update

from sigmaguard_proxy.control.change import EVERYWHERE, Actor, Changes, check_version
from sigmaguard_proxy.control.errors import NotFoundError, invalid
from sigmaguard_proxy.control.ids import hint, new_id
from sigmaguard_proxy.control.keyring import Keyring
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, moment_or_none, page
from sigmaguard_proxy.control.rows import INSTALLATION
from sigmaguard_proxy.control.snapshot import provider_place
from sigmaguard_proxy.control.tables import provider_keys, state


class ProviderKeyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider's key to be kept."""

    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")]


class ProviderKey(msgspec.Struct, frozen=True):
    """A provider's key as it may be shown; `key_is_current` says whether the encryption key in use sealed it."""

    id: str
    upstream: str
    hint: str
    created_by: str
    created_at: datetime
    rotated_at: datetime | None
    key_is_current: bool
    version: int


class Resealed(msgspec.Struct, frozen=True):
    """What a rotation of the encryption key did: `key_id` is in use now, `resealed` secrets were sealed anew."""

    key_id: str
    resealed: int


class ProviderKeys:
    """A tenant's keys towards providers."""

    def __init__(self, changes: Changes, keyring: Keyring, upstreams: frozenset[str]) -> None:
        self._changes = changes
        self._keyring = keyring
        self._upstreams = upstreams

    async def many(self, tenant: str, paging: Paging) -> Page[ProviderKey]:
        """Keys by upstream."""
        async with self._changes.read(tenant) as scope:
            rows = list(await scope.fetch(cut(scope.select(provider_keys), provider_keys.c.upstream, paging)))
        return page(rows, provider_keys.c.upstream, paging, self._key)

    async def get(self, tenant: str, upstream: str) -> ProviderKey:
        """One key. Raises NotFoundError."""
        async with self._changes.read(tenant) as scope:
            row = await scope.one(provider_keys, provider_keys.c.upstream == upstream)
        if row is None:
            raise _unknown(upstream)
        return self._key(row)

    async def put(
        self, tenant: str, upstream: str, order: ProviderKeyOrder, actor: Actor, expected: int | None
    ) -> ProviderKey:
        """Stores or replaces the key for an upstream. Raises InvalidError for one that is not configured."""
        if upstream not in self._upstreams:
            raise invalid("upstream", f"not configured; there are {', '.join(sorted(self._upstreams))}")
        async with self._changes.change(tenant, actor) as change:
            row = await change.scope.one(provider_keys, provider_keys.c.upstream == upstream)
            check_version(expected, row["version"] if row else 0)
            key_id = row["id"] if row else new_id("prv")
            values: dict[str, Any] = {
                "sealed": self._keyring.seal(order.secret.encode(), provider_place(tenant, key_id)),
                "hint": hint(order.secret),
            }
            if row is None:
                await change.scope.insert(
                    provider_keys,
                    {
                        **values,
                        "id": key_id,
                        "upstream": upstream,
                        "created_by": actor.label,
                        "created_at": change.at,
                        "version": 1,
                    },
                )
            else:
                values |= {"rotated_at": change.at, "version": row["version"] + 1}
                await change.scope.update(provider_keys, provider_keys.c.id == key_id, values=values)
            change.act("provider_key.rotated" if row else "provider_key.stored", upstream)
        return await self.get(tenant, upstream)

    async def delete(self, tenant: str, upstream: str, actor: Actor, expected: int | None) -> None:
        """Forgets a key. Raises NotFoundError, StaleError."""
        async with self._changes.change(tenant, actor) as change:
            row = await change.scope.one(provider_keys, provider_keys.c.upstream == upstream)
            if row is None:
                raise _unknown(upstream)
            check_version(expected, row["version"])
            await change.scope.delete(provider_keys, provider_keys.c.id == row["id"])
            change.act("provider_key.deleted", upstream)

    async def reseal(self, actor: Actor) -> Resealed:
        """Seals everything with the encryption key in use, in one transaction; reading goes on meanwhile."""
        async with self._changes.change(EVERYWHERE, actor) as change:
            connection, keyring, count = change.connection, self._keyring, 0
            rows = (await connection.execute(select(provider_keys))).mappings().all()
            places: list[tuple[Table, ColumnElement[bool], RowMapping, str]] = [
                (provider_keys, provider_keys.c.id == row["id"], row, provider_place(row["tenant"], row["id"]))
                for row in rows
            ]
            installation = state.c.name == INSTALLATION
            row = (await connection.execute(select(state).where(installation))).mappings().one()
            for table, where, one, place in [*places, (state, installation, row, INSTALLATION)]:
                if keyring.is_current(one["sealed"]):
                    continue
                sealed = keyring.seal(keyring.unseal(one["sealed"], place), place)
                await connection.execute(update(table).where(where).values(sealed=sealed))
                count += 1
            change.act("encryption_key.rotated", keyring.key_id, resealed=count)
        return Resealed(self._keyring.key_id, count)

    def _key(self, row: RowMapping) -> ProviderKey:
        return ProviderKey(
            row["id"],
            row["upstream"],
            row["hint"],
            row["created_by"],
            moment(row["created_at"]),
            moment_or_none(row["rotated_at"]),
            self._keyring.is_current(row["sealed"]),
            row["version"],
        )


def _unknown(upstream: str) -> NotFoundError:
    return NotFoundError(f"there is no key for upstream `{upstream}` in this tenant")
