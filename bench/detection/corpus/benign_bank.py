"""Knows how a sentence bank is written down; knows nothing of how its frames are filled or dealt.

A bank is a plain text file, named `<bank>.<lang>.txt`:

    % a comment
    = slot: one value | another value
    [family kind=chat origin=user copies=4]
    One frame a line, with {slots}, {inline|alternatives} and \\n for a line break.
    <<<
    A frame of several lines.
    >>>
"""

import re
from pathlib import Path

import msgspec

SENTENCES = Path(__file__).parent / "sentences"
_HEAD = re.compile(r"\[[a-z0-9_]+( (kind|origin|copies)=[a-z0-9-]+)*\]")


class Family(msgspec.Struct, frozen=True):
    """Frames that belong together; `copies` is how often each is dealt for once of an ordinary one."""

    template: str
    lang: str
    kind: str
    origin: str
    copies: int
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
    heads: list[str] = []
    frames: list[list[str]] = []
    block: list[str] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if block is not None and line != ">>>":
            block.append(line)
        elif line.startswith("= "):
            key, _, values = line[2:].partition(":")
            slots[key.strip()] = tuple(_unescape(value.strip()) for value in values.split(" | "))
        elif _HEAD.fullmatch(line):
            heads.append(line)
            frames.append([])
        elif not line.strip() or line.startswith("%"):
            continue
        elif not heads:
            raise ValueError(f"{path.name}:{number}: a frame before the first [family]")
        elif line == "<<<":
            block = []
        elif block is not None:
            frames[-1].append("\n".join(block))
            block = None
        else:
            frames[-1].append(_unescape(line))
    families = [
        _family(head, lines, name, lang, kind, origin) for head, lines in zip(heads, frames, strict=True) if lines
    ]
    return Bank(lang, slots, tuple(families))


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n")


def _family(head: str, frames: list[str], name: str, lang: str, kind: str, origin: str) -> Family:
    first, *rest = head[1:-1].split()
    options = dict(word.split("=", 1) for word in rest)
    return Family(
        template=f"{name}.{first}.{lang}",
        lang=lang,
        kind=options.get("kind", kind),
        origin=options.get("origin", origin),
        copies=int(options.get("copies", "1")),
        frames=tuple(frames),
    )
