"""What may be limited and how it is said: rates, concurrency, budgets. Knows the calendar, counts nothing."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000_000)]
Period = Literal["day", "week", "month", "total"]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be spent in a period (UTC; a week begins on Monday): US dollars, tokens, or both."""

    period: Period
    usd: Annotated[float, msgspec.Meta(gt=0, le=1_000_000_000)] | None = None
    tokens: Count | None = None


class LimitSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one tenant, agent or key. What is absent is not limited.

    Rates hold in any 60 seconds, not in a calendar's minute. `concurrent` are exchanges under way at once.
    """

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    budgets: Annotated[tuple[Budget, ...], msgspec.Meta(max_length=8)] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is limited."""
        return self == LimitSet()


class ScopedLimits(msgspec.Struct, frozen=True):
    """Limits with whose they are: `tenant`, `agent:NAME`, `key:ID`."""

    scope: str
    limits: LimitSet


class SubjectLimits(msgspec.Struct, frozen=True):
    """Every limit one caller is under; what `Identity.limits` carries."""

    tenant: str
    scopes: tuple[ScopedLimits, ...]


def period_id(period: Period, at: float) -> tuple[str, float | None]:
    """The period that `at` lies in, as a name, and when it ends (None: never)."""
    now = datetime.fromtimestamp(at, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return f"{day:%Y-%m-%d}", (day + timedelta(days=1)).timestamp()
        case "week":
            monday = day - timedelta(days=day.weekday())
            year, week, _ = monday.isocalendar()
            return f"{year}-W{week:02d}", (monday + timedelta(days=7)).timestamp()
        case "month":
            first = day.replace(day=1)
            return f"{first:%Y-%m}", (first + timedelta(days=32)).replace(day=1).timestamp()
        case "total":
            return "total", None
