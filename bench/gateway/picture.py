"""Pictures of results: grouped bars and lines. Knows numbers and names only."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot


def bars(groups: Mapping[str, Mapping[str, float]], path: Path, title: str) -> None:
    """One group of bars a key, one bar a name, on a logarithmic axis (peers lie orders of magnitude apart)."""
    matplotlib.use("Agg")
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    width = 0.8 / max(1, len(names))
    for at, name in enumerate(names):
        heights = [group.get(name, 0.0) for group in groups.values()]
        places = [index + at * width for index in range(len(groups))]
        drawn = axes.bar(places, heights, width, label=name)
        axes.bar_label(drawn, [f"{height:.2f}" for height in heights], fontsize=7)
    axes.set_yscale("log")
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(groups))], list(groups))
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set_title(title)
    axes.legend(fontsize=8, ncols=len(names))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], path: Path, title: str, across: str, upward: str
) -> None:
    """One line a name over a logarithmic axis."""
    matplotlib.use("Agg")
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def stacked(groups: Mapping[str, Mapping[str, float]], path: Path, title: str, across: str) -> None:
    """One lying bar a key, cut into its parts."""
    matplotlib.use("Agg")
    figure, axes = pyplot.subplots(figsize=(9, 3.5))
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    begins = dict.fromkeys(groups, 0.0)
    for name in names:
        widths = [group.get(name, 0.0) for group in groups.values()]
        axes.barh(list(groups), widths, left=list(begins.values()), label=name)
        begins = {key: begins[key] + width for key, width in zip(groups, widths, strict=True)}
    axes.set_xlabel(across)
    axes.set_title(title)
    axes.legend(fontsize=7, ncols=5)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
