"""The time that retention goes by: no clock set forward erases anything early. Knows clocks, deletes nothing.

What it cannot find out: a clock that was wrong already when the process started.
"""

import time
from collections.abc import Callable

# also counts the time a machine was suspended, where the system can tell (Linux)
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
JUMP_S = 60.0  # less is a correction of the kind that time servers make


def elapsed_s() -> float:
    """Seconds that nobody can set."""
    return time.clock_gettime(_BOOT_CLOCK) if _BOOT_CLOCK is not None else time.monotonic()


class SteadyTime:
    """Unix time by the clock, but never further ahead than has really passed since the start."""

    def __init__(self, clock: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._clock, self._elapsed = clock, elapsed
        self._start = clock() - elapsed()

    def now(self) -> tuple[float, float]:
        """The time to go by, and the seconds that the clock is ahead of it: 0.0 while nobody has set it forward."""
        said, passed = self._clock(), self._start + self._elapsed()
        ahead = said - passed
        return (passed, ahead) if ahead > JUMP_S else (said, 0.0)
