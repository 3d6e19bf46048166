"""Runs both exported tiers over whole texts, every window through both; knows logits, no thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from detection.corpus.example import Example
from detection.encode import BODY, STRIDE
from sigmaguard.injection.fold import fold
from sigmaguard.injection.model import session
from sigmaguard.injection.vocabulary import Vocabulary, frame
from sigmaguard.injection.windows import windows

MOST_WINDOWS = 24  # enough for 2,300 tokens; longer texts are rare in every set


class Reading(msgspec.Struct, frozen=True):
    """What both tiers say of each window of a text."""

    glance: list[float]
    encoder: list[float]


class Tiers:
    """Both sessions of a model folder, one thread each; several texts at once."""

    def __init__(self, folder: Path, workers: int = 2, *, with_glance: bool = True) -> None:
        self._vocabulary = Vocabulary.load(folder / "tokenizer.json")
        self._glance: Any = session(folder / "glance.onnx") if with_glance else None
        self._encoder = session(folder / "encoder.onnx")
        self._workers = workers

    def read(self, examples: Sequence[Example]) -> list[Reading]:
        """Logits of every window of every text, in order."""
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(self._read, examples))

    def _read(self, example: Example) -> Reading:
        ids = self._vocabulary.tokens(fold(example.text).text).ids
        found = Reading([], [])
        for start, end in list(windows(len(ids), BODY, STRIDE))[:MOST_WINDOWS]:
            feed = {"ids": [frame(ids[start:end], example.origin)]}
            found.encoder.append(float(self._encoder.run(["logit"], feed)[0][0]))
            found.glance.append(float(self._glance.run(["logit"], feed)[0][0]) if self._glance else 0.0)
        return found
