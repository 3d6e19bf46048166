"""Staged versions looking on: what they would have done, counted beside what was done. Changes nothing.

Runs after the answer has gone out, a few at a time; under load exchanges are left out rather than slowed.
Only what went in is tried: answers are not kept long enough to be read twice.
"""

from collections.abc import Sequence

from sqlalchemy.dialects import postgresql, sqlite

from sigmaguard.model import Direction, Mode, Segment, Timing
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.control.tables import policy_trials
from sigmaguard_proxy.inspecting import Inspecting
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.store.database import Database
from sigmaguard_proxy.tasks import Tasks

AT_ONCE = 4
ORDER = ("allow", "flag", "mask", "block")

Counted = tuple[str, str, int, str, str, str]


class TrialRunner:
    """Runs staged versions and counts."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks
        self._inspecting: Inspecting | None = None
        self._running = 0
        self._counts: dict[Counted, tuple[int, str]] = {}

    def attach(self, inspecting: Inspecting) -> None:
        """Tells where to inspect; until then nothing is tried."""
        self._inspecting = inspecting

    def consider(self, trial: tuple[int, Policy], segments: Sequence[Segment], record: ExchangeRecord) -> None:
        """Tries an exchange's input, unless too many are being tried already."""
        if self._inspecting is not None and self._running < AT_ONCE:
            self._running += 1
            self._tasks.spawn(self._try(self._inspecting, trial, segments, record), name="trial")

    async def _try(
        self, inspecting: Inspecting, trial: tuple[int, Policy], segments: Sequence[Segment], record: ExchangeRecord
    ) -> None:
        number, policy = trial
        tenant = record.subject.tenant
        try:
            verdicts = [
                await inspecting.verdict(
                    await inspecting.begun(policy, Direction.INPUT, timing, segments, tenant), Mode.SHADOW
                )
                for timing in Timing
            ]
        finally:
            self._running -= 1
        strongest = max(verdicts, key=lambda one: ORDER.index(one.intended.value))
        key = (tenant, policy.name, number, record.intended, strongest.intended.value, strongest.rule)
        count, example = self._counts.get(key, (0, record.exchange))
        self._counts[key] = (count + 1, example)

    async def flush(self) -> None:
        """Adds what was counted to the table. Raises DatabaseDownError, and keeps it for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        upsert = sqlite.insert(policy_trials) if self._database.is_sqlite else postgresql.insert(policy_trials)
        rows = [
            dict(zip(("tenant", "policy", "number", "acted", "would", "rule"), key, strict=True))
            | {"exchanges": count, "example": example}
            for key, (count, example) in sorted(counts.items())
        ]
        statement = upsert.on_conflict_do_update(
            index_elements=[policy_trials.c[name] for name in ("tenant", "policy", "number", "acted", "would", "rule")],
            set_={"exchanges": policy_trials.c.exchanges + upsert.excluded.exchanges},
        )
        try:
            async with self._database.write() as connection:
                await connection.execute(statement, rows)
        except BaseException:
            for key, (count, example) in counts.items():
                before = self._counts.get(key, (0, example))
                self._counts[key] = (before[0] + count, example)
            raise
