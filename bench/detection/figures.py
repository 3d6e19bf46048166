"""The statistics of a detection report: intervals, rates at a false-positive rate, calibration; no files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from detection.corpus.example import Example


class Cell(msgspec.Struct, frozen=True):
    """How one source's texts of one label fared: `rate` is kept for benign, caught for attacks."""

    name: str
    attack: bool
    count: int
    rate: float
    low: float
    high: float


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.959964, hits / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (middle - half) / scale, (middle + half) / scale


def cells(examples: Sequence[Example], flagged: Sequence[bool]) -> list[Cell]:
    """One cell for each source, label, origin and language group."""
    groups: dict[tuple[bool, str], list[bool]] = {}
    for example, flag in zip(examples, flagged, strict=True):
        groups.setdefault((example.is_attack, cell_name(example)), []).append(flag == example.is_attack)
    out = []
    for (attack, name), right in sorted(groups.items()):
        low, high = wilson(sum(right), len(right))
        out.append(Cell(name, attack, len(right), sum(right) / len(right), low, high))
    return out


def cell_name(example: Example) -> str:
    """Where a text counts: its source, origin and language."""
    return f"{example.source}/{example.origin}/{example.lang}"


def mean_rate(found: Sequence[Cell], least: int = 5) -> float:
    """The mean over cells of at least `least` texts, every cell alike."""
    rates = [cell.rate for cell in found if cell.count >= least]
    return sum(rates) / len(rates) if rates else 0.0


def caught_at(scores: Sequence[float], attacks: Sequence[bool], share: float) -> float:
    """The share of attacks caught above the threshold over which at most `share` of the benign texts lie."""
    values, truth = np.asarray(scores), np.asarray(attacks)
    benign = np.sort(values[~truth])[::-1]
    if not len(benign) or not truth.any():
        return 0.0
    allowed = int(len(benign) * share)
    return float(np.mean(values[truth] > benign[allowed])) if allowed < len(benign) else 1.0


def roc(scores: Sequence[float], attacks: Sequence[bool]) -> tuple[list[float], list[float]]:
    """False-positive and true-positive rates as the threshold falls."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    truth = np.asarray(attacks)[order]
    true = np.cumsum(truth) / max(truth.sum(), 1)
    false = np.cumsum(~truth) / max((~truth).sum(), 1)
    return false.tolist(), true.tolist()


def reliability(scores: Sequence[float], attacks: Sequence[bool], bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean score, share of attacks and count of each bin that is not empty."""
    values, truth = np.asarray(scores), np.asarray(attacks)
    places = np.minimum((values * bins).astype(int), bins - 1)
    return [
        (float(values[places == b].mean()), float(truth[places == b].mean()), int((places == b).sum()))
        for b in range(bins)
        if (places == b).any()
    ]


def by_label(found: Sequence[Cell]) -> Mapping[str, float]:
    """The mean rate of benign cells and of attack cells."""
    return {
        "benign": mean_rate([c for c in found if not c.attack]),
        "attack": mean_rate([c for c in found if c.attack]),
    }
