"""Judges a model folder beside its rivals on texts it was not trained on; knows no training and no thresholds of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec

from detection.corpus.disguise import DECODED, FOLDED, READ
from detection.corpus.example import Example
from detection.engine import judged, scan, scanner
from detection.figures import wilson
from detection.report import Judged
from detection.rivals import nanoguard, regression
from sigmaguard.injection.model import InjectionModel


def judge_all(
    folder: Path, train: Sequence[Example], examples: Sequence[Example], *, rivals: bool = True
) -> list[Judged]:
    """Our scores first, then those of the rivals that can run here."""
    model = InjectionModel.load(folder)
    ours = [score.score for score in model.score([e.text for e in examples], [e.origin for e in examples])]
    found = [Judged("sigmaguard model", ours)]
    print("the whole policy", flush=True)
    found.append(judged("sigmaguard policy basic", scan(scanner("basic", folder), examples)))
    if rivals:
        print("rival: TF-IDF regression", flush=True)
        found.append(Judged("tf-idf regression", regression(train)(examples)))
        published = nanoguard()
        if published is not None:
            print("rival: metatronnanoguard", flush=True)
            found.append(Judged("metatronnanoguard", published(examples)))
    return found


class Robustness(msgspec.Struct, frozen=True):
    """How many of the attacks that are caught plain are still caught in a disguise."""

    disguise: str
    undone_by: str
    count: int
    caught: float
    low: float
    high: float
    benign_kept: float


def robustness(model: InjectionModel, examples: Sequence[Example], count: int = 150, seed: int = 7) -> list[Robustness]:
    """Disguise held-out short texts of users; attacks are those that the model catches undisguised."""
    rng = random.Random(seed)
    short = [
        e for e in examples if e.origin == "user" and 20 < len(e.text) < 300 and e.text.isascii() and "+" not in e.kind
    ]
    attacks = [e.text for e in short if e.is_attack]
    benign = [e.text for e in short if not e.is_attack]
    attacks = rng.sample(attacks, min(len(attacks), 2 * count))
    attacks = [text for text in attacks if _flagged(model, text)][:count]
    benign = rng.sample(benign, min(len(benign), count))
    out = []
    for by, table in (("fold", FOLDED), ("model", READ), ("the engine's readings", DECODED)):
        for name, disguise in table.items():
            caught = sum(_flagged(model, disguise(text, rng)) for text in attacks)
            kept = sum(not _flagged(model, disguise(text, rng)) for text in benign)
            low, high = wilson(caught, len(attacks))
            out.append(
                Robustness(name, by, len(attacks), caught / max(len(attacks), 1), low, high, kept / max(len(benign), 1))
            )
    return out


def _flagged(model: InjectionModel, text: str) -> bool:
    return model.score([text], ["user"])[0].score >= 0.5


def robustness_table(found: Sequence[Robustness]) -> list[str]:
    """The table as Markdown lines."""
    lines = [
        "| disguise | undone by | attacks | caught alone [95 %] | benign kept in the same disguise |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.disguise} | {one.undone_by} | {one.count} | {100 * one.caught:.1f} [{100 * one.low:.0f}-{100 * one.high:.0f}] | {100 * one.benign_kept:.1f} |"
        )
    return lines
