"""Knows how a sentence bank is written down; knows nothing of how its frames are filled or dealt.

A bank is a plain text file, named `<bank>.<lang>.txt`:

    % a comment
    = slot: one value | another value
    [family kind=chat origin=user]
    One frame a line, with {slots}, {inline|alternatives} and \\n for a line break.
    <<<
    A frame of several lines.
    >>>
"""

import re
from pathlib import Path

import msgspec

SENTENCES = Path(__file__).parent / "sentences"
_HEAD = re.compile(r"\[[a-z0-9_]+( (kind|origin)=[a-z-]+)*\]")


class Family(msgspec.Struct, frozen=True):
    """Frames that belong together: one id, one language, one kind, one origin."""

    template: str
    lang: str
    kind: str
    origin: str
    frames: tuple[str, ...]


class Bank(msgspec.Struct, frozen=True):
    """The families of one file and the slots its frames may use."""

    lang: str
    slots: dict[str, tuple[str, ...]]
    families: tuple[Family, ...]


def read_banks(prefix: str, kind: str, origin: str) -> tuple[Bank, ...]:
    """Read every `<prefix>*.<lang>.txt`, in name order; kind and origin are a family's defaults."""
    paths = sorted(SENTENCES.glob(f"{prefix}*.txt"))
    return tuple(_read_bank(path, kind, origin) for path in paths)


def _read_bank(path: Path, kind: str, origin: str) -> Bank:
    name, lang = path.name.removesuffix(".txt").rsplit(".", 1)
    slots: dict[str, tuple[str, ...]] = {}
    heads: list[tuple[str, str, str]] = []
    frames: list[list[str]] = []
    block: list[str] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if block is not None:
            if line == ">>>":
                frames[-1].append("\n".join(block))
                block = None
            else:
                block.append(line)
        elif line == "<<<":
            block = []
        elif line.startswith("= "):
            key, _, values = line[2:].partition(":")
            slots[key.strip()] = tuple(value.strip().replace("\\n", "\n") for value in values.split(" | "))
        elif _HEAD.fullmatch(line):
            heads.append(_read_head(line, name, kind, origin))
            frames.append([])
        elif line.strip() and not line.startswith("%"):
            if not heads:
                raise ValueError(f"{path.name}:{number}: a frame before the first [family]")
            frames[-1].append(line.replace("\\n", "\n"))
    families = tuple(
        Family(f"{head[0]}.{lang}", lang, head[1], head[2], tuple(lines))
        for head, lines in zip(heads, frames, strict=True)
        if lines
    )
    return Bank(lang, slots, families)


def _read_head(line: str, name: str, kind: str, origin: str) -> tuple[str, str, str]:
    words = line[1:-1].split()
    options = dict(word.split("=", 1) for word in words[1:])
    return f"{name}.{words[0]}", options.get("kind", kind), options.get("origin", origin)
