"""Turns examples into windows of token ids with labels, exactly as the runtime will cut them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from detection.corpus.example import Example
from sigmaguard.injection.fold import fold
from sigmaguard.injection.vocabulary import ORIGINS, Vocabulary, frame
from sigmaguard.injection.windows import windows

BODY = 128  # tokens of text in a window
LENGTH = BODY + 3  # with the special ones
STRIDE = 96  # an overlap of 32 tokens: a planted sentence lies whole in a window
UNKNOWN = -1
CROP = 62  # tokens of a shortened window
CROPPED = 0.6  # share of windows of documents and tools that are shortened: half the time, the same words to learn


class Window(msgspec.Struct, frozen=True):
    """One training window: `first..last` are the attacked tokens (half-open; UNKNOWN where nobody knows)."""

    ids: list[int]
    label: float
    weight: float
    first: int
    last: int
    group: str  # what is balanced against what: origin, label and language


def plain_tokenizer(source: Path, target: Path) -> None:
    """Write MiniLM's tokenizer without special tokens, cutting or padding: text can then never forge them."""
    tokenizer = json.loads(source.read_text())
    tokenizer.update(truncation=None, padding=None, added_tokens=[], post_processor=None)
    target.write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")))


def encode(examples: Sequence[Example], vocabulary: Vocabulary, rng: random.Random, most: int = 2) -> list[Window]:
    """At most `most` windows of every example (attacked ones first), in order."""
    return [window for example in examples for window in _of(example, vocabulary, rng, most)]


def _of(example: Example, vocabulary: Vocabulary, rng: random.Random, most: int) -> Iterator[Window]:
    folded = fold(example.text)
    tokens = vocabulary.tokens(folded.text)
    if not tokens.ids:
        return
    known = example.end > 0
    attacked = [False] * len(tokens.ids)
    if known:
        spans = (folded.to_source(start, end) for start, end in tokens.offsets)
        attacked = [start < example.end and end > example.start for start, end in spans]
    cuts = list(windows(len(tokens.ids), BODY, STRIDE))
    if len(cuts) > most:
        cuts = _chosen(cuts, attacked, rng, most) if known else [cuts[0], *rng.sample(cuts[1:], most - 1)]
    total = sum(attacked)
    for index, (start, end) in enumerate(cuts):
        inside = attacked[start:end]
        hits = sum(inside)
        if known and 0 < hits < min(8, total / 2):
            continue  # neither clearly attacked nor clearly clean
        attack = hits > 0 if known else example.is_attack
        if example.origin != "user" and (known or not attack) and rng.random() < CROPPED:
            low, high = _crop(inside, rng)
            start, end, inside = start + low, start + high, inside[low:high]
        first, last = _span(inside) if known else (UNKNOWN, UNKNOWN) if attack else (0, 0)
        unsure = attack and not known and index > 0
        yield Window(
            ids=frame(tokens.ids[start:end], example.origin),
            label=float(attack),
            weight=0.4 if unsure else 1.0,
            first=first,
            last=last,
            group=f"{example.origin}/{'attack' if attack else 'benign'}/{example.lang}",
        )


def _chosen(cuts: list[tuple[int, int]], attacked: list[bool], rng: random.Random, most: int) -> list[tuple[int, int]]:
    def hits(cut: tuple[int, int]) -> int:
        return sum(attacked[cut[0] : cut[1]])

    worst = max(cuts, key=hits)
    others = [cut for cut in cuts if cut != worst]
    return [worst, *rng.sample(others, most - 1)]


def _crop(inside: list[bool], rng: random.Random) -> tuple[int, int]:
    """A range of at most CROP tokens; where something is attacked, one that holds its beginning, and all if it can."""
    count = len(inside)
    if count <= CROP:
        return 0, count
    places = [index for index, hit in enumerate(inside) if hit]
    if not places:
        start = rng.randrange(count - CROP + 1)
        return start, start + CROP
    first, last = places[0], places[-1] + 1
    room = max(CROP - (last - first), 0)
    start = max(0, min(first - rng.randint(0, room), count - CROP))
    return start, start + CROP


def _span(inside: list[bool]) -> tuple[int, int]:
    places = [index for index, hit in enumerate(inside) if hit]
    return (places[0] + 2, places[-1] + 3) if places else (0, 0)  # two special tokens stand before


def balance(found: Sequence[Window]) -> list[float]:
    """A loss weight for each window: origins and labels count alike, languages by the root of their number."""
    by_group: dict[str, float] = {}
    for window in found:
        by_group[window.group] = by_group.get(window.group, 0.0) + window.weight
    by_cell: dict[str, float] = {}
    for group, mass in by_group.items():
        cell = group.rsplit("/", 1)[0]
        by_cell[cell] = by_cell.get(cell, 0.0) + mass**0.5
    shares = {f"{origin}/{label}": 1.0 for origin in ORIGINS for label in ("attack", "benign")}
    shares["user/attack"] = shares["user/benign"] = 1.6  # most of what is judged comes from users
    raw = []
    for window in found:
        cell = window.group.rsplit("/", 1)[0]
        mass = by_group[window.group]
        raw.append(window.weight * shares[cell] * (mass**0.5 / by_cell[cell]) / mass)
    mean = sum(raw) / len(raw)
    return [min(value / mean, 4.0) for value in raw]
