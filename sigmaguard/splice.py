"""Makes a reading from a layer and the runs found in it. Knows spans and their way back, no encoding.

Few texts hold a finding, so the way back is worked out only when somebody asks for it.
"""

from collections.abc import Callable, Sequence
from typing import overload

from sigmaguard.decoding import Run
from sigmaguard.reading import Reading

CONTEXT = 256  # code points kept around a decoded run: a phrase that begins in plain text ends in it
SEAM = "\n" + "\x00" * 8 + "\n"  # between two windows, so that no phrase grows over the gap

Sides = tuple[Sequence[int], Sequence[int]]  # where each code point's source starts, and where it ends


class _Way:
    """The way back of one reading, worked out once; doing it twice in two threads gives the same."""

    __slots__ = ("_sides", "_work_out", "count")

    def __init__(self, count: int, work_out: Callable[[], Sides]) -> None:
        self.count = count
        self._work_out = work_out
        self._sides: Sides | None = None

    def sides(self) -> Sides:
        """Starts and ends."""
        if self._sides is None:
            self._sides = self._work_out()
        return self._sides


class _Side(Sequence[int]):
    """One side of a way back, as the sequence that `Reading` asks for."""

    __slots__ = ("_at", "_way")

    def __init__(self, way: _Way, at: int) -> None:
        self._way = way
        self._at = at

    def __len__(self) -> int:
        return self._way.count

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        return self._way.sides()[self._at][index]


def composed(layer: Reading, text: str, kind: str, work_out: Callable[[], Sides], *, adds: bool = True) -> Reading:
    """A reading made from a layer; `work_out` gives each code point's span in the layer's own text.

    `adds` tells whether `kind` comes on top of the layer's.
    """

    def through() -> Sides:
        starts, ends = work_out()
        below_starts, below_ends = layer.starts, layer.ends
        if below_starts is None or below_ends is None:
            return starts, ends
        # no code point comes from an empty span, so `end - 1` is its last source
        return [below_starts[at] for at in starts], [below_ends[at - 1] for at in ends]

    way = _Way(len(text), through)
    return Reading(text, kind_of(layer, kind) if adds else kind, _Side(way, 0), _Side(way, 1))


def kind_of(layer: Reading, kind: str) -> str:
    """The kinds of a layer and of what was undone next."""
    return kind if layer.kind == "plain" else f"{layer.kind}+{kind}"


def spliced(layer: Reading, runs: Sequence[Run]) -> Reading:
    """The layer with each run replaced by what it says, and only so much of the text around as a phrase spans."""
    text = layer.text
    pieces: list[str] = []
    at = max(0, runs[0].start - CONTEXT)
    for run in runs:
        if run.start - at > 2 * CONTEXT:
            pieces += (text[at : at + CONTEXT], SEAM)
            at = run.start - CONTEXT
        pieces += (text[at : run.start], run.text)
        at = run.end
    pieces.append(text[at : at + CONTEXT])
    kinds = "+".join(dict.fromkeys([run.kind for run in runs]))
    return composed(layer, "".join(pieces), kinds, lambda: _sides(len(text), runs))


def _sides(size: int, runs: Sequence[Run]) -> Sides:
    """The same walk as in `spliced`, noting spans instead of text."""
    starts: list[int] = []
    ends: list[int] = []

    def copy(begin: int, end: int) -> None:
        starts.extend(range(begin, end))
        ends.extend(range(begin + 1, end + 1))

    at = max(0, runs[0].start - CONTEXT)
    for run in runs:
        if run.start - at > 2 * CONTEXT:
            copy(at, at + CONTEXT)
            starts.extend([at + CONTEXT] * len(SEAM))
            ends.extend([run.start - CONTEXT] * len(SEAM))
            at = run.start - CONTEXT
        copy(at, run.start)
        count = len(run.text)
        starts.extend(run.lows if run.lows is not None else [run.start] * count)
        ends.extend(run.highs if run.highs is not None else [run.end] * count)
        at = run.end
    copy(at, min(size, at + CONTEXT))
    return starts, ends
