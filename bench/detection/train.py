"""Fine-tunes the larger tier from MiniLM; resumes from its checkpoint. Knows nothing of tiers below it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from detection.batches import Batch, batches, blur
from detection.encode import Window, balance
from detection.network import Encoder, pretrained_encoder
from detection.restore import restored

# Products in bfloat16 where the CPU multiplies such matrices itself: two and a half times as fast, weights stay float
HALF = bool(torch.cpu.get_capabilities().get("amx_bf16"))


class Course(msgspec.Struct, frozen=True):
    """How a run goes; the peak rate belongs to the heads and top layer and shrinks by `decay` a layer."""

    layers: int = 6
    frozen: int = 0  # lower layers without gradient: saves time, and leaves German in pieces of English words
    epochs: float = 3.0
    rate: float = 2.5e-4
    decay: float = 0.85
    smoothing: float = 0.02
    blurred: float = 0.04
    seed: int = 20251
    threads: int = 2
    keep_every: int = 100


def train(
    found: Sequence[Window],
    course: Course,
    folder: Path,
    start: Path | None = None,
    weights: Sequence[float] | None = None,
) -> Encoder:
    """Train on `found`, log a line every 20 steps, keep `folder/encoder.pt`; `start` names earlier weights.

    `weights` say how much each window counts; origins, labels and languages are balanced where there are none.
    """
    torch.set_num_threads(course.threads)
    torch.manual_seed(course.seed)
    encoder = started(course.layers, start)
    run = _Run(encoder, found, balance(found) if weights is None else weights, course, folder)
    run.go()
    encoder.load_state_dict(run.average)
    return encoder


def started(layers: int, start: Path | None) -> Encoder:
    """MiniLM's lower `layers`, or the weights that `start` names: a checkpoint or `encoder.onnx`."""
    if start is not None and start.suffix == ".onnx":
        return restored(start)
    encoder = pretrained_encoder(layers)
    if start is not None:
        encoder.load_state_dict(torch.load(start, weights_only=True)["average"])
    return encoder


class _Run:
    """One training run: its optimiser, running average and place in the course."""

    def __init__(
        self, encoder: Encoder, found: Sequence[Window], weights: Sequence[float], course: Course, folder: Path
    ) -> None:
        self.encoder, self.found, self.course, self.folder = encoder, found, course, folder
        encoder.frozen = course.frozen
        self.weights = weights
        self.per_epoch = sum(1 for _ in self._epoch(0))
        self.steps = int(self.per_epoch * course.epochs)
        self.optimiser = torch.optim.AdamW(groups(encoder, course), weight_decay=0.01, fused=True)
        self.average = {name: value.clone() for name, value in encoder.state_dict().items()}
        self.done = 0
        self.path = folder / "encoder.pt"
        if self.path.exists():
            self._resume()

    def _epoch(self, epoch: int) -> list[Batch]:
        return list(batches(self.found, self.weights, random.Random(f"{self.course.seed}/{epoch}")))

    def go(self) -> None:
        began, losses, tokens = time.perf_counter(), [], 0
        for epoch in range(math.ceil(self.course.epochs)):
            for place, batch in enumerate(self._epoch(epoch)):
                step = epoch * self.per_epoch + place
                if step < self.done:
                    continue
                if step >= self.steps:
                    break
                losses.append(self._step(batch, step))
                tokens += batch.ids.numel()
                self.done = step + 1
                if self.done % 20 == 0:
                    spent = time.perf_counter() - began
                    left = (self.steps - self.done) * spent / max(len(losses), 1)
                    recent = sum(losses[-20:]) / len(losses[-20:])
                    print(
                        f"step {self.done}/{self.steps} loss {recent:.4f} {tokens / spent:.0f} tokens/s, {left / 60:.1f} min left",
                        flush=True,
                    )
                if self.done % self.course.keep_every == 0:
                    self._keep()
        self._keep()

    def _step(self, batch: Batch, step: int) -> float:
        scale = one_cycle(step / self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * scale
        source = torch.Generator().manual_seed(self.course.seed * 1_000_003 + step)
        ids = blur(batch.ids, batch.mask, self.course.blurred, source)
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            states = self.encoder.hidden(ids, batch.mask)
        logits, tokens = self.encoder.heads_of(states.float(), batch.mask)
        total = loss(logits, tokens, batch, self.course.smoothing)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        if step % 5 == 0:
            self._blend(min(0.97, (step + 5) / (step + 50)))
        return float(total.detach())

    def _blend(self, keep: float) -> None:
        for name, value in self.encoder.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def _keep(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "encoder": self.encoder.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "done": self.done,
            "steps": self.steps,
        }
        half = self.path.with_suffix(".half")
        torch.save(state, half)
        half.replace(self.path)

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True)
        if state["steps"] != self.steps:
            raise ValueError(f"{self.path} belongs to another run: remove it or choose another folder")
        self.encoder.load_state_dict(state["encoder"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = state["done"]
        print(f"resumed at step {self.done}/{self.steps}", flush=True)


def loss(logits: Tensor, tokens: Tensor, batch: Batch, smoothing: float) -> Tensor:
    """Balanced cross-entropy of the windows, plus a third of that of the tokens whose labels are known."""
    labels = batch.labels * (1 - 2 * smoothing) + smoothing
    whole = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    whole = (whole * batch.weights).sum() / batch.weights.sum()
    if not bool(batch.known.any()):
        return whole
    part = functional.binary_cross_entropy_with_logits(tokens[batch.known], batch.tokens[batch.known])
    return whole + 0.3 * part


def groups(encoder: Encoder, course: Course) -> list[dict[str, object]]:
    """Parameters by depth, lower ones with lower rates; frozen ones are left out."""
    out: list[dict[str, object]] = [
        {
            "params": [*encoder.window.parameters(), *encoder.token.parameters(), encoder.strongest],
            "peak": course.rate * 4,
        }
    ]
    depth = len(encoder.layers)
    for index, layer in enumerate(encoder.layers):
        if index >= course.frozen:
            out.append(
                {
                    "params": list(layer.parameters()),
                    "peak": course.rate * course.decay ** (depth - 1 - index),
                }
            )
    if course.frozen == 0:
        below = [*encoder.words.parameters(), *encoder.positions.parameters(), *encoder.norm.parameters()]
        out.append({"params": below, "peak": course.rate * course.decay**depth})
    for group in out:
        group["lr"] = group["peak"]
    return out


def one_cycle(progress: float) -> float:
    """Warm up over a tenth, then a cosine down to a fiftieth."""
    if progress < 0.1:
        return 0.05 + 0.95 * progress / 0.1
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))
