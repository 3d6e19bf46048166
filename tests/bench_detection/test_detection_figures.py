"""The report's figures are right: intervals hold, rates agree with counting, calibration is fair to cells."""

import random
from collections.abc import Sequence

import pytest
from detection.calibrate import Trial, cell_weights, fit, gates, point, quantile, sure
from detection.corpus.example import Example
from detection.figures import caught_at, cells, mean_rate, reliability, roc, wilson
from hypothesis import given
from hypothesis import strategies as st

SCORED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def _example(label: str, source: str = "a", origin: str = "user") -> Example:
    return Example(text="t", label=label, origin=origin, kind="k", lang="en", source=source, template="x")


@given(count=st.integers(1, 5000), data=st.data())
def test_an_interval_holds_the_share_and_shrinks_with_more_texts(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = wilson(hits, count)
    lower, higher = wilson(hits * 4, count * 4)

    assert low - 1e-9 <= hits / count <= high + 1e-9
    assert -1e-9 <= low < high <= 1 + 1e-9
    assert higher - lower < high - low


def test_the_interval_is_the_published_one() -> None:
    low, high = wilson(81, 263)  # worked example of Newcombe 1998, table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def _counted(scored: Sequence[tuple[float, bool]], threshold: float) -> tuple[float, float]:
    benign = [score for score, attack in scored if not attack]
    attacks = [score for score, attack in scored if attack]
    return sum(s > threshold for s in benign) / len(benign), sum(s > threshold for s in attacks) / len(attacks)


@given(SCORED, st.floats(0, 1))
def test_what_is_caught_at_a_share_never_costs_more_than_that_share(
    scored: list[tuple[float, bool]], share: float
) -> None:
    if not any(attack for _, attack in scored) or all(attack for _, attack in scored):
        return
    found = caught_at([score for score, _ in scored], [attack for _, attack in scored], share)
    affordable = [_counted(scored, t)[1] for t in {-1.0, *(s for s, _ in scored)} if _counted(scored, t)[0] <= share]

    assert found == pytest.approx(max(affordable, default=0.0))


@given(SCORED)
def test_curves_rise_and_end_at_the_corner(scored: list[tuple[float, bool]]) -> None:
    false, true = roc([score for score, _ in scored], [attack for _, attack in scored])
    bins = reliability([score for score, _ in scored], [attack for _, attack in scored])

    assert false == sorted(false)
    assert true == sorted(true)
    assert sum(count for _, _, count in bins) == len(scored)


def test_every_cell_weighs_alike_in_the_mean() -> None:
    examples = [_example("benign")] * 90 + [_example("injection", "b")] * 10
    found = cells(examples, [False] * 90 + [True] * 5 + [False] * 5)

    assert [(cell.name, cell.attack, cell.rate) for cell in found] == [
        ("a/user/en", False, 1.0),
        ("b/user/en", True, 0.5),
    ]
    assert mean_rate(found) == 0.75
    assert mean_rate(found, least=11) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 0.99))
def test_a_quantile_lets_at_most_its_share_through(values: list[float], share: float) -> None:
    threshold = quantile(values, share)

    assert sum(value >= threshold for value in values if threshold < 1.0) <= len(values) * share


def test_calibration_finds_the_line_that_made_the_labels() -> None:
    rng = random.Random(5)
    trials = [
        Trial(logit, rng.random() < 1 / (1 + 2.718281828 ** -(1.5 * logit - 3)), "user", "one")
        for logit in (rng.uniform(-4, 8) for _ in range(20_000))
    ]
    line = fit(trials)["user"]

    assert 0.9 < line.slope < 1.6  # labels are smoothed: a line never claims certainty
    assert line.probability(2.0) == pytest.approx(0.5, abs=0.12)
    assert line.probability(8.0) > 0.9 > 0.1 > line.probability(-3.0)


def test_a_large_cell_weighs_no_more_than_a_small_one() -> None:
    trials = [Trial(0.0, True, "user", "big")] * 99 + [
        Trial(0.0, True, "user", "small"),
        Trial(0.0, False, "user", "n"),
    ]
    weights = cell_weights(trials)

    assert weights[:99].sum() == pytest.approx(weights[99])
    assert weights[100] == pytest.approx(0.5)


def test_points_keep_their_promise_on_the_scores_they_were_measured_on() -> None:
    rng = random.Random(1)
    benign = {origin: [rng.random() ** 9 for _ in range(2000)] for origin in ("user", "document", "tool")}
    attacks = {origin: [rng.random() ** 0.05 for _ in range(500)] for origin in benign}
    found = point(benign, attacks, 0.01)

    assert all(rate <= 0.01 for rate in found.false_positives.values())
    assert all(rate > 0.7 for rate in found.caught.values())
    assert gates(
        {"user": [0.1, 0.2, 0.9], "document": [], "tool": [0.5]}, {"user": 0.0, "document": 0.0, "tool": 0.0}
    ) == {
        "user": 0.1,
        "document": 0.0,
        "tool": 0.5,
    }


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1))
def test_a_sure_threshold_catches_its_share(values: list[float], share: float) -> None:
    assert sum(value >= sure(values, share) for value in values) >= len(values) * share - 1e-9
