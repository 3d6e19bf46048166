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
from sigmaguard.scanning import Scanner


def judge_all(
    folder: Path, train: Sequence[Example], examples: Sequence[Example], *, rivals: bool = True
) -> list[Judged]:
    """Our scores first, then those of the rivals that can run here."""
    model = InjectionModel.load(folder)
    ours = [score.score for score in model.score([e.text for e in examples], [e.origin for e in examples])]
    reported = [s >= model.threshold("basic", e.origin) for s, e in zip(ours, examples, strict=True)]
    found = [Judged("sigmaguard model", ours, flagged=reported)]
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
    """How many of the attacks that are caught plain are still caught in a disguise, and harmless texts kept in it.

    `alone` is the model, `engine` the policy `basic` with every reading that the engine decodes for it.
    """

    disguise: str
    undone_by: str
    attacks: int
    benign: int
    caught_alone: int
    caught_engine: int
    kept_alone: int
    kept_engine: int


def robustness(
    model: InjectionModel, policy: Scanner, examples: Sequence[Example], count: int = 150, seed: int = 7
) -> list[Robustness]:
    """Disguise held-out short texts of users; attacks are those that model and policy catch undisguised."""
    rng = random.Random(seed)
    short = [
        e for e in examples if e.origin == "user" and 20 < len(e.text) < 300 and e.text.isascii() and "+" not in e.kind
    ]
    attacks = [e for e in short if e.is_attack]
    benign = [e for e in short if not e.is_attack]
    attacks = rng.sample(attacks, min(len(attacks), 2 * count))
    plain = zip(_flagged(model, attacks), scan(policy, attacks), strict=True)
    attacks = [e for e, (alone, whole) in zip(attacks, plain, strict=True) if alone and whole.blocked][:count]
    benign = rng.sample(benign, min(len(benign), count))
    out = []
    for by, table in (("fold", FOLDED), ("model", READ), ("the engine's readings", DECODED)):
        for name, disguise in table.items():
            sides = [
                [msgspec.structs.replace(e, text=disguise(e.text, rng)) for e in side] for side in (attacks, benign)
            ]
            alone = [sum(_flagged(model, side)) for side in sides]
            whole = [sum(one.blocked for one in scan(policy, side)) for side in sides]
            kept = [len(benign) - reported for reported in (alone[1], whole[1])]
            out.append(Robustness(name, by, len(attacks), len(benign), alone[0], whole[0], *kept))
    return out


def _flagged(model: InjectionModel, examples: Sequence[Example]) -> list[bool]:
    scores = model.score([e.text for e in examples], [e.origin for e in examples])
    return [s.score >= model.threshold("basic", e.origin) for s, e in zip(scores, examples, strict=True)]


def robustness_table(found: Sequence[Robustness]) -> list[str]:
    """The table as Markdown lines."""
    lines = [
        "| disguise | undone by | attacks | caught, model alone [95 %] | caught, policy basic [95 %] "
        "| harmless texts | kept, model alone | kept, policy basic |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        caught = " | ".join(_share(count, one.attacks) for count in (one.caught_alone, one.caught_engine))
        kept = " | ".join(f"{100 * count / max(one.benign, 1):.1f}" for count in (one.kept_alone, one.kept_engine))
        lines.append(f"| {one.disguise} | {one.undone_by} | {one.attacks} | {caught} | {one.benign} | {kept} |")
    return lines


def _share(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{100 * count / max(of, 1):.1f} [{100 * low:.0f}-{100 * high:.0f}]"
