"""What the German name tagger sees of a word: hashed pieces of it and its shape. Knows no name."""

import re
from zlib import crc32

BUCKETS = 49_152  # rows of the embedding table; row 0 pads
FEATURES = 9  # of one token
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|_+|[^\w\s]|\n")
_RUN = re.compile(r"(.)\1+")


def tokens(text: str) -> list[tuple[int, int]]:
    """Spans of words, numbers, marks and line ends; hyphens part words, so `Meyer-Landrut` is three."""
    return [match.span() for match in _TOKEN.finditer(text)]


def features(word: str, gap: str) -> tuple[int, ...]:
    """The rows of the embedding table for one token; `gap` is the character before it, empty at the start."""
    low = word.lower()
    size = len(low)
    return (
        _row("w", low),
        _row("a", low[:2]),
        _row("b", low[:3]),
        _row("c", low[:4]) if size > 4 else 0,
        _row("x", low[-2:]),
        _row("y", low[-3:]),
        _row("z", low[-4:]) if size > 4 else 0,
        _row("s", shape(word)),
        _row("g", f"{'n' if gap == chr(10) else 's' if gap.isspace() or not gap else gap}{min(size, 12)}"),
    )


def shape(word: str) -> str:
    """`Xx` for a capitalised word, `X` for capitals, `x`, `d`, mixed ones in their order, marks as they are."""
    kinds = "".join(
        "X" if one.isupper() else "x" if one.islower() else "d" if one.isdigit() else one for one in word[:16]
    )
    return _RUN.sub(r"\1", kinds)


def _row(kind: str, piece: str) -> int:
    return 1 + crc32(f"{kind}{piece}".encode("utf-8", "surrogatepass")) % (BUCKETS - 1)
