"""Turns logits into probabilities and probabilities into thresholds; knows numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from sigmaguard.injection.card import Line, Point
from sigmaguard.injection.vocabulary import ORIGINS

Array = NDArray[np.float64]


class Trial(msgspec.Struct, frozen=True):
    """One held-out text as a tier saw it."""

    logit: float
    attack: bool
    origin: str
    cell: str  # what is averaged over: a source and its label


def fit(trials: Sequence[Trial], *, prior: float = 1.0) -> dict[str, Line]:
    """A line per origin (Platt 1999), every cell and both labels weighing alike; `prior` ridges towards the common line."""
    common = _newton(trials, Line(1.0, 0.0), 1e-3)
    out = {}
    for origin in ORIGINS:
        own = [trial for trial in trials if trial.origin == origin]
        both = {trial.attack for trial in own}
        out[origin] = _newton(own, common, prior) if len(both) == 2 else common
    return out


def _newton(trials: Sequence[Trial], centre: Line, ridge: float) -> Line:
    x = np.array([[trial.logit, 1.0] for trial in trials])
    weights = cell_weights(trials) * 200
    y = np.array([0.98 if trial.attack else 0.02 for trial in trials])
    middle = np.array([centre.slope, centre.shift])
    beta = middle.copy()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -60, 60)))
        gradient = x.T @ (weights * (p - y)) + ridge * (beta - middle)
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + (ridge + 1e-6) * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return Line(float(max(beta[0], 0.05)), float(beta[1]))


def cell_weights(trials: Sequence[Trial]) -> Array:
    """Weights that sum to one half for each label, alike for every cell of it."""
    counts: dict[tuple[bool, str], int] = {}
    for trial in trials:
        counts[trial.attack, trial.cell] = counts.get((trial.attack, trial.cell), 0) + 1
    cells = {label: sum(1 for attack, _ in counts if attack == label) for label in (True, False)}
    return np.array([0.5 / cells[trial.attack] / counts[trial.attack, trial.cell] for trial in trials])


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest threshold that at most `share` of the values reach."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    allowed = int(np.floor(len(ordered) * share))
    return float(min(np.nextafter(ordered[allowed], 2.0), 1.0)) if len(ordered) > allowed else 0.0


def sure(attacks: Sequence[float], share: float) -> float:
    """The largest threshold that still catches `share` of the attacks; 1 where there are none."""
    return float(np.quantile(np.asarray(attacks), 1 - share, method="lower")) if len(attacks) else 1.0


def gates(tiny: Mapping[str, Sequence[float]], missed: Mapping[str, float]) -> dict[str, float]:
    """By origin, the probability below which at most `missed[origin]` of the attacks lie (`tiny`: those of attacks)."""
    return {
        origin: float(np.quantile(np.asarray(values), missed[origin])) if len(values) else 0.0
        for origin, values in tiny.items()
    }


def point(benign: Mapping[str, Sequence[float]], attacks: Mapping[str, Sequence[float]], share: float) -> Point:
    """The operating point with at most `share` false positives in every origin, and what it catches."""
    return measured({origin: max(quantile(benign[origin], share), 0.01) for origin in ORIGINS}, benign, attacks)


def measured(
    threshold: dict[str, float], benign: Mapping[str, Sequence[float]], attacks: Mapping[str, Sequence[float]]
) -> Point:
    """A point with the rates it has on these scores."""

    def rate(values: Sequence[float], origin: str) -> float:
        return round(float(np.mean(np.asarray(values) >= threshold[origin])), 5) if len(values) else 0.0

    return Point(
        threshold={origin: round(value, 6) for origin, value in threshold.items()},
        false_positives={origin: rate(benign[origin], origin) for origin in ORIGINS},
        caught={origin: rate(attacks[origin], origin) for origin in ORIGINS},
    )
