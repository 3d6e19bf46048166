"""The cascade: a glance at every window, the encoder where the glance is unsure. Knows no policy and no pool.

What it cannot do: it reads windows of 128 tokens, so an attack spread thinly over pages, or one that
is harmless in every window by itself, goes unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sigmaguard.errors import ConfigError
from sigmaguard.injection.card import Card, load_card
from sigmaguard.injection.fold import Folded, fold
from sigmaguard.injection.vocabulary import ORIGINS, UNKNOWN_WORD, Tokens, Vocabulary, frame, origin_name
from sigmaguard.injection.windows import windows

SURE = 0.995  # no later window can matter once one is this sure
CHARS_PER_TOKEN = 16  # a text longer than limit_tokens times this is cut before it is tokenised


class Score(msgspec.Struct, frozen=True):
    """How sure the model is that a text attacks; `start` and `end` are code points of its worst window, or of the
    whole text where the first tier cleared every window.

    `tier` is the tier that decided (0: an external model). `truncated`: not all of the text was read.
    `windows` were glanced at, `encoded` of them went to the second tier.
    """

    score: float
    start: int
    end: int
    tier: int
    truncated: bool
    windows: int = 0
    encoded: int = 0


class Span(msgspec.Struct, frozen=True):
    """A piece of text that carried a score; `weight` is its strongest token's probability."""

    start: int
    end: int
    weight: float


class _Reading(msgspec.Struct, frozen=True):
    folded: Folded
    tokens: Tokens
    truncated: bool
    size: int  # code points of the source that were read

    def span(self, start: int, end: int) -> tuple[int, int]:
        if start >= end:
            return 0, 0
        return self.folded.to_source(self.tokens.offsets[start][0], self.tokens.offsets[end - 1][1])


