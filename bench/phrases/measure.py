"""Runs the shipped phrase rules over labelled JSON lines (`text`, `label`, `origin`, `source`) and counts.

    python -m phrases.measure DATA_FOLDER [--threshold 0.7] [--show N] [--write bench/results/detection-phrases.md]

Run from `bench/`. The texts themselves never leave the data folder: only counts and rule ids are written.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sigmaguard.detector import Passage
from sigmaguard.detectors.phrases import build
from sigmaguard.fold import readings
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.rules import load_rule_file
from sigmaguard_policies import policies_root

ORIGINS = {"user": Origin.USER, "document": Origin.DOCUMENT, "tool": Origin.TOOL_RESULT, "system": Origin.SYSTEM}


class Tally:
    """Counts of one source and label."""

    def __init__(self) -> None:
        self.texts = 0
        self.flagged = 0
        self.hinted = 0
        self.shown = 0
        self.rules: Counter[str] = Counter()


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """Every row of every file, file by file."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def main() -> None:
    """Counts, prints a table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--hint", type=float, default=0.5)
    parser.add_argument(
        "--show", type=int, default=0, help="print this many flagged harmless and missed texts a source"
    )
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    files = [load_rule_file(path) for path in sorted((policies_root() / "rules").glob("phrases.*.yaml"))]
    rules = [rule for file in files for rule in file.rules]
    detector = build({}, rules)
    tallies: dict[tuple[str, str], Tally] = {}
    size = folding = looking = 0.0
    for row in rows(arguments.folder):
        text, harmless = row["text"], row["label"] == "benign"
        tally = tallies.setdefault((row["source"], "benign" if harmless else "attack"), Tally())
        started = time.process_time()
        read = readings(text)
        folded = time.process_time()
        passage = Passage(Segment("", ORIGINS[row.get("origin", "user")], text), read)
        found: list[Finding] = detector.detect((passage,))[0]
        looking += time.process_time() - folded
        folding += folded - started
        size += len(text)
        best = max(found, key=lambda one: one.score, default=None)
        tally.texts += 1
        flagged = best is not None and best.score >= arguments.threshold
        tally.flagged += flagged
        tally.hinted += best is not None and best.score >= arguments.hint
        if best and flagged:
            tally.rules[best.rule] += 1
        wrong = flagged if harmless else not flagged
        if wrong and tally.shown < arguments.show:
            tally.shown += 1
            detail = [(one.rule, one.score, one.view, text[one.start : one.end]) for one in found][:4]
            print("FLAGGED" if harmless else "MISSED", row["source"], detail, repr(text[:400]))
    report = table(tallies, arguments.threshold, arguments.hint, len(rules))
    report += f"\n{size / 1024:.0f} KB; folding {folding * 1e6 / size * 1024:.0f} µs a KB, phrases {looking * 1e6 / size * 1024:.0f} µs a KB (one core, shared machine).\n"
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(HEAD + report, encoding="utf-8")


HEAD = """# Phrase rules: harmless texts flagged and attacks found

Made by `python -m phrases.measure` over the development corpora (never an evaluation set; the rules were looked
over against the harmless texts here, so these are development numbers, not a claim about unseen traffic).
The rules alone, without the classifier.

"""


def table(tallies: dict[tuple[str, str], Tally], threshold: float, hint: float, count: int) -> str:
    """The counts as Markdown."""
    lines = [
        f"{count} rules. `basic` acts from {threshold}, `strict` from {hint}.",
        "",
        f"| source | kind | texts | at {threshold} | share | at {hint} | share | rules that decided most |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for kind in ("benign", "attack"):
        chosen = [(source, tally) for (source, label), tally in sorted(tallies.items()) if label == kind]
        total = Tally()
        for _, tally in chosen:
            total.texts += tally.texts
            total.flagged += tally.flagged
            total.hinted += tally.hinted
        for source, tally in [*chosen, ("**all**", total)]:
            named = ", ".join(f"{rule} {times}" for rule, times in tally.rules.most_common(3))
            lines.append(
                f"| {source} | {kind} | {tally.texts} | {tally.flagged} | {tally.flagged / tally.texts:.1%} "
                f"| {tally.hinted} | {tally.hinted / tally.texts:.1%} | {named} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
