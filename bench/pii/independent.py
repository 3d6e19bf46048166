"""Precision and recall on somebody else's sentences: those of presidio-evaluator (MIT), made with its own generator.

    python -m pii.independent [--sentences N] [--out DIR]

Its templates and name lists are installed beside the bench and never copied here; nothing of ours was written or
tuned with them. What it cannot tell: German (all its sentences are English), and kinds it has no sentences for.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pii.corpus import Document
from pii.measure import RESULTS, Tally, table
from pii.rivals import NAMES, OURS, Hit, analyze_ours, analyze_plain, plain_presidio

PLACE = Path(__file__).parents[1] / ".peers" / "presidio-evaluator"
PINNED = "presidio-evaluator==0.3.2"
# what its generator needs and this bench has not; the rest of its requirements serve its training
NEEDED = (PINNED, "pandas", "python-dotenv", "python-dateutil", "six", "tzdata", "presidio-anonymizer")
SEED = 20261124
# its names to ours; DATE_TIME is any date to it, and so none of ours
LABELS = {"GPE": "LOCATION", "STREET_ADDRESS": "ADDRESS", **OURS, "DATE_TIME": "DATE_TIME"}
LEAST = 0.5


def generate(count: int) -> None:
    """Prints sentences as JSON lines; runs where presidio-evaluator is installed."""
    from presidio_evaluator.data_generator import PresidioSentenceFaker

    maker = PresidioSentenceFaker("en_US", lower_case_ratio=0.05, random_seed=SEED)
    for one in maker.generate_new_fake_sentences(count):
        spans = sorted((span.start_position, span.end_position, span.entity_type) for span in one.spans)
        sys.stdout.buffer.write(orjson.dumps({"text": one.full_text, "spans": spans}) + b"\n")


def sentences(count: int) -> list[dict[str, Any]]:
    """Labelled sentences, the generator brought first where it is missing."""
    if not (PLACE / "presidio_evaluator").exists():
        print(f"installing {PINNED} into {PLACE}", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--target", str(PLACE), *NEEDED], check=True)
    path = os.pathsep.join((str(PLACE), str(Path(__file__).parents[1])))
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "pii.independent", "--generate", str(count)]
        subprocess.run(
            command, check=True, stdout=said, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}
        )
        said.seek(0)
        return [orjson.loads(line) for line in said if line.startswith(b"{")]


def labelled(made: dict[str, Any], known: frozenset[str]) -> tuple[Document, list[tuple[int, int]]]:
    """A sentence with its labels in our words, and where it labels what we have no word for (a title, an age)."""
    named = [(start, end, LABELS.get(entity, entity)) for start, end, entity in made["spans"]]
    spans = tuple(one for one in named if one[2] in known)
    return Document(made["text"], "en", "sentence", spans), [one[:2] for one in named if one[2] not in known]


def counted(corpus: Sequence[tuple[Document, list[tuple[int, int]]]], analyze: Any, least: float) -> Tally:
    """The counts of one system; what it finds in a stretch labelled as something else is neither right nor wrong."""
    counts = Tally()
    for document, others in corpus:
        hits: list[Hit] = [one for one in analyze(document.text, "en") if one.score >= least]
        outside = [one for one in hits if not any(one.start < end and start < one.end for start, end in others)]
        counts.add(document, outside)
    return counts


def main() -> None:
    """Measures and stores Markdown and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=3_000)
    parser.add_argument("--generate", type=int, default=0, help="(internal) print so many sentences")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if chosen.generate:
        generate(chosen.generate)
        return
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    made = sentences(chosen.sentences)
    known = frozenset({*OURS.values(), *NAMES, "ADDRESS"}) - {"DATE_TIME", "NRP", "URL", "TITLE", "AGE"}
    corpus = [labelled(one, known) for one in made]
    plain = analyze_plain(plain_presidio())
    tallies: dict[str, Tally] = {}
    for name, analyze, least in (
        ("ours", analyze_ours(), LEAST),
        ("Presidio", plain, LEAST),
        ("Presidio at 0", plain, 0.0),
    ):
        tallies[name] = counted(corpus, analyze, least)
        print(f"{name}: {sum(tallies[name].right.values())} right", flush=True)
    documents = [document for document, _ in corpus]
    lines = [
        "# Personal data on an independent corpus", "",
        f"{len(corpus)} English sentences that {PINNED} (MIT) makes of its own templates and name lists, seed {SEED}, "
        f"labels as it gives them. Findings of score {LEAST} and more (`Presidio at 0`: all, as its default); right is what covers "
        "half of the value or more and names its entity. Plain Presidio is set up as in `pii.md` (spaCy's small model). Presidio has "
        "no entity for addresses; titles, ages, dates, nationalities and domains, for which we have none, are left out.",
        f"{datetime.now(UTC):%Y-%m-%d}. Run again with `cd bench && PYTHONPATH=. python -m pii.independent`.", "",
        *table(tallies, documents), "",
        "Spurious findings by entity: "
        + "; ".join(
            f"{name}: " + ", ".join(f"{entity} {count}" for entity, count in one.spurious.most_common(8))
            for name, one in tallies.items()
        )
        + ".",
    ]  # fmt: skip
    print("\n".join(lines))
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "pii-independent.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raw = {name: {"right": one.right, "spurious": one.spurious, "missed": one.missed} for name, one in tallies.items()}
    (chosen.out / "pii-independent.json").write_bytes(
        orjson.dumps(
            {"corpus": PINNED, "seed": SEED, "sentences": len(corpus), "systems": raw}, option=orjson.OPT_INDENT_2
        )
        + b"\n"
    )


if __name__ == "__main__":
    main()
