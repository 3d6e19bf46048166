"""Teaches the tiny tier from the larger one's scores; knows windows, not where they come from."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detection.batches import batches, blur
from detection.encode import Window, balance
from detection.export import ENCODER
from detection.network import Encoder, Glance, glance_from
from sigmaguard.injection.model import session

WORKERS = 2


class Lessons(msgspec.Struct, frozen=True):
    """How the tiny tier learns."""

    epochs: int = 10  # the shipped one had about twenty over its stages
    rate: float = 2e-3
    words_rate: float = 7e-4  # of the word vectors, which know more than the lessons teach
    soft: float = 0.9  # the teacher's share of the loss; the rest is the label's
    blurred: float = 0.15
    width: int = 128
    hidden: int = 128
    most: int = 110_000  # windows the teacher is asked about, all of one draw: 10 minutes of two cores
    seed: int = 20251


def teach(folder: Path, found: Sequence[Window], lessons: Lessons) -> Tensor:
    """The exported encoder's window logits [n], NaN where it was not asked: its time is what this step costs.

    Asking the exported one is three times as fast as asking torch, and the pupil then learns from the teacher it
    will work beside.
    """
    teacher = session(folder / ENCODER)

    def logit(index: int) -> float:
        (said,) = teacher.run(["logit"], {"ids": np.array([found[index].ids])})
        return float(said[0])

    out = torch.full((len(found),), float("nan"))
    asked = random.Random(lessons.seed).sample(range(len(found)), min(lessons.most, len(found)))
    with ThreadPoolExecutor(WORKERS) as pool:
        for index, said in zip(asked, pool.map(logit, asked), strict=True):
            out[index] = said
    return out


def distil(
    encoder: Encoder, found: Sequence[Window], logits: Tensor, lessons: Lessons, start: Path | None = None
) -> Glance:
    """Train the tiny tier on the labels and, where there are any, the teacher's logits; a line an epoch."""
    torch.manual_seed(lessons.seed)
    if start is None:
        glance = glance_from(encoder, lessons.width, lessons.hidden)
    else:
        glance = Glance(encoder.words.num_embeddings, lessons.width, lessons.hidden)
        glance.load_state_dict(torch.load(start, weights_only=True))
    weights = balance(found)
    others = [value for name, value in glance.named_parameters() if name != "words.weight"]
    optimiser = torch.optim.AdamW(
        [{"params": others, "peak": lessons.rate}, {"params": [glance.words.weight], "peak": lessons.words_rate}],
        weight_decay=0.01,
    )
    steps = lessons.epochs * sum(1 for _ in batches(found, weights, random.Random(0), budget=12288, most=256))
    done = 0
    source = torch.Generator().manual_seed(lessons.seed)
    taught = ~torch.isnan(logits)
    labels = torch.tensor([window.label for window in found])
    soft = torch.where(taught, lessons.soft * torch.sigmoid(logits) + (1 - lessons.soft) * labels, labels)
    began = time.perf_counter()
    for epoch in range(lessons.epochs):
        total, count = 0.0, 0
        rng = random.Random(f"{lessons.seed}/{epoch}")
        for batch in batches(found, weights, rng, budget=12288, most=256):
            done += 1
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * max(0.02, min(done / 50, 1 - done / steps))
            said = glance(blur(batch.ids, batch.mask, lessons.blurred, source), batch.mask)
            each = functional.binary_cross_entropy_with_logits(said, soft[batch.index], reduction="none")
            loss = (each * batch.weights).sum() / batch.weights.sum()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            total, count = total + float(loss.detach()), count + 1
        print(
            f"glance epoch {epoch + 1}/{lessons.epochs} loss {total / count:.4f} {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return glance
