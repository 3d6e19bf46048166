"""Judges a whole policy, not the model alone: what `sigmaguard scan` would do with every text. Knows no training."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from detection import corpora
from detection.corpus.example import Example
from detection.figures import caught_at, cells, mean_rate
from detection.gather import Recipe, gather, some
from detection.report import Judged
from sigmaguard.model import Action, Origin
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.load import load_pack
from sigmaguard.scanning import Scanner
from sigmaguard_policies import policies_root

ORIGINS = {"user": Origin.USER, "document": Origin.DOCUMENT, "tool": Origin.TOOL_RESULT}


class Scanned(msgspec.Struct, frozen=True):
    """What the policy did with a text, and the rule that decided, empty where none did."""

    blocked: bool
    score: float
    rule: str


def scanner(policy: str, model: Path | None = None, only: Sequence[str] = ()) -> Scanner:
    """A scanner for a shipped policy, with other weights where a folder is named, or with some detectors only."""
    pack, folder = load_pack(policy, policies_root())
    detectors = {name: config for name, config in pack.detectors.items() if not only or name in only}
    if model is not None and "injection" in detectors:
        options = detectors["injection"].options | {"model": str(model)}
        detectors["injection"] = msgspec.structs.replace(detectors["injection"], options=options)
    return Scanner(PolicyLoader(policies_root()).compile(msgspec.structs.replace(pack, detectors=detectors), folder))


def scan(chosen: Scanner, examples: Sequence[Example]) -> list[Scanned]:
    """Every text through the engine, in order."""
    found = []
    for example in examples:
        (result,) = chosen.scan([(ORIGINS[example.origin], example.text)])
        found.append(
            Scanned(result.action is Action.BLOCK, result.score, result.verdict.rule if result.verdict else "")
        )
    return found


def judged(name: str, found: Sequence[Scanned]) -> Judged:
    """The scores as the report wants them."""
    return Judged(name, [one.score for one in found], flagged=[one.blocked for one in found])


def lines(examples: Sequence[Example], found: Sequence[Scanned]) -> list[str]:
    """Means, rates and what blocked harmless texts, as Markdown lines."""
    rates = cells(examples, [one.blocked for one in found])
    truth = [example.is_attack for example in examples]
    scores = [one.score for one in found]
    blamed = Counter(one.rule for one, attack in zip(found, truth, strict=True) if one.blocked and not attack)
    out = [
        f"mean {100 * mean_rate(rates):.1f}, benign kept {100 * mean_rate([c for c in rates if not c.attack]):.1f}, "
        f"attacks caught {100 * mean_rate([c for c in rates if c.attack]):.1f}, "
        f"caught at 1 % false positives {100 * caught_at(scores, truth, 0.01):.1f}", "",
        "| source / origin / language | label | texts | right [95 %] |", "|---|---|---|---|",
    ]  # fmt: skip
    for cell in rates:
        label = "attack" if cell.attack else "benign"
        out.append(
            f"| {cell.name} | {label} | {cell.count} | {100 * cell.rate:.1f} [{100 * cell.low:.0f}-{100 * cell.high:.0f}] |"
        )
    out += [
        "",
        "Harmless texts blocked, by rule: " + (", ".join(f"{k} {v}" for k, v in blamed.most_common()) or "none"),
    ]
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table for the held-out families or the left-out sources."""
    parser = argparse.ArgumentParser(prog="detection.engine", description=__doc__)
    parser.add_argument("--policy", default="basic")
    parser.add_argument("--model", type=Path, help="weights to use in place of the packaged ones")
    parser.add_argument("--only", action="append", default=[], help="a detector to keep; all where none is named")
    parser.add_argument("--left-out", action="store_true", help="judge on the sources an honest run leaves out")
    parser.add_argument("--count", type=int, default=3000)
    options = parser.parse_args(arguments)
    sets = gather(Recipe(per_generator=1300, planted=5200, leave_out=options.left_out), corpora.folder())
    chosen = some(sets.left if options.left_out else sets.held, options.count)
    found = scan(scanner(options.policy, options.model, options.only), chosen)
    print("\n".join(lines(chosen, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
