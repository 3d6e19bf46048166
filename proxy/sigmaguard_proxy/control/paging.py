"""Lists a page at a time: by key, so that a page stays right while others add and delete. Knows no table's meaning."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, RowMapping, Select

from sigmaguard_proxy.control.errors import invalid

T = TypeVar("T")


class Paging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a list: at most `limit` items, from where `cursor` (the `next` of a page) left off."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=512)] = ""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list; `next` is the cursor of what follows, null at the end."""

    items: tuple[T, ...]
    next: str | None = None


def cut(
    statement: Select[*tuple[Any, ...]], key: Column[Any], paging: Paging, *, newest_first: bool = False
) -> Select[*tuple[Any, ...]]:
    """A statement for one page, and one row more to see whether there is another. Raises InvalidError."""
    if paging.cursor:
        last = decode_cursor(paging.cursor)
        after: ColumnElement[bool] = key < last if newest_first else key > last
        statement = statement.where(after)
    return statement.order_by(key.desc() if newest_first else key.asc()).limit(paging.limit + 1)


def page(rows: "list[RowMapping]", key: Column[Any], paging: Paging, make: Callable[[RowMapping], T]) -> Page[T]:
    """The page of the rows that `cut` brought."""
    shown = rows[: paging.limit]
    return Page(
        tuple(make(row) for row in shown),
        encode_cursor(str(shown[-1][key.name])) if len(rows) > paging.limit else None,
    )


def encode_cursor(value: str) -> str:
    """A cursor: opaque to whoever carries it."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """What a cursor carries. Raises InvalidError."""
    try:
        value = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except (UnicodeError, binascii.Error) as error:
        raise invalid("cursor", "not a cursor; send the `next` of the page before") from error
    if "\x00" in value:
        raise invalid("cursor", "not a cursor; send the `next` of the page before")
    return value


def moment(at: float) -> datetime:
    """Unix seconds as a time."""
    return datetime.fromtimestamp(at, UTC)


def moment_or_none(at: float | None) -> datetime | None:
    """Unix seconds as a time, where there are any."""
    return None if at is None else moment(at)
