"""Where an inspection runs: what takes long must not hold up the loop."""

import threading
from collections.abc import Sequence

import pytest

from sigmaguard.inspection import Inspection, Work
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Action, Direction, Mode, Origin, Segment, Timing
from sigmaguard_proxy.inspecting import READ_CHARS, Inspecting
from sigmaguard_proxy.pool import DetectorPool
from tests.proxy.test_bypasses import ATTACK, policy

PERCENT = "".join(f"%{byte:02x}" for byte in ATTACK.encode())


class Watched(Inspection):
    """Tells in which thread texts were read."""

    thread: threading.Thread | None = None

    def work(self) -> list[Work]:
        """Reads them."""
        self.thread = threading.current_thread()
        return super().work()


@pytest.mark.parametrize(
    ("texts", "is_beside"),
    [
        ([PERCENT], False),
        ([PERCENT, "%41" * READ_CHARS], True),
        ([PERCENT, *(f"a{at}" for at in range(1_000))], True),  # laid side by side, these are half a million letters
    ],
    ids=["short", "long", "many"],
)
async def test_a_large_body_is_read_beside_the_loop(texts: Sequence[str], is_beside: bool) -> None:
    pool = DetectorPool(2, 64)
    inspecting = Inspecting(VerdictMemory(), pool, b"k")
    segments = [Segment(f"/{at}", Origin.USER, text) for at, text in enumerate(texts)]
    watched = Watched(policy(), Direction.INPUT, Timing.BEFORE, segments, inspecting.memory, tenant="", digest_key=b"k")
    verdict = await inspecting.verdict(watched, Mode.ENFORCE)
    assert verdict.action is Action.BLOCK
    assert (watched.thread is not threading.main_thread()) is is_beside
    pool.close()
