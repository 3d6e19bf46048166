"""Stage 5: runs an inspection's work where it belongs and decides. Knows the pool and the deadlines."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from sigmaguard.decide import decide
from sigmaguard.detector import Cost
from sigmaguard.digests import Digests
from sigmaguard.inspection import Inspection, Work
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Direction, Finding, Mode, Segment, Timing, Verdict
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.pool import DetectorPool, PoolFullError

INLINE_CHARS = 20_000  # about 1 ms of inline detectors (50 us a KB); more goes to a thread
READ_CHARS = 50_000  # disguises of up to 0.3 us a code point are undone here; a larger body would hold up every other
BUDGET_CHARS = 4_000  # about 1,000 tokens: a document of ten pages may take longer than a question
MOST_BUDGETS = 16
MANY_TEXTS = 200  # looked up, seams and all, in 40 us each; more of them are looked up beside the loop
MANY_CHARS = 1_000_000  # hashed in about 2 ms
MANY_PASSAGES = 200  # an inline detector takes some 5 us for each, however short; more of them go to a thread


class Inspected(Protocol):
    """What takes the answers of work: an inspection, or the end of a streamed channel."""

    @property
    def policy(self) -> Policy:
        """Whose budget counts."""
        ...

    def run(self, work: Work) -> None:
        """Runs work right here."""
        ...

    def take(self, work: Work, answer: Sequence[Sequence[Finding]]) -> None:
        """Takes an answer."""
        ...

    def fail(self, work: Work, message: str, *, timed_out: bool = False) -> None:
        """Notes that there is none."""
        ...


class Inspecting:
    """What every inspection of a worker shares."""

    def __init__(self, memory: VerdictMemory, pool: DetectorPool, digest_key: bytes) -> None:
        self.memory = memory
        self.pool = pool
        self.digest_key = digest_key

    async def begun(
        self,
        policy: Policy,
        direction: Direction,
        timing: Timing,
        segments: Sequence[Segment],
        tenant: str,
        digests: Digests | None = None,
    ) -> Inspection:
        """An inspection with everything remembered already in it; `digests` are shared by several of one body.

        Begun beside the loop where a body holds so much that looking it up would be felt.
        """
        begin = partial(
            Inspection,
            policy,
            direction,
            timing,
            segments,
            self.memory,
            tenant=tenant,
            digest_key=self.digest_key,
            digests=digests,
        )
        return await asyncio.to_thread(begin) if is_large(segments) else begin()

    async def inspected(
        self,
        policy: Policy,
        direction: Direction,
        timing: Timing,
        segments: Sequence[Segment],
        tenant: str,
        *,
        mode: Mode,
    ) -> Verdict:
        """The verdict on texts of which nothing else is asked."""
        return await self.verdict(await self.begun(policy, direction, timing, segments, tenant), mode)

    async def verdict(self, inspection: Inspection, mode: Mode) -> Verdict:
        """Runs what is still to be run and decides. Never raises for a detector's failure."""
        beside = inspection.fresh > MANY_TEXTS or inspection.fresh_chars > READ_CHARS
        if beside:
            work = await asyncio.to_thread(inspection.work)  # reading what is disguised takes longer than detecting
        else:
            work = inspection.work()
        if work:
            await self.run(inspection, work)
        # many texts can hold many findings; what is remembered is put together from both
        if beside or is_large(inspection.segments):
            return await asyncio.to_thread(_decided, inspection, mode)
        return _decided(inspection, mode)

    async def run(self, inspection: Inspected, work: Sequence[Work]) -> None:
        """Runs work within the policy's time budget, light work here and the rest in the pool."""
        since = time.perf_counter()
        heavy: list[Work] = []
        for one in work:
            if is_light(one):
                inspection.run(one)
            elif (rest := _quickly(inspection, one)) is not None:
                heavy.append(rest)
        if len(heavy) == 1:
            await self._pooled(inspection, heavy[0], since)
        elif heavy:
            await asyncio.gather(*(self._pooled(inspection, one, since) for one in heavy))

    async def _pooled(self, inspection: Inspected, work: Work, since: float) -> None:
        name = work.active.detector.name
        budget_ms = inspection.policy.budget_ms * budgets(_size(work))
        try:
            left = since + budget_ms / 1000.0 - time.perf_counter()
            answer = await self.pool.detect(work.active.detector, work.passages, max(left, 0.001))
        except TimeoutError:
            inspection.fail(work, f"{name} did not answer within {budget_ms:g} ms", timed_out=True)
        except PoolFullError:
            inspection.fail(work, f"{name} was not run: too many inspections are waiting")
        except Exception as error:  # the pool worker's door, seen from the loop: any detector may raise anything
            inspection.fail(work, f"{type(error).__name__} in {name}")
        else:
            inspection.take(work, answer)


def _decided(inspection: Inspection, mode: Mode) -> Verdict:
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


def is_large(segments: Sequence[Segment]) -> bool:
    """Whether looking these texts up, or going through what was found in them, would hold up the loop."""
    return len(segments) > MANY_TEXTS or sum([len(segment.text) for segment in segments]) > MANY_CHARS


def budgets(chars: int) -> int:
    """How many times its time budget a text may take: once for each BUDGET_CHARS begun, at most MOST_BUDGETS."""
    return min(MOST_BUDGETS, max(1, -(-chars // BUDGET_CHARS)))


def _quickly(inspection: Inspected, work: Work) -> Work | None:
    """Asks a detector that knows of most short texts at once (`detector.QuickDetector`); what is left for the pool."""
    detector = work.active.detector
    quick = getattr(detector, "quick", None)
    if (
        quick is None or len(work.passages) > MANY_PASSAGES or _size(work) > detector.quick_chars  # type: ignore[attr-defined]  # it has `quick`
    ):
        return work
    try:
        answers = quick(work.passages)
        settled = [at for at, answer in enumerate(answers) if answer is not None]
        inspection.take(_part(work, settled), [answers[at] for at in settled])
    except Exception as error:  # the detectors' door, as in `Inspection.run`
        inspection.fail(work, f"{type(error).__name__} in {detector.name}")
        return None
    left = [at for at, answer in enumerate(answers) if answer is None]
    return _part(work, left) if left else None


def _part(work: Work, chosen: Sequence[int]) -> Work:
    return Work(work.active, [work.passages[at] for at in chosen], [work.rows[at] for at in chosen])


def is_light(work: Work) -> bool:
    """Whether work may run on the event loop."""
    detector = work.active.detector
    if len(work.passages) > MANY_PASSAGES:
        return False
    # a detector may say for itself how much of a text is still quick
    return detector.cost is Cost.INLINE and _size(work) <= getattr(detector, "inline_chars", INLINE_CHARS)


def _size(work: Work) -> int:
    return sum(len(passage.segment.text) for passage in work.passages)
