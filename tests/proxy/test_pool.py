"""The detector pool: bounded, batched, with deadlines, and alive after detectors that hang."""

import asyncio
import threading

import pytest

from sigmaguard.detector import Cost, Passage
from sigmaguard.model import Origin, Segment
from sigmaguard.reading import Reading
from sigmaguard_proxy.pool import LONG_CHARS, SPARES, DetectorPool, PoolFullError
from tests.engine.fakes import Raises, Waits, Words


def passage(text: str) -> Passage:
    """A text to look at."""
    return Passage(Segment("/t", Origin.USER, text), (Reading(text),))


async def test_answers_come_in_order_and_batches_do_not_mix() -> None:
    pool = DetectorPool(2, 64)
    finder = Words({"fish": "test.fish"}, cost=Cost.POOLED)
    texts = [f"{'x' * at}fish" for at in range(40)]
    answers = await asyncio.gather(*(pool.detect(finder, [passage(text)], 20) for text in texts))
    assert [answer[0][0].start for answer in answers] == list(range(40))
    pool.close()


async def test_one_bad_text_does_not_fail_the_others() -> None:
    class Picky(Words):
        def detect(self, passages):  # type: ignore[no-untyped-def]
            if any(one.segment.text == "bad" for one in passages):
                raise ValueError("bad")
            return super().detect(passages)

    pool, finder = DetectorPool(1, 64), Picky({"fish": "test.fish"})
    answers = await asyncio.gather(
        *(pool.detect(finder, [passage(text)], 20) for text in ("fish", "bad", "fish")), return_exceptions=True
    )
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False]
    with pytest.raises(KeyError):
        await pool.detect(Raises(KeyError("x")), [passage("a")], 20)
    pool.close()


async def test_long_texts_leave_a_thread_to_the_others() -> None:
    pool, finder = DetectorPool(2, 64), Words({"fish": "test.fish"})
    books = [Waits() for _ in range(3)]
    reading = [asyncio.ensure_future(pool.detect(one, [passage("a" * (LONG_CHARS + 1))], 20)) for one in books]
    await asyncio.to_thread(books[0].began.wait, 20)
    for _ in range(40):
        assert (await pool.detect(finder, [passage("fish")], 20))[0]
    assert not books[1].began.is_set(), "a second book waits for the first"
    for one in books:
        one.go_on.set()
    await asyncio.gather(*reading)
    pool.close()


async def test_what_is_over_the_bound_is_shed() -> None:
    pool, hanging = DetectorPool(1, 2), Waits()
    first = asyncio.ensure_future(pool.detect(hanging, [passage("a")], 20))
    await asyncio.to_thread(hanging.began.wait, 20)
    waiting = [asyncio.ensure_future(pool.detect(hanging, [passage("a")], 20)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PoolFullError):
        await pool.detect(hanging, [passage("a")], 20)
    assert (pool.shed, pool.waiting) == (1, 2)
    hanging.go_on.set()
    await asyncio.gather(first, *waiting)
    pool.close()


async def test_threads_that_hang_are_replaced_and_end_when_they_come_back() -> None:
    before = threading.active_count()
    pool, finder = DetectorPool(2, 64), Words({"fish": "test.fish"})
    hanging = [Waits() for _ in range(4)]
    for one in hanging:
        with pytest.raises(TimeoutError):
            await pool.detect(one, [passage("a")], 0.05)
    assert (await pool.detect(finder, [passage("fish")], 20))[0]
    for one in hanging:
        one.go_on.set()
    async with asyncio.timeout(20):
        while threading.active_count() > before + 2:
            assert (await pool.detect(finder, [passage("fish")], 20))[0]
    pool.close()


async def test_no_number_of_hanging_detectors_starts_threads_without_end() -> None:
    before = threading.active_count()
    pool, hanging = DetectorPool(1, 64), [Waits() for _ in range(3 * (1 + SPARES))]
    for one in hanging:
        with pytest.raises(TimeoutError):
            await pool.detect(one, [passage("a")], 0.02)
    assert threading.active_count() <= before + 1 + SPARES
    for one in hanging:
        one.go_on.set()
    pool.close()
