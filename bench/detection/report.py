"""Writes a detection report: Markdown, JSON and a picture; knows figures, not how scores came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from detection.corpus.example import Example
from detection.figures import Cell, caught_at, cells, mean_rate, reliability, roc


class Judged(msgspec.Struct, frozen=True):
    """What one detector said of all texts, and the score from which it reports.

    `flagged` says what it reported where that is more than a threshold: a policy of several detectors.
    """

    name: str
    scores: list[float]
    threshold: float = 0.5
    flagged: list[bool] = []


class Summary(msgspec.Struct, frozen=True):
    """The figures of one detector on one set."""

    name: str
    threshold: float
    mean: float
    benign: float
    attack: float
    caught_at_1_percent: float
    caught_at_01_percent: float
    cells: list[Cell]


def summary(examples: Sequence[Example], judged: Judged) -> Summary:
    """Every figure of one detector; means are over cells of five texts and more."""
    found = cells(examples, judged.flagged or [score >= judged.threshold for score in judged.scores])
    truth = [example.is_attack for example in examples]
    return Summary(
        judged.name, judged.threshold, mean_rate(found),
        mean_rate([c for c in found if not c.attack]), mean_rate([c for c in found if c.attack]),
        caught_at(judged.scores, truth, 0.01), caught_at(judged.scores, truth, 0.001), found,
    )  # fmt: skip


def write(
    folder: Path, title: str, notes: Sequence[str], sets: Mapping[str, tuple[Sequence[Example], Sequence[Judged]]]
) -> None:
    """Write `detection.md`, `detection.json` and `detection.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    summaries = {name: [summary(examples, one) for one in judged] for name, (examples, judged) in sets.items()}
    lines = [f"# {title}", "", *notes, ""]
    for name, found in summaries.items():
        lines += [f"## {name}", "", *_overview(found), "", *_table(found), ""]
    lines += ["![ROC and reliability](detection.png)", ""]
    (folder / "detection.md").write_text("\n".join(lines))
    (folder / "detection.json").write_bytes(msgspec.json.format(msgspec.json.encode(summaries), indent=1) + b"\n")
    picture(folder / "detection.png", sets)


def _overview(found: Sequence[Summary]) -> list[str]:
    lines = [
        "| detector | mean of cells | benign kept | attacks caught | caught at 1 % FP | at 0.1 % FP |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        row = (one.mean, one.benign, one.attack, one.caught_at_1_percent, one.caught_at_01_percent)
        lines.append(f"| {one.name} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |")
    return lines


def _table(found: Sequence[Summary]) -> list[str]:
    names = [one.name for one in found]
    lines = [f"| source / origin / language | label | texts | {names[0]} [95 %] | " + " | ".join(names[1:]) + " |"]
    lines.append("|---" * (4 + len(names) - 1) + "|")
    others = [{(c.name, c.attack): c for c in one.cells} for one in found[1:]]
    for cell in found[0].cells:
        first = f"{100 * cell.rate:.1f} [{100 * cell.low:.0f}-{100 * cell.high:.0f}]"
        rest = [f"{100 * other[cell.name, cell.attack].rate:.1f}" for other in others]
        label = "attack" if cell.attack else "benign"
        lines.append("| " + " | ".join([cell.name, label, str(cell.count), first, *rest]) + " |")
    return lines


def picture(path: Path, sets: Mapping[str, tuple[Sequence[Example], Sequence[Judged]]]) -> None:
    """Draw, for each set, the ROC at low false-positive rates and the reliability of the first detector."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(sets), 2, figsize=(9, 3.6 * len(sets)), squeeze=False)
    for row, (name, (examples, judged)) in zip(axes, sets.items(), strict=True):
        truth = [example.is_attack for example in examples]
        for one in judged:
            false, true = roc(one.scores, truth)
            row[0].step([max(f, 1e-4) for f in false], true, where="post", label=one.name)
        row[0].set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1), xlabel="false positives", ylabel="caught", title=name)
        row[0].legend(fontsize=7, loc="lower right")
        points = reliability(judged[0].scores, truth)
        row[1].plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        row[1].plot([p[0] for p in points], [p[1] for p in points], marker="o")
        row[1].set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="mean score",
            ylabel="share of attacks",
            title=f"{judged[0].name}: reliability",
        )
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)
