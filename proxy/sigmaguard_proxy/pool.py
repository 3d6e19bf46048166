"""Threads for detectors that are too slow for the event loop: bounded, micro-batched, with deadlines.

Waiting work of one detector is run as one batch, across exchanges. Work past its deadline is dropped
before it starts; what has started cannot be stopped, so its answer is thrown away. A thread that hangs
in a detector is replaced, a bounded number of times, and ends when it comes back. Long texts run alone and
leave one thread to the others: a book must not hold up a question.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sigmaguard.detector import Detector, Passage
from sigmaguard.model import Finding

SPARES = 4  # threads that may hang for each that is meant to work, before nothing replaces them any more
BATCH_PASSAGES = 32  # more than this in one batch makes the first one wait longer than it gains
LONG_CHARS = 8_000  # code points of one job that may take seconds


class PoolFullError(RuntimeError):
    """The queue is at its bound; the policy's `on_fault` decides."""


Answer = list[list[Finding]]


@dataclass(slots=True, eq=False)
class _Job:
    detector: Detector
    passages: Sequence[Passage]
    future: asyncio.Future[Answer]
    loop: asyncio.AbstractEventLoop
    is_long: bool


class DetectorPool:
    """A few daemon threads and one bounded queue."""

    def __init__(self, threads: int, queue: int) -> None:
        self._limit = queue
        self._jobs: deque[_Job] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self.shed = 0
        self._wanted = threads
        self._most_long = max(1, threads - 1)
        self._threads: set[threading.Thread] = set()
        self._running: dict[threading.Thread, list[_Job]] = {}
        for _ in range(threads):
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"detector-{len(self._threads)}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _working(self) -> int:
        """Threads that do not hang: those that are idle, or run something that somebody still waits for."""
        hanging = sum(all(job.future.done() for job in batch) for batch in self._running.values())
        return len(self._threads) - hanging

    def _replace(self) -> None:
        """Starts a thread for one that hangs."""
        with self._ready:
            if not self._closed and self._working() < self._wanted and len(self._threads) < self._wanted * (1 + SPARES):
                self._start()

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._jobs)

    async def detect(self, detector: Detector, passages: Sequence[Passage], timeout_s: float) -> Answer:
        """The detector's answer. Raises PoolFullError, TimeoutError, or what the detector raised."""
        loop = asyncio.get_running_loop()
        size = sum(len(passage.segment.text) for passage in passages)
        job = _Job(detector, passages, loop.create_future(), loop, size > LONG_CHARS)
        with self._ready:
            if len(self._jobs) >= self._limit:
                self.shed += 1
                raise PoolFullError(f"{len(self._jobs)} inspections are waiting")
            self._jobs.append(job)
            self._ready.notify()
        try:
            async with asyncio.timeout(timeout_s):
                return await job.future
        except TimeoutError:
            self._replace()
            raise

    def close(self) -> None:
        """Lets the threads end after what they are doing."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
            idle = [thread for thread in self._threads if thread not in self._running]
        for thread in idle:
            thread.join(timeout=2.0)

    def _serve(self) -> None:
        me = threading.current_thread()
        while True:
            with self._ready:
                self._running.pop(me, None)
                while (first := self._first()) < 0 and not self._closed and self._working() <= self._wanted:
                    self._ready.wait()
                if self._closed or self._working() > self._wanted:
                    self._threads.discard(me)
                    return
                batch = self._take(first)
                if batch:
                    self._running[me] = batch
            _run(batch)

    def _first(self) -> int:
        """Where the oldest job stands that may run now; -1 where none may."""
        if not self._jobs:
            return -1
        running = sum(any(job.is_long and not job.future.done() for job in batch) for batch in self._running.values())
        may_be_long = running < self._most_long
        return next(
            (at for at, job in enumerate(self._jobs) if may_be_long or not job.is_long or job.future.done()), -1
        )

    def _take(self, at: int) -> list[_Job]:
        """The job there and others of the same detector; those nobody waits for any more are dropped."""
        first = self._jobs[at]
        del self._jobs[at]
        batch, size = [first], len(first.passages)
        if not first.is_long:
            kept: deque[_Job] = deque()
            for job in self._jobs:
                fits = job.detector is first.detector and not job.is_long
                if fits and size + len(job.passages) <= BATCH_PASSAGES:
                    batch.append(job)
                    size += len(job.passages)
                else:
                    kept.append(job)
            self._jobs = kept
        return [job for job in batch if not job.future.cancelled()]


def _run(batch: list[_Job]) -> None:
    if not batch:
        return
    passages = [passage for job in batch for passage in job.passages]
    try:
        answers = batch[0].detector.detect(passages)
        if len(answers) != len(passages):
            raise RuntimeError(f"{len(answers)} answers for {len(passages)} passages")
    except Exception as error:  # the pool worker's door: a thread must outlive any detector
        if len(batch) == 1:
            _deliver(batch[0], error)
            return
        for job in batch:  # one exchange's text must not fail the others'
            _run([job])
        return
    at = 0
    for job in batch:
        _deliver(job, answers[at : at + len(job.passages)])
        at += len(job.passages)


def _deliver(job: _Job, result: Answer | Exception) -> None:
    def settle() -> None:
        if job.future.done():
            return
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    try:
        job.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop has closed: nobody is waiting
