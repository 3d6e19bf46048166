"""The master toggle: enforce, shadow or off, for everything or one tenant; who turned it, when and why."""

from datetime import datetime

import msgspec
from sqlalchemy import insert, select, update

from sigmaguard.model import Mode
from sigmaguard_proxy.control.change import Actor, Changes, check_version
from sigmaguard_proxy.control.ids import new_id
from sigmaguard_proxy.control.paging import Page, Paging, cut, moment, page
from sigmaguard_proxy.control.tables import toggle_changes, toggles
from sigmaguard_proxy.control.words import Reason


class Toggle(msgspec.Struct, frozen=True):
    """The mode in force for a scope (`*` is everything); `version` 0 where nobody has turned it yet."""

    scope: str
    mode: Mode
    reason: str
    changed_by: str
    changed_at: datetime | None
    version: int


class ToggleOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Turns the toggle."""

    mode: Mode
    reason: Reason


class ToggleChange(msgspec.Struct, frozen=True):
    """One turn of the toggle."""

    id: str
    scope: str
    mode: Mode
    previous: str
    reason: str
    changed_by: str
    changed_at: datetime


class Toggles:
    """Reads and turns toggles. `start_mode` holds where the store has none."""

    def __init__(self, changes: Changes, start_mode: Mode) -> None:
        self._changes = changes
        self._start_mode = start_mode

    async def get(self, scope: str) -> Toggle:
        """What is in force; a tenant that was never turned follows everything's."""
        async with self._changes.database.read() as connection:
            row = (await connection.execute(select(toggles).where(toggles.c.scope == scope))).mappings().first()
        if row is None:
            return Toggle(scope, self._start_mode, "", "", None, 0)
        return Toggle(scope, Mode(row["mode"]), row["reason"], row["actor"], moment(row["at"]), row["version"])

    async def turn(self, scope: str, order: ToggleOrder, actor: Actor, expected: int | None = None) -> Toggle:
        """Turns it; every worker obeys within a second. Raises StaleError."""
        async with self._changes.change(scope, actor) as change:
            connection = change.connection
            row = (await connection.execute(select(toggles).where(toggles.c.scope == scope))).mappings().first()
            previous, version = (row["mode"], row["version"]) if row else (self._start_mode.value, 0)
            check_version(expected, version)
            values = {
                "mode": order.mode.value,
                "reason": order.reason,
                "actor": actor.label,
                "at": change.at,
                "version": version + 1,
            }
            if row is None:
                await connection.execute(insert(toggles).values(scope=scope, **values))
            else:
                await connection.execute(update(toggles).where(toggles.c.scope == scope).values(values))
            await connection.execute(
                insert(toggle_changes).values(
                    id=new_id("tgl"),
                    scope=scope,
                    mode=order.mode.value,
                    previous=previous,
                    reason=order.reason,
                    actor=actor.label,
                    at=change.at,
                )
            )
            change.act("toggle.turned", scope, mode=order.mode.value, previous=previous, reason=order.reason)
        return await self.get(scope)

    async def history(self, scope: str, paging: Paging) -> Page[ToggleChange]:
        """Every turn, the newest first."""
        statement = cut(
            select(toggle_changes).where(toggle_changes.c.scope == scope),
            toggle_changes.c.id,
            paging,
            newest_first=True,
        )
        async with self._changes.database.read() as connection:
            rows = list((await connection.execute(statement)).mappings().all())
        return page(
            rows,
            toggle_changes.c.id,
            paging,
            lambda row: ToggleChange(
                row["id"],
                row["scope"],
                Mode(row["mode"]),
                row["previous"],
                row["reason"],
                row["actor"],
                moment(row["at"]),
            ),
        )
