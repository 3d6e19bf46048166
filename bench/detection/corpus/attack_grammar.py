"""Reads sentence banks and expands their frames; refuses to know what the sentences mean.

A bank is a text file of sections: ``@slot name``, ``@family id`` (one frame a line) and ``@long id`` or
``@longslot name`` (frames of several lines, parted by a line ``---``). A number after the id draws a family more often. Lines that start with ``##`` are comments.

In a frame ``[a|b|]`` picks one branch (brackets without a bar are plain text), ``$name`` draws from a slot,
``$name1`` (a digit at the end) draws once and repeats, ``$^name`` capitalises, and a backslash with n breaks the line.
"""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

SENTENCES = Path(__file__).parent / "sentences"
DEPTH = 12  # slots may name slots; deeper than this is a loop in a bank


class Family(msgspec.Struct, frozen=True):
    """Frames that say the same thing in the same manner: they stay on one side of a split."""

    id: str
    frames: tuple[str, ...]
    factor: float = 1.0  # for families whose frames are short because their matter stands in slots

    @property
    def weight(self) -> float:
        """How often to draw it: by the root of its written length, so that big families do not drown small ones."""
        return float(sum(map(len, self.frames)) ** 0.5) * self.factor

    @property
    def kind(self) -> str:
        """The part of the id before its first dot."""
        return self.id.split(".", 1)[0]


class Bank(msgspec.Struct, frozen=True):
    """The families and slots of one language."""

    families: tuple[Family, ...]
    slots: dict[str, tuple[str, ...]]


def load(lang: str, *names: str) -> Bank:
    """Read ``<name>.<lang>.txt`` for every name: the slots of all of them, the families of the last."""
    families: dict[str, tuple[str, ...]] = {}
    slots: dict[str, tuple[str, ...]] = {}
    factors: dict[str, float] = {}
    for name in names:
        path = SENTENCES / f"{name}.{lang}.txt"
        if not path.exists():
            continue
        for head, lines in _sections(path.read_text(encoding="utf-8")):
            word, _, label = head.partition(" ")
            entries = _blocks(lines) if word.startswith("long") else tuple(x for x in lines if x.strip())
            if not word.endswith("slot") and name != names[-1]:
                continue
            target = slots if word.endswith("slot") else families
            label, _, factor = label.partition(" ")
            factors[label] = float(factor or 1)
            target[label] = target.get(label, ()) + entries
    return Bank(tuple(Family(name, frames, factors[name]) for name, frames in families.items() if frames), slots)


def expand(frame: str, slots: Mapping[str, tuple[str, ...]], rng: random.Random) -> str:
    """Turn a frame into one of its texts.

    Raises KeyError when the frame names a slot that no bank has.
    """
    return _expand(frame.replace("\\n", "\n"), slots, rng, {}, 0)


def _expand(
    frame: str, slots: Mapping[str, tuple[str, ...]], rng: random.Random, bound: dict[str, str], depth: int
) -> str:
    if depth > DEPTH:
        raise RecursionError(f"slots loop near {frame[:60]!r}")
    out: list[str] = []
    at = 0
    while at < len(frame):
        char = frame[at]
        if char == "[":
            branches, end = _branches(frame, at)
            if len(branches) > 1:
                out.append(_expand(rng.choice(branches), slots, rng, bound, depth + 1))
                at = end
                continue
        elif char == "$":
            name, upper, end = _slot_name(frame, at)
            if name:
                value = _fill(name, slots, rng, bound, depth)
                out.append(value[:1].upper() + value[1:] if upper else value)
                at = end
                continue
        out.append(char)
        at += 1
    return "".join(out)


def _fill(
    name: str, slots: Mapping[str, tuple[str, ...]], rng: random.Random, bound: dict[str, str], depth: int
) -> str:
    if name in bound:
        return bound[name]
    choice = rng.choice(slots[name.rstrip("0123456789")]).replace("\\n", "\n")
    value = _expand(choice, slots, rng, bound, depth + 1)
    if name[-1].isdigit():
        bound[name] = value
    return value


def _slot_name(frame: str, at: int) -> tuple[str, bool, int]:
    start = at + 1
    upper = frame[start : start + 1] == "^"
    start += upper
    end = start
    while end < len(frame) and (frame[end] == "_" or (frame[end].isascii() and frame[end].islower())):
        end += 1
    if end > start and frame[end : end + 1].isdigit():
        end += 1
    return frame[start:end], upper, end


def _branches(frame: str, at: int) -> tuple[list[str], int]:
    """The branches of the bracket that opens here and where it ends; one branch when it never closes."""
    depth = 0
    start = at + 1
    branches: list[str] = []
    for index in range(at, len(frame)):
        char = frame[index]
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return [*branches, frame[start:index]], index + 1
        elif char == "|" and depth == 1:
            branches.append(frame[start:index])
            start = index + 1
    return [frame], at


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    head = ""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("##"):
            continue
        if line.startswith("@") and line.split(" ", 1)[0] in {"@slot", "@longslot", "@family", "@long"}:
            if head:
                yield head, lines
            head, lines = line[1:].strip(), []
        else:
            lines.append(line)
    if head:
        yield head, lines


def _blocks(lines: list[str]) -> tuple[str, ...]:
    return tuple(block for raw in "\n".join(lines).split("\n---\n") if (block := raw.strip("\n")))
