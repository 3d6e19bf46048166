"""Assembles the training set from the corpora and the generators; knows proportions, no sentence."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from detection import corpora as corpora_module
from detection import corpus
from detection.corpus import natural
from detection.corpus.disguise import READ
from detection.corpus.example import Example
from detection.corpus.planted import Material, compose
from detection.split import is_held_out, sides

Kind = TypeVar("Kind")
TASK_KINDS = frozenset({"instruction", "open_domain", "task", "demand", "chat", "advice", "fiction"})
LONGEST_PAYLOAD = 420  # code points: longer attacks are jailbreak essays, not planted notes


class Recipe(msgspec.Struct, frozen=True):
    """What goes into a run."""

    per_generator: int = 3000
    planted: int = 9000
    disguised: float = 0.12
    joined: float = 0.08
    promptshield: bool = False
    leave_out: bool = False  # train without the sources of `corpora.LEFT_OUT`, to judge on them
    seed: int = 20251


class Sets(msgspec.Struct, frozen=True):
    """The assembled set: trained on, held out by family, left out by source."""

    train: list[Example]
    held: list[Example]
    left: list[Example]

    def digest(self) -> str:
        """A digest of everything trained on, for the metadata."""
        sink = hashlib.sha256()
        for example in self.train:
            sink.update(msgspec.json.encode(example))
        return sink.hexdigest()


def generators() -> list[str]:
    """Names of the modules in `corpus/` that write examples from nothing."""
    names = sorted(info.name for info in pkgutil.iter_modules(corpus.__path__))
    return [name for name in names if hasattr(importlib.import_module(f"detection.corpus.{name}"), "generate")]


def generated(recipe: Recipe) -> Iterator[Example]:
    """Examples of every generator, each with its own seed."""
    for name in generators():
        module = importlib.import_module(f"detection.corpus.{name}")
        yield from module.generate(random.Random(f"{recipe.seed}/{name}"), recipe.per_generator)


def gather(recipe: Recipe, folder: Path) -> Sets:
    """Build the sets; the same recipe over the same folder gives the same sets."""
    rows = list(corpora_module.read(folder, promptshield=recipe.promptshield or recipe.leave_out))
    left = [row for row in rows if row.source in corpora_module.LEFT_OUT] if recipe.leave_out else []
    kept = [row for row in rows if not (recipe.leave_out and row.source in corpora_module.LEFT_OUT)]
    train, held = sides([*kept, *generated(recipe)])
    bipia = _bipia(folder)
    train += _planted(train, [row for row in bipia if not is_held_out(row.template)], recipe, recipe.planted, "train")
    held += _planted(held, [row for row in bipia if is_held_out(row.template)], recipe, recipe.planted // 5, "held")
    train += joined(train, random.Random(f"{recipe.seed}/joined/train"), recipe.joined)
    held += joined(held, random.Random(f"{recipe.seed}/joined/held"), recipe.joined)
    train += disguised(train, random.Random(f"{recipe.seed}/disguise"), recipe.disguised)
    return Sets(train=_distinct(train), held=_distinct(held), left=left)


def _bipia(folder: Path) -> list[Example]:
    return [
        Example(text=row.text, label="injection", origin="document", kind=row.kind, lang=row.lang, source=row.source, template=f"bipia/{row.kind}")
        for row in corpora_module.payloads(folder)
    ]  # fmt: skip


def _planted(pool: Sequence[Example], bipia: list[Example], recipe: Recipe, count: int, side: str) -> list[Example]:
    short = [example for example in pool if len(example.text) <= LONGEST_PAYLOAD]
    tasks = [e for e in short if e.origin == "user" and not e.is_attack and e.kind in {"instruction", "open_domain"}]
    overrides = [e for e in short if e.origin == "user" and e.label == "injection"]
    harmless = [e for e in pool if not e.is_attack and e.origin != "user"]
    if not harmless or not (tasks or overrides):
        return []
    rng = random.Random(f"{recipe.seed}/planted/{side}")
    even = max(len(bipia), 1)
    payloads = bipia * 6 + _take(tasks, 8 * even, rng) + _take(overrides, 8 * even, rng)
    material = Material(contexts=_balanced(harmless, rng), payloads=payloads, overrides=overrides, fillers=harmless)
    return list(compose(material, rng, count))


def _take(examples: list[Example], count: int, rng: random.Random) -> list[Example]:
    return rng.sample(examples, min(count, len(examples)))


def _balanced(examples: list[Example], rng: random.Random) -> list[Example]:
    """At most 700 of a source, natural prose by kind, so that no one set of tables becomes what a document looks like."""
    by_source: dict[str, list[Example]] = {}
    for example in examples:
        name = f"{example.source}/{example.kind}" if example.source == natural.SOURCE else example.source
        by_source.setdefault(name, []).append(example)
    return [chosen for name in sorted(by_source) for chosen in _take(by_source[name], 700, rng)]


def disguised(examples: Sequence[Example], rng: random.Random, share: float) -> list[Example]:
    """Copies of `share` of the short examples, of either label, in disguises the model must read through."""
    short = [example for example in examples if len(example.text) <= 300]
    chosen = rng.sample(short, int(len(short) * share))
    out: list[Example] = []
    for example in chosen:
        name = rng.choice(sorted(READ))
        text = READ[name](example.text, rng)
        out.append(msgspec.structs.replace(example, text=text, start=0, end=0, kind=f"{example.kind}+{name}"))
    return out


def joined(examples: Sequence[Example], rng: random.Random, share: float) -> list[Example]:
    """Messages of several harmless texts of one origin and language: real ones are longer than a sentence."""
    pools: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        if not example.is_attack and len(example.text) <= LONGEST_PAYLOAD:
            pools.setdefault((example.origin, example.lang), []).append(example)
    keys = sorted(key for key in pools if len(pools[key]) >= 8)
    if not keys:
        return []
    out = []
    for _ in range(int(len(examples) * share)):
        key = rng.choices(keys, [len(pools[name]) for name in keys])[0]
        parts = rng.sample(pools[key], rng.randint(2, 6))
        text = rng.choice(("\n", "\n", "\n\n", " ")).join(part.text for part in parts)
        out.append(
            msgspec.structs.replace(
                parts[0], text=text, start=0, end=0, kind="joined", source="joined", template="joined"
            )
        )
    return out


def _distinct(examples: list[Example]) -> list[Example]:
    seen: set[tuple[str, str]] = set()
    out = []
    for example in examples:
        key = (example.text, example.origin)
        if key not in seen:
            seen.add(key)
            out.append(example)
    return out


def describe(sets: Sets) -> str:
    """Counts by source and label, one a line."""
    lines = []
    for name, examples in (("train", sets.train), ("held", sets.held), ("left", sets.left)):
        counts = Counter((e.source, "attack" if e.is_attack else "benign", e.origin, e.lang) for e in examples)
        lines += [f"{name:6} {count:6} {' '.join(key)}" for key, count in sorted(counts.items())]
    return "\n".join(lines)


def some(examples: Sequence[Kind], count: int) -> list[Kind]:
    """At most `count` of the examples, the same ones every time."""
    return random.Random(3).sample(list(examples), min(count, len(examples)))
