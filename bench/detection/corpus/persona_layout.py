"""Knows how loose lists and optional lines of a frame are laid out; knows nothing of what they say.

A run of lines that start with `* ` is a list whose order is free and of which some may be missing;
a line that starts with `? ` may be missing. Items end with a full stop, since a list may become prose.
"""

import random
import re
from collections.abc import Callable, Sequence
from itertools import groupby

LOOSE, OPTIONAL = "* ", "? "
KEPT = 0.65  # how often an optional line stays
SQUEEZED = 0.15  # how often the whole text loses its line breaks
SHORT = 700  # nobody squeezes more than this into one paragraph

Style = Callable[[int, str], str]
_STYLES: tuple[Style, ...] = (
    lambda n, text: f"{n}. {text}",
    lambda n, text: f"{n}) {text}",
    lambda n, text: f"({n}) {text}",
    lambda n, text: f"- {text}",
    lambda n, text: f"- {text}",
    lambda n, text: f"* {text}",
    lambda n, text: f"• {text}",
    lambda n, text: f"-> {text}",
    lambda n, text: f"{chr(96 + n)}) {text}",
    lambda n, text: f"[{n}] {text}",
    lambda n, text: f"§{n} {text}",
    lambda n, text: f"#{n}: {text}",
    lambda _, text: text,
    lambda n, text: f"{n}. {text.rstrip('.')}",
    lambda _, text: f"- {text.rstrip('.')}",
    lambda n, text: f"{n} - {text.upper()}",
)
_PROSE = 0.3


def laid_out(rng: random.Random, text: str) -> str:
    """Return the frame's text with its lists and optional lines laid out."""
    lines = [line.removeprefix(OPTIONAL) for line in text.split("\n") if _stays(rng, line)]
    parts: list[str] = []
    for loose, run in groupby(lines, lambda line: line.startswith(LOOSE)):
        block = [line.removeprefix(LOOSE) for line in run]
        parts.append(_listed(rng, block) if loose else "\n".join(block))
    laid = re.sub(r"\n{3,}", "\n\n", re.sub(r"(?<=\S) {2,}", " ", "\n".join(parts))).strip()
    laid = re.sub(r" +$", "", laid, flags=re.MULTILINE)
    if len(laid) < SHORT and "|" not in laid and rng.random() < SQUEEZED:
        return re.sub(r"\s*\n\s*", " ", laid)
    return laid


def _stays(rng: random.Random, line: str) -> bool:
    return not line.startswith(OPTIONAL) or rng.random() < KEPT


def _listed(rng: random.Random, items: Sequence[str]) -> str:
    least = max(2, (len(items) + 1) // 2)
    drawn = rng.sample(items, rng.randint(min(least, len(items)), len(items)))
    if rng.random() < _PROSE:
        return " ".join(drawn)
    style = rng.choice(_STYLES)
    return "\n".join(style(number, item) for number, item in enumerate(drawn, 1))
