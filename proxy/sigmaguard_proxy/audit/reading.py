"""Raw rows of the audit tables, page by page, in constant memory. Trusts nothing it reads.

Statements are plain SQL without result types, and SQLite's texts come as bytes: a damaged row must reach
the verifier as it is, not fail in a driver.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from sqlalchemy import text

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.rows import EMPTY
from sigmaguard_proxy.store.database import Database

PAGE = 1_000
BEFORE_ALL = -(2**63)
TEXTS = ("tenant", "id", "kind", *(name for name, value in EMPTY.items() if isinstance(value, str)))


class Stored(msgspec.Struct, frozen=True):
    """A row of `audit_records` as the database holds it; `problem` where it is not even of the right types."""

    tenant: str
    sequence: int
    id: str
    kind: str
    at_us: int
    searched: dict[str, Any]
    facts: bytes
    personal: bytes
    personal_digest: bytes
    content_digest: bytes
    personal_erased_by: int
    content_erased_by: int
    previous: bytes
    hash: bytes
    problem: str = ""


BLOBS = ("facts", "personal", "personal_digest", "content_digest", "previous", "hash")
NUMBERS = ("sequence", "at_us", "personal_erased_by", "content_erased_by")


class Reader:
    """Reads what is stored, tenant by tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # a text may hold bytes that are no text at all any more
        self._is_sqlite = database.is_sqlite
        self._tenant = "CAST(:tenant AS TEXT)" if self._is_sqlite else ":tenant"
        columns = [column.name for column in tables.records.columns]
        self._columns = ", ".join(f"{self._as_bytes(name)} AS {name}" for name in columns)

    def _as_bytes(self, name: str) -> str:
        return f'CAST("{name}" AS BLOB)' if self._is_sqlite and name in TEXTS else f'"{name}"'

    async def tenants(self) -> list[str]:
        """Every tenant that has records or a chain, in order."""
        found: set[str] = set()
        for table in ("audit_records", "audit_chains"):
            last: str | None = None
            while True:
                least = "CAST(min(tenant) AS BLOB)" if self._is_sqlite else "min(tenant)"
                condition = f" WHERE tenant > {self._tenant}" if last is not None else ""
                async with self._database.read() as connection:
                    value = (
                        await connection.execute(
                            text(f"SELECT {least} FROM {table}{condition}"),
                            {} if last is None else {"tenant": self._bind(last)},
                        )
                    ).scalar()
                if value is None:
                    break
                last = as_text(value)
                found.add(last)
        return sorted(found)

    def _bind(self, tenant: str) -> Any:
        return tenant.encode("utf-8", "surrogateescape") if self._is_sqlite else tenant

    async def records(self, tenant: str, after: int = BEFORE_ALL) -> AsyncIterator[list[Stored]]:
        """Pages of a tenant's records by sequence. Each page is a transaction of its own."""
        statement = text(
            f"SELECT {self._columns} FROM audit_records WHERE tenant = {self._tenant} AND sequence > :after "
            "ORDER BY sequence LIMIT :page"
        )
        while True:
            bound = {"tenant": self._bind(tenant), "after": after, "page": PAGE}
            async with self._database.read() as connection:
                rows = (await connection.execute(statement, bound)).mappings().all()
            if rows:
                yield [stored(row, tenant) for row in rows]
            if len(rows) < PAGE or type(rows[-1]["sequence"]) is not int:
                return
            after = rows[-1]["sequence"]

    async def record(self, tenant: str, sequence: int) -> Stored | None:
        """One record by its sequence."""
        statement = text(
            f"SELECT {self._columns} FROM audit_records WHERE tenant = {self._tenant} AND sequence = :sequence"
        )
        async with self._database.read() as connection:
            bound = {"tenant": self._bind(tenant), "sequence": sequence}
            row = (await connection.execute(statement, bound)).mappings().first()
        return stored(row, tenant) if row is not None else None

    async def content(self, tenant: str, record_id: str) -> bytes | None:
        """The encrypted content of one record, None where there is none."""
        id_sql = "CAST(:id AS TEXT)" if self._is_sqlite else ":id"
        statement = text(f"SELECT content FROM audit_contents WHERE tenant = {self._tenant} AND id = {id_sql}")
        async with self._database.read() as connection:
            bound = {"tenant": self._bind(tenant), "id": self._bind(record_id)}
            value = (await connection.execute(statement, bound)).scalar()
        return as_bytes(value) if value is not None else None

    async def count_contents(self, tenant: str) -> int:
        """How many contents a tenant has."""
        statement = text(f"SELECT count(*) FROM audit_contents WHERE tenant = {self._tenant}")
        async with self._database.read() as connection:
            return int((await connection.execute(statement, {"tenant": self._bind(tenant)})).scalar_one())

    async def signed(self, table: str, tenant: str, where: str = "", **bound: Any) -> list[dict[str, Any]]:
        """Signed heads of `audit_chains` or `audit_checkpoints`, by sequence, as stored."""
        key_id = "CAST(key_id AS BLOB)" if self._is_sqlite else "key_id"
        statement = text(
            f"SELECT sequence, hash, at_us, {key_id} AS key_id, signature FROM {table} "
            f"WHERE tenant = {self._tenant} {where} ORDER BY sequence"
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement, {"tenant": self._bind(tenant), **bound})).mappings().all()
        return [dict(row) for row in rows]


def stored(row: Any, tenant: str) -> Stored:
    """A raw row; values of the wrong type are replaced and told in `problem`."""
    wrong = [name for name in BLOBS if not isinstance(row[name], bytes | memoryview)]
    wrong += [name for name in NUMBERS if type(row[name]) is not int]
    wrong += [name for name in TEXTS if not isinstance(row[name], str | bytes)]
    return Stored(
        tenant=tenant,
        sequence=row["sequence"] if type(row["sequence"]) is int else BEFORE_ALL,
        id=as_text(row["id"]),
        kind=as_text(row["kind"]),
        at_us=row["at_us"] if type(row["at_us"]) is int else 0,
        searched={name: as_text(row[name]) if name in TEXTS else row[name] for name in EMPTY},
        facts=as_bytes(row["facts"]),
        personal=as_bytes(row["personal"]),
        personal_digest=as_bytes(row["personal_digest"]),
        content_digest=as_bytes(row["content_digest"]),
        personal_erased_by=_as_number(row["personal_erased_by"]),
        content_erased_by=_as_number(row["content_erased_by"]),
        previous=as_bytes(row["previous"]),
        hash=as_bytes(row["hash"]),
        problem=_listed(wrong),
    )


def as_text(value: Any) -> str:
    """A text column's value; bytes that are no UTF-8 stay recognisable (PEP 383)."""
    return bytes(value).decode("utf-8", "surrogateescape") if isinstance(value, bytes | memoryview) else str(value)


def as_bytes(value: Any) -> bytes:
    """A binary column's value, whatever it has become."""
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return str(value).encode("utf-8", "surrogateescape")


def _as_number(value: Any) -> int:
    return value if type(value) is int else -1


def _listed(names: Iterable[str]) -> str:
    found = ", ".join(names)
    return f"{found} of a wrong type" if found else ""
