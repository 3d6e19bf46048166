"""Stage 5: runs an inspection's work where it belongs and decides. Knows the pool and the deadlines."""

import asyncio
import time
from collections.abc import Sequence

from sigmaguard.decide import decide
from sigmaguard.detector import Cost
from sigmaguard.inspection import Inspection, Work
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Direction, Mode, Segment, Timing, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.pool import DetectorPool, PoolFullError

INLINE_CHARS = 20_000  # about 1 ms of inline detectors (50 us a KB); more goes to a thread


class Inspecting:
    """What every inspection of a worker shares."""

    def __init__(self, memory: VerdictMemory, pool: DetectorPool, digest_key: bytes) -> None:
        self.memory = memory
        self.pool = pool
        self.digest_key = digest_key

    def begin(
        self, policy: Policy, direction: Direction, timing: Timing, segments: Sequence[Segment], tenant: str
    ) -> Inspection:
        """An inspection with everything remembered already in it."""
        return Inspection(policy, direction, timing, segments, self.memory, tenant=tenant, digest_key=self.digest_key)

    async def verdict(self, inspection: Inspection, mode: Mode) -> Verdict:
        """Runs what is still to be run and decides. Never raises for a detector's failure."""
        work = inspection.work()
        if work:
            deadline = time.perf_counter() + inspection.policy.budget_ms / 1000.0
            heavy: list[Work] = []
            for one in work:
                if one.active.detector.cost is Cost.INLINE and _size(one) <= INLINE_CHARS:
                    inspection.run(one)
                else:
                    heavy.append(one)
            if heavy:
                await asyncio.gather(*(self._pooled(inspection, one, deadline) for one in heavy))
        findings = inspection.finish()
        return decide(
            inspection.policy,
            mode,
            inspection.direction,
            findings,
            faults=inspection.faults,
            outcomes=inspection.outcomes,
            score=inspection.score,
        )

    async def _pooled(self, inspection: Inspection, work: Work, deadline: float) -> None:
        name = work.active.detector.name
        try:
            left = deadline - time.perf_counter()
            answer = await self.pool.detect(work.active.detector, work.passages, max(left, 0.001))
        except TimeoutError:
            inspection.fail(work, f"{name} did not answer within {inspection.policy.budget_ms:g} ms", timed_out=True)
        except PoolFullError:
            inspection.fail(work, f"{name} was not run: too many inspections are waiting")
        except Exception as error:  # the pool worker's door, seen from the loop: any detector may raise anything
            inspection.fail(work, f"{type(error).__name__} in {name}")
        else:
            inspection.take(work, answer)


def _size(work: Work) -> int:
    return sum(len(passage.segment.text) for passage in work.passages)
