"""One tenant's rows and no others: every statement made here names the tenant. Knows no table's meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection


class Scope:
    """A connection seen through one tenant's eyes.

    Works on tables that have a `tenant` column and refuses others with TypeError, so that forgetting
    the tenant is not possible rather than merely forbidden.
    """

    def __init__(self, connection: AsyncConnection, tenant: str) -> None:
        if not tenant:
            raise ValueError("a scope needs a tenant")
        self.tenant = tenant
        self._connection = connection

    def select(self, table: Table, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        """A select that only sees this tenant's rows; add to it what else is wanted."""
        return select(*columns or (table,)).select_from(table).where(self._own(table))

    async def fetch(self, statement: Select[*tuple[Any, ...]]) -> Sequence[RowMapping]:
        """The rows of a statement made by `select`."""
        rows: Sequence[RowMapping] = (await self._connection.execute(statement)).mappings().all()
        return rows

    async def one(self, table: Table, *where: ColumnElement[bool]) -> RowMapping | None:
        """The row, or None where this tenant has none such."""
        row: RowMapping | None = (await self._connection.execute(self.select(table).where(*where))).mappings().first()
        return row

    async def many(
        self,
        table: Table,
        *where: ColumnElement[bool],
        order: ColumnElement[Any] | None = None,
        limit: int | None = None,
    ) -> Sequence[RowMapping]:
        """Rows in an order."""
        statement = self.select(table).where(*where)
        if order is not None:
            statement = statement.order_by(order)
        return await self.fetch(statement.limit(limit) if limit is not None else statement)

    async def count(self, table: Table, *where: ColumnElement[bool]) -> int:
        """How many rows there are."""
        statement = select(func.count()).select_from(table).where(self._own(table), *where)
        return int((await self._connection.execute(statement)).scalar_one())

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """A new row; it is this tenant's whatever `values` say."""
        self._own(table)
        await self._connection.execute(insert(table).values({**values, "tenant": self.tenant}))

    async def update(self, table: Table, *where: ColumnElement[bool], values: Mapping[str, Any]) -> int:
        """Changes rows, never their tenant; how many."""
        changes = {name: value for name, value in values.items() if name != "tenant"}
        result = await self._connection.execute(update(table).where(self._own(table), *where).values(changes))
        return int(result.rowcount)

    async def delete(self, table: Table, *where: ColumnElement[bool]) -> int:
        """Deletes rows; how many."""
        return int((await self._connection.execute(delete(table).where(self._own(table), *where))).rowcount)

    def _own(self, table: Table) -> ColumnElement[bool]:
        if "tenant" not in table.c:
            raise TypeError(f"table `{table.name}` has no tenant: it cannot be seen through a scope")
        own: ColumnElement[bool] = table.c.tenant == self.tenant
        return own
