"""Precision and recall per entity, plain Presidio beside ours: `python -m pii.measure` in bench/."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pii.corpus import Document, documents
from pii.rivals import Analyze, Hit, analyze_ours, analyze_plain, plain_presidio

RESULTS = Path(__file__).parents[1] / "results"
# an entity found inside one of these is not wrong, only less: the town of an address, the firm in it
WITHIN = {
    "ADDRESS": {"LOCATION", "PERSON", "ORGANIZATION", "UK_POSTCODE", "DE_PLZ"},
    "EMAIL": {"URL"},
    "ORGANIZATION": {"PERSON", "LOCATION"},
}
IGNORED = {"URL", "NRP", "UUID"}  # kinds that only Presidio has and that are no personal data by themselves


class Tally:
    """Counts of one system: right, spurious and missed, by entity."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.spurious: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.spurious_by_kind: Counter[str] = Counter()

    def add(self, document: Document, hits: Sequence[Hit]) -> None:
        """Counts one document. A finding is right if it covers the same entity by half at least."""
        taken: set[int] = set()
        for start, end, entity in document.spans:
            match = next((at for at, hit in enumerate(hits) if hit.entity == entity and _same(hit, start, end)), None)
            if match is None:
                self.missed[entity] += 1
            else:
                self.right[entity] += 1
                taken.add(match)
        for at, hit in enumerate(hits):
            if at in taken or hit.entity in IGNORED or _within(hit, document):
                continue
            self.spurious[hit.entity] += 1
            self.spurious_by_kind[document.kind] += 1

    def row(self, entity: str) -> tuple[float, float, int]:
        """Precision, recall and how many there were."""
        right, spurious, missed = self.right[entity], self.spurious[entity], self.missed[entity]
        precision = right / (right + spurious) if right + spurious else float("nan")
        recall = right / (right + missed) if right + missed else float("nan")
        return precision, recall, right + missed


def _same(hit: Hit, start: int, end: int) -> bool:
    shared = min(hit.end, end) - max(hit.start, start)
    return shared * 2 >= max(end, hit.end) - min(start, hit.start)


def _within(hit: Hit, document: Document) -> bool:
    return any(
        start <= hit.start and hit.end <= end and (hit.entity == entity or hit.entity in WITHIN.get(entity, ()))
        for start, end, entity in document.spans
    )


def analyses(analyze: Analyze, corpus: Sequence[Document], tick: Callable[[], None]) -> list[list[Hit]]:
    """All findings of a system, document by document."""
    found = []
    for document in corpus:
        found.append(analyze(document.text, document.lang))
        tick()
    return found


def tally(corpus: Sequence[Document], found: Sequence[Sequence[Hit]], least: float) -> Tally:
    """The counts of a system, findings of at least `least` counted."""
    counts = Tally()
    for document, hits in zip(corpus, found, strict=True):
        counts.add(document, [hit for hit in hits if hit.score >= least])
    return counts


def table(tallies: dict[str, Tally], corpus: Sequence[Document]) -> list[str]:
    """Markdown: one row an entity, precision and recall of each system."""
    entities = sorted({entity for document in corpus for _, _, entity in document.spans})
    lines = ["| entity | values | " + " | ".join(f"{name} P | {name} R" for name in tallies) + " |"]
    lines.append("|---|---:|" + "---:|---:|" * len(tallies))
    for entity in entities:
        rows = {name: tally.row(entity) for name, tally in tallies.items()}
        values = next(iter(rows.values()))[2]
        cells = " | ".join("–" if value != value else f"{value:.3f}" for row in rows.values() for value in row[:2])
        lines.append(f"| {entity} | {values} | {cells} |")
    return lines


def main() -> None:
    """Measures and writes bench/results/pii.md and pii.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--least", type=float, default=0.5)
    chosen = parser.parse_args()
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    corpus = list(documents(chosen.seed, chosen.documents))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if done % 200 == 0:
            print(f"{done} of {2 * len(corpus)} analyses", file=sys.stderr)

    ours = analyses(analyze_ours(), corpus, tick)
    plain = analyses(analyze_plain(plain_presidio()), corpus, tick)
    tallies = {
        "ours": tally(corpus, ours, chosen.least),
        "Presidio": tally(corpus, plain, chosen.least),
        "Presidio at 0": tally(corpus, plain, 0.0),
    }
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    kinds = sorted({document.kind for document in corpus})
    lines = [
        "# Personal data: what is found",
        "",
        f"{len(corpus)} generated documents (German and English mail, tickets, logs, CVs, code), seed {chosen.seed}; "
        f"German names and towns are ones the tagger was not trained on. Findings of score {chosen.least} and more; a",
        "finding is right if it covers half of the value or more and names its entity. Plain Presidio is told the language and has all",
        "its German and English recognizers and spaCy's small English model for both languages; ours is told nothing. `Presidio at 0` counts",
        "all its findings, as its default does. Presidio has no entity for addresses, and DATE_OF_BIRTH is any date for it.",
        f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}.",
        "",
        *table(tallies, corpus),
        "",
        "Spurious findings by kind of document: "
        + "; ".join(f"{name}: " + ", ".join(f"{kind} {tally.spurious_by_kind[kind]}" for kind in kinds) for name, tally in tallies.items())
        + ".",
        "",
        "Spurious findings by entity: "
        + "; ".join(f"{name}: " + ", ".join(f"{entity} {count}" for entity, count in tally.spurious.most_common(8)) for name, tally in tallies.items())
        + ".",
    ]  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pii.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raw = {
        name: {
            "right": tally.right,
            "spurious": tally.spurious,
            "missed": tally.missed,
            "spurious_by_kind": tally.spurious_by_kind,
        }
        for name, tally in tallies.items()
    }
    about = {"documents": len(corpus), "seed": chosen.seed, "least": chosen.least, "commit": commit}
    (RESULTS / "pii.json").write_text(json.dumps({"about": about, "systems": raw}, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