class InjectionModel:
    """Scores texts. Thread-safe: sessions and tokenizer are shared, nothing is written after loading.

    Every window runs alone and unpadded, so that a score depends on the text and its origin only,
    never on its neighbours in a batch (activations are quantised over a whole tensor).
    """

    def __init__(self, card: Card, vocabulary: Vocabulary, glance: Any, encoder: Any) -> None:
        self.card = card
        self._vocabulary = vocabulary
        self._glance = glance
        self._encoder = encoder

    @property
    def version(self) -> str:
        """The weights' version: changes when answers could."""
        return self.card.version

    def threshold(self, point: str, origin: str) -> float:
        """The score at which a named operating point reports. Raises ConfigError if there is no such point."""
        chosen = self.card.points.get(point)
        if chosen is None:
            known = ", ".join(sorted(self.card.points))
            raise ConfigError(f"no operating point `{point}`; this model has {known}")
        return chosen.of(origin)

    @classmethod
    def load(cls, folder: Path | None = None, *, threads: int = 1) -> InjectionModel:
        """Load a model folder, the packaged one by default. Raises ConfigError if it is incomplete."""
        folder = folder or Path(__file__).parent / "model"
        card = load_card(folder)
        vocabulary = Vocabulary.load(folder / "tokenizer.json")
        glance = session(folder / "glance.onnx")  # too small to share out, and its sums would then round otherwise
        encoder = session(folder / "encoder.onnx", threads)
        longest = {"ids": [frame([UNKNOWN_WORD] * card.window, ORIGINS[0])]}
        for tier in (glance, encoder):
            tier.run(None, longest)  # memory is set up now, not in the time of the first exchange
        return cls(card, vocabulary, glance, encoder)

    def score(self, texts: Sequence[str], origins: Sequence[str]) -> list[Score]:
        """Score each text under its origin, in order. Raises ValueError for an unknown origin."""
        return [self._score(text, origin_name(origin)) for text, origin in zip(texts, origins, strict=True)]

    def explain(self, text: str, origin: str, *, at_least: float = 0.5) -> list[Span]:
        """The pieces of the worst window whose tokens look like an attack, in order."""
        name = origin_name(origin)
        reading = self._read(text)
        worst = self._score(text, name)
        place = next((cut for cut in self._cuts(reading) if reading.span(*cut) == (worst.start, worst.end)), None)
        if place is None or not reading.tokens.ids:
            return []
        ids = [frame(reading.tokens.ids[place[0] : place[1]], name)]
        _, logits = self._encoder.run(None, {"ids": ids})
        line = self.card.encoder[name]
        weights = [line.probability(float(logit)) for logit in logits[0][2:-1]]
        return list(_merged(reading, place[0], weights, at_least))

    def glance(self, text: str, origin: str) -> Score | None:
        """The score of a text that the first tier clears by itself, None where the second must look."""
        name = origin_name(origin)
        reading = self._read(text)
        glanced = self._glances(reading, name)
        gate = self.card.gate[name]
        if any(probability >= gate for probability, _ in glanced):
            return None
        return self._cleared(reading, glanced)

    def _score(self, text: str, origin: str) -> Score:
        reading = self._read(text)
        glanced = self._glances(reading, origin)
        gate = self.card.gate[origin]
        worst, place, tier, encoded = 0.0, (0, 0), 1, 0
        for probability, cut in sorted(glanced, key=lambda each: (-each[0], each[1])):
            if probability >= gate:
                probability = self._encoded(reading, cut, origin)
                encoded += 1
                if place == (0, 0) or probability > worst:
                    worst, place, tier = probability, cut, 2
                if worst >= SURE:
                    break
            elif place == (0, 0) or probability > worst:
                worst, place, tier = probability, cut, 1
        if not encoded:
            return self._cleared(reading, glanced)
        start, end = reading.span(*place)
        return Score(worst, start, end, tier, reading.truncated, len(glanced), encoded)

    def _glances(self, reading: _Reading, origin: str) -> list[tuple[float, tuple[int, int]]]:
        cuts = self._cuts(reading) if reading.tokens.ids else []
        # a window that says the same as one before it (padding, a table's rows) is read once
        distinct = {tuple(reading.tokens.ids[start:end]): (start, end) for start, end in reversed(cuts)}
        return [(self._glanced(reading, cut, origin), cut) for cut in sorted(distinct.values())]

    def _cleared(self, reading: _Reading, glanced: Sequence[tuple[float, tuple[int, int]]]) -> Score:
        """What all windows were cleared of: there is no place to point at, so it is the whole text's score."""
        worst = max((probability for probability, _ in glanced), default=0.0)
        return Score(worst, 0, reading.size if glanced else 0, 1, reading.truncated, len(glanced), 0)

    def _read(self, text: str) -> _Reading:
        limit = self.card.limit_tokens
        kept = text[: limit * CHARS_PER_TOKEN]
        folded = fold(kept)
        tokens = self._vocabulary.tokens(folded.text)
        cut = len(tokens.ids) > limit
        if cut:
            del tokens.ids[limit:]
        return _Reading(folded, tokens, cut or len(kept) < len(text), len(kept))

    def _cuts(self, reading: _Reading) -> list[tuple[int, int]]:
        return list(windows(len(reading.tokens.ids), self.card.window, self.card.stride))

    def _glanced(self, reading: _Reading, cut: tuple[int, int], origin: str) -> float:
        ids = frame(reading.tokens.ids[cut[0] : cut[1]], origin)
        # an array costs the session less than a list of lists
        (logit,) = self._glance.run(["logit"], {"ids": np.array([ids], np.int64)})
        return self.card.glance[origin].probability(float(logit[0]))

    def _encoded(self, reading: _Reading, cut: tuple[int, int], origin: str) -> float:
        ids = frame(reading.tokens.ids[cut[0] : cut[1]], origin)
        (logit,) = self._encoder.run(["logit"], {"ids": np.array([ids], np.int64)})
        return self.card.encoder[origin].probability(float(logit[0]))


def _merged(reading: _Reading, first: int, weights: Sequence[float], at_least: float) -> list[Span]:
    spans: list[Span] = []
    open_since, strongest = -1, 0.0
    for index, weight in enumerate([*weights, 0.0]):
        if weight >= at_least:
            open_since = index if open_since < 0 else open_since
            strongest = max(strongest, weight)
        elif open_since >= 0:
            start, end = reading.span(first + open_since, first + index)
            spans.append(Span(start, end, strongest))
            open_since, strongest = -1, 0.0
    return spans


def session(path: Path, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU with `threads` threads inside an operator and no spinning."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
