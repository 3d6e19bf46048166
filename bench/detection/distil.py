"""Teaches the tiny tier from the larger one's scores; knows windows, not where they come from."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from detection.batches import batches, blur
from detection.encode import Window, balance
from detection.network import Encoder, Glance, glance_from


class Lessons(msgspec.Struct, frozen=True):
    """How the tiny tier learns."""

    epochs: int = 10
    rate: float = 3e-3
    soft: float = 0.7  # the teacher's share of the loss; the rest is the label's
    blurred: float = 0.12
    width: int = 64
    hidden: int = 96
    most: int = 24_000  # windows the teacher scores: its time, not the pupil's, is what this step costs
    seed: int = 20251


def teach(encoder: Encoder, found: Sequence[Window]) -> Tensor:
    """The encoder's window logits [n], in order."""
    out = torch.zeros(len(found))
    encoder.eval()
    with torch.no_grad():
        for batch in batches(found, [1.0] * len(found), None):
            out[batch.index] = encoder(batch.ids, batch.mask)[0]
    return out


def distil(encoder: Encoder, found: Sequence[Window], logits: Tensor, lessons: Lessons) -> Glance:
    """Train the tiny tier on the labels and the teacher's logits; a line an epoch."""
    torch.manual_seed(lessons.seed)
    glance = glance_from(encoder, lessons.width, lessons.hidden)
    weights = balance(found)
    optimiser = torch.optim.AdamW(glance.parameters(), weight_decay=0.01, fused=True)
    source = torch.Generator().manual_seed(lessons.seed)
    soft = torch.sigmoid(logits)
    began = time.perf_counter()
    for epoch in range(lessons.epochs):
        total, count = 0.0, 0
        rng = random.Random(f"{lessons.seed}/{epoch}")
        for place, batch in enumerate(batches(found, weights, rng, budget=12288, most=256)):
            progress = (epoch + min(place / 400, 1.0)) / lessons.epochs
            for group in optimiser.param_groups:
                group["lr"] = lessons.rate * max(0.02, 1 - progress)
            said = glance(blur(batch.ids, batch.mask, lessons.blurred, source), batch.mask)
            target = lessons.soft * soft[batch.index] + (1 - lessons.soft) * batch.labels
            each = functional.binary_cross_entropy_with_logits(said, target, reduction="none")
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
