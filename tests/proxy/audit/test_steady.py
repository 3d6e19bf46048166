"""The time that retention goes by."""

import pytest

from sigmaguard_proxy.audit.steady import SteadyTime, elapsed_s

DAY = 86_400.0


@pytest.mark.parametrize(
    ("clock", "passed", "goes_by", "ahead"),
    [
        (1_000.0 + DAY, DAY, 1_000.0 + DAY, 0.0),
        (1_000.0 + DAY + 20.0, DAY, 1_000.0 + DAY + 20.0, 0.0),  # a time server's correction
        (1_000.0 + 400 * DAY, DAY, 1_000.0 + DAY, 399 * DAY),  # set forward by a year: a day has passed
        (1_000.0 - 400 * DAY, DAY, 1_000.0 - 400 * DAY, 0.0),  # set back: retention deletes later, never earlier
    ],
)
def test_a_clock_set_forward_makes_nothing_older(clock: float, passed: float, goes_by: float, ahead: float) -> None:
    clocks, elapsed = iter([1_000.0, clock]), iter([50.0, 50.0 + passed])
    assert SteadyTime(lambda: next(clocks), lambda: next(elapsed)).now() == (goes_by, ahead)


def test_what_passed_only_grows() -> None:
    assert elapsed_s() <= elapsed_s()
