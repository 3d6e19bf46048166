"""Packs windows into batches of like length; knows tensors, not models."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from detection.encode import Window
from sigmaguard.injection.vocabulary import UNKNOWN_WORD


class Batch:
    """Padded tensors of some windows; `index` are their places in the sequence they came from."""

    def __init__(self, found: Sequence[Window], weights: Sequence[float], index: Sequence[int]) -> None:
        length = max(len(found[i].ids) for i in index)
        self.index = list(index)
        self.ids = torch.zeros(len(index), length, dtype=torch.long)
        self.mask = torch.zeros(len(index), length, dtype=torch.bool)
        self.tokens = torch.zeros(len(index), length)
        self.known = torch.zeros(len(index), length, dtype=torch.bool)
        for row, i in enumerate(index):
            window = found[i]
            count = len(window.ids)
            self.ids[row, :count] = torch.tensor(window.ids)
            self.mask[row, :count] = True
            if window.first >= 0:
                self.known[row, 2 : count - 1] = True
                self.tokens[row, window.first : window.last] = 1.0
        self.labels = torch.tensor([found[i].label for i in index])
        self.weights = torch.tensor([weights[i] for i in index])


def batches(
    found: Sequence[Window],
    weights: Sequence[float],
    rng: random.Random | None,
    *,
    budget: int = 4096,
    most: int = 96,
) -> Iterator[Batch]:
    """Yield batches of at most `budget` padded tokens; shuffled where a generator is given, else by length."""
    order = list(range(len(found)))
    if rng is not None:
        rng.shuffle(order)
    packs: list[list[int]] = []
    step = 40 * most if rng is not None else max(len(order), 1)
    for start in range(0, len(order), step):
        packs += _packs(sorted(order[start : start + step], key=lambda i: len(found[i].ids)), found, budget, most)
    if rng is not None:
        rng.shuffle(packs)
    for pack in packs:
        yield Batch(found, weights, pack)


def _packs(order: Sequence[int], found: Sequence[Window], budget: int, most: int) -> list[list[int]]:
    packs: list[list[int]] = []
    pack: list[int] = []
    for i in order:
        if pack and (len(pack) == most or len(found[i].ids) * (len(pack) + 1) > budget):
            packs.append(pack)
            pack = []
        pack.append(i)
    return [*packs, pack] if pack else packs


def blur(ids: Tensor, mask: Tensor, share: float, source: torch.Generator) -> Tensor:
    """Replace a share of the words by the unknown word, so that no single word decides."""
    hidden = (torch.rand(ids.shape, generator=source) < share) & mask
    hidden[:, :2] = False
    return ids.masked_fill(hidden, UNKNOWN_WORD)
