"""spaCy's greedy entity decoder, all words at once where they do not depend on each other. Same answers.

spaCy asks its network once a word, in order: a matrix product a word. Outside an entity the question
holds nothing but the word itself (`StateC.set_context_tokens` with three features), so all those answers
are one product; only the words inside an entity are asked one by one, and they are few.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Entity = tuple[int, int, str]  # first and one past the last word, spaCy's label


class GreedyDecoder:
    """Decodes entities of word vectors with the weights of a loaded spaCy entity recognizer."""

    def __init__(self, recognizer: Any) -> None:
        _, lower, upper = recognizer.model.layers
        # spaCy's own product runs in this thread; numpy's would start others and wait for them
        self._gemm = recognizer.model.ops.gemm
        self._lower: Array = lower.get_param("W")  # [features 3, hidden, pieces, vector]
        self._bias: Array = lower.get_param("b")
        self._pad: Array = lower.get_param("pad")[0]  # [features 3, hidden, pieces]
        self._upper: Array = upper.get_param("W")  # [classes, hidden]
        self._upper_bias: Array = upper.get_param("b")
        names = [recognizer.moves.get_class_name(at) for at in range(self._upper.shape[0])]
        self._moves = [name.partition("-")[::2] for name in names]
        self._inside = {
            label: (names.index(f"I-{label}"), names.index(f"L-{label}"))
            for move, label in self._moves
            if move == "B" and label
        }
        outside = np.array([move in ("B", "U", "O") and bool(label or move == "O") for move, label in self._moves])
        begin = np.array([move == "B" for move, _ in self._moves])
        only_out = np.array([move == "O" for move, _ in self._moves])
        self._closed = np.where(outside, 0.0, -np.inf).astype(np.float32)
        self._closed_last = np.where(outside & ~begin, 0.0, -np.inf).astype(np.float32)
        self._closed_space = np.where(only_out, 0.0, -np.inf).astype(np.float32)

    def decode(self, vectors: Array, lengths: Sequence[int], spaces: Sequence[Sequence[int]]) -> list[list[Entity]]:
        """The entities of each document. `vectors` [words, vector] are all documents' words one after the
        other, `lengths` the documents' words, `spaces` which of them are white space."""
        if not len(vectors):
            return [[] for _ in lengths]
        feature, hidden, pieces, size = self._lower.shape
        parts = self._gemm(vectors, self._lower.reshape(-1, size), trans2=True).reshape(-1, feature, hidden, pieces)
        alone = (parts[:, 0] + (self._pad[1] + self._pad[2] + self._bias)).max(axis=2)
        scores = self._gemm(alone, self._upper, trans2=True) + (self._upper_bias + self._closed)
        at = 0
        for length, blank in zip(lengths, spaces, strict=True):
            if length:
                scores[at + length - 1] += self._closed_last
            for word in blank:
                scores[at + word] += self._closed_space
            at += length
        best = scores.argmax(axis=1).tolist()
        found: list[list[Entity]] = []
        at = 0
        for length in lengths:
            found.append(self._walk(parts, best, at, at + length))
            at += length
        return found

    def _walk(self, parts: Array, best: Sequence[int], start: int, end: int) -> list[Entity]:
        found: list[Entity] = []
        at = start
        while at < end:
            move, label = self._moves[best[at]]
            last = at
            if move == "B":
                last = self._last(parts, label, at, end)
            if move != "O":
                found.append((at - start, last + 1 - start, label))
            at = last + 1
        return found

    def _last(self, parts: Array, label: str, first: int, end: int) -> int:
        """The last word of an entity that begins at `first`."""
        inside, closing = self._inside[label]
        for at in range(first + 1, end - 1):
            hidden = (parts[at, 0] + parts[first, 1] + parts[at - 1, 2] + self._bias).max(axis=1)
            go_on = float(hidden @ self._upper[inside]) + float(self._upper_bias[inside])
            close = float(hidden @ self._upper[closing]) + float(self._upper_bias[closing])
            if close > go_on or (close == go_on and closing < inside):
                return at
        return end - 1
