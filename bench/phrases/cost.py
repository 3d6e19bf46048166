"""What it costs to read a new text: microseconds a KB for folding and for each of the text detectors.

    python -m phrases.cost [--write bench/results/fold.md]

Run from `bench/`. The texts are made here. The best of several runs, since a shared machine only ever adds time.
"""

import argparse
import base64
import time
from collections.abc import Callable
from pathlib import Path

from sigmaguard.detector import Detector, Passage
from sigmaguard.detectors import phrases, unsafe_text, urls
from sigmaguard.fold import readings
from sigmaguard.model import Origin, Segment
from sigmaguard.policy.rules import load_rule_file
from sigmaguard_policies import policies_root

TEXTS = {
    "English prose": "The committee met on Thursday and went through the figures for the third quarter, which were better than planned. "
    "Anna asked whether the new site would open in May; nobody could say yet. ",
    "German prose": "Sehr geehrte Frau Müller, anbei erhalten Sie die Übersicht für das nächste Gespräch. "
    "Bitte prüfen Sie die Beträge und geben Sie uns kurz Bescheid, ob alles übereinstimmt. ",
    "German, typographic": "„Schöne Grüße“ – so stand es auf der Karte … und dann nichts mehr. Wir waren überrascht. ",
    "Russian prose": "Уважаемые коллеги, просим вас проверить приложенные документы до четверга. ",
    "Markdown": "## Notes\n\n* **First** item with `code` and a [link](https://docs.example.org/a?b=c)\n* *second* item, 50 % done\n\n",
    "Python": 'def total(rows: list[dict[str, int]]) -> int:\n    """Sum."""\n    return sum(row["value"] * 2 for row in rows if row["kind"] != "x")\n\n',
    "HTML": '<div class="row"><p>Hello <b>world</b> &amp; friends</p><a href="https://example.org/page">next</a></div>\n',
    "JSON": '{"id": 17, "name": "Meier\\u00e4", "note": "line one\\nline two", "tags": ["a", "b"], "ok": true}, ',
    "base64": base64.b64encode(b"The committee met on Thursday. " * 4).decode() + " ",
    "hostile mix": "\\u0061%61&#97;a b c d e <b> =41=42 vtaber 1gn0re ",
}
SIZE = 16_384


def best(work: Callable[[], object], size: int) -> float:
    """Microseconds a KB, the best of several runs."""
    fastest = float("inf")
    for _ in range(7):
        start = time.process_time()
        for _ in range(5):
            work()
        fastest = min(fastest, time.process_time() - start)
    return fastest / 5 * 1e6 / size * 1024


def detectors() -> list[Detector]:
    """The text detectors with the shipped rules."""
    rules = policies_root() / "rules"
    sentences = [rule for path in sorted(rules.glob("phrases.*.yaml")) for rule in load_rule_file(path).rules]
    return [
        phrases.build({}, sentences),
        urls.build({}, load_rule_file(rules / "urls.yaml").rules),
        unsafe_text.build({}, load_rule_file(rules / "unsafe_text.yaml").rules),
    ]


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    every = detectors()
    lines = [
        "# Reading a new text: microseconds a KB",
        "",
        "Made by `python -m phrases.cost`: 16 KB of each kind, best of seven runs, one core of a shared machine.",
        "",
        "| text | readings | folding | " + " | ".join(one.name for one in every) + " |",
        "|---|---:|---:|" + "---:|" * len(every),
    ]
    for name, piece in TEXTS.items():
        text = (piece * (SIZE // len(piece) + 1))[:SIZE]
        read = readings(text)
        passage = Passage(Segment("", Origin.TOOL_RESULT, text), read)
        costs = [best(lambda text=text: readings(text), SIZE)]
        costs += [best(lambda one=one, passage=passage: one.detect((passage,)), SIZE) for one in every]
        lines.append(f"| {name} | {len(read)} | " + " | ".join(f"{cost:.1f}" for cost in costs) + " |")
        print(lines[-1])
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
