"""Trains the German name tagger and writes it as ONNX: `python -m pii.train` in bench/, under ten minutes.

A table of hashed word pieces, three convolutions, a label a token. Small enough to ship (half precision)
and to run on the hot path; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pii.german import LABELS, Labelled, texts
from sigmaguard.pii.features import BUCKETS, FEATURES, features, tokens

WIDTH, HIDDEN, TAGS = 16, 96, 2 * len(LABELS) - 1  # O, then B and I of each label
LENGTH = 96  # tokens of a training row
TARGET = Path(__file__).parents[2] / "sigmaguard" / "pii" / "weights"


def encode(text: Labelled) -> tuple[list[tuple[int, ...]], list[int]]:
    """Features and tags of each token of a text."""
    rows, tags = [], []
    at = 0
    for start, end in tokens(text.text):
        rows.append(features(text.text[start:end], text.text[start - 1 : start]))
        while at < len(text.spans) and text.spans[at][1] <= start:
            at += 1
        if at < len(text.spans) and text.spans[at][0] < end:
            label = LABELS.index(text.spans[at][2])
            tags.append(2 * label - (1 if start <= text.spans[at][0] else 0))
        else:
            tags.append(0)
    return rows, tags


class Tagger(nn.Module):
    """Embeds, mixes neighbours three times, labels."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(BUCKETS, WIDTH, padding_idx=0)
        self.into = nn.Linear(FEATURES * WIDTH, HIDDEN)
        self.mix = nn.ModuleList([nn.Conv1d(HIDDEN, HIDDEN, 3, padding=step, dilation=step) for step in (1, 2, 1)])
        self.out = nn.Linear(HIDDEN, TAGS)
        self.drop = nn.Dropout(0.2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits [b, n, TAGS] of feature rows [b, n, FEATURES]."""
        hidden = torch.relu(self.into(self.drop(self.table(rows).flatten(2))))
        for layer in self.mix:
            hidden = hidden + torch.relu(layer(self.drop(hidden).transpose(1, 2))).transpose(1, 2)
        return self.out(hidden)


def batches(rows: np.ndarray, tags: np.ndarray, dice: np.random.Generator, size: int):  # type: ignore[no-untyped-def]
    """Shuffled batches; pieces of words are hidden now and then, so that no name is learnt by heart alone."""
    count = len(rows) // LENGTH
    offset = int(dice.integers(0, LENGTH))
    usable = rows[offset : offset + (count - 1) * LENGTH].reshape(-1, LENGTH, FEATURES)
    wanted = tags[offset : offset + (count - 1) * LENGTH].reshape(-1, LENGTH)
    order = dice.permutation(len(usable))
    for start in range(0, len(usable) - size + 1, size):
        chosen = order[start : start + size]
        batch = usable[chosen].copy()
        hidden = dice.random((size, LENGTH)) < 0.15
        batch[hidden, 0] = 0
        more = dice.random((size, LENGTH)) < 0.06
        batch[more, :7] = 0
        yield torch.from_numpy(batch), torch.from_numpy(wanted[chosen])


def train(count: int, epochs: int, seed: int, budget_s: float) -> Tagger:
    """A tagger trained on `count` generated texts."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    dice = random.Random(seed)
    rows_list: list[tuple[int, ...]] = []
    tags_list: list[int] = []
    for text in texts(dice, count):
        rows, tags = encode(text)
        rows_list += rows
        tags_list += tags
    rows, tags = np.array(rows_list, dtype=np.int64), np.array(tags_list, dtype=np.int64)
    print(f"{count} texts, {len(rows)} tokens, {np.mean(tags > 0):.1%} in names", file=sys.stderr)
    model = Tagger()
    steps = epochs * (len(rows) // LENGTH // 32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps + 10)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    numbers = np.random.default_rng(seed)
    began = time.monotonic()
    for epoch in range(epochs):
        total = seen = 0.0
        for batch, wanted in batches(rows, tags, numbers, 32):
            loss = loss_of(model(batch).flatten(0, 1), wanted.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total, seen = total + float(loss.detach()), seen + 1
        spent = time.monotonic() - began
        print(f"epoch {epoch + 1}/{epochs}: loss {total / seen:.4f}, {spent:.0f} s", file=sys.stderr)
        if spent > budget_s:
            break
    return model.eval()


def export(model: Tagger, path: Path, about: dict[str, object]) -> None:
    """Writes the model in half precision: ids [n, FEATURES] to tag probabilities [n, TAGS]."""
    constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value: torch.Tensor) -> str:
        array = value.detach().numpy().astype(np.float16)
        constants.append(numpy_helper.from_array(array, name + ".half"))
        nodes.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
        return name

    constants.append(numpy_helper.from_array(model.table.weight.detach().numpy().astype(np.float16), "table"))
    constants.append(numpy_helper.from_array(np.array([-1, FEATURES * WIDTH], dtype=np.int64), "flat"))
    constants.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "zero"))
    nodes += [
        helper.make_node("Gather", ["table", "ids"], ["pieces.half"]),
        helper.make_node("Cast", ["pieces.half"], ["pieces"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pieces", "flat"], ["word"]),
        helper.make_node(
            "Gemm", ["word", constant("in.w", model.into.weight), constant("in.b", model.into.bias)], ["in"], transB=1
        ),
        helper.make_node("Relu", ["in"], ["in.relu"]),
        helper.make_node("Transpose", ["in.relu"], ["in.t"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["in.t", "zero"], ["hidden0"]),
    ]
    for at, layer in enumerate(model.mix):
        step = layer.dilation[0]
        weights = [constant(f"mix{at}.w", layer.weight), constant(f"mix{at}.b", layer.bias)]
        nodes += [
            helper.make_node(
                "Conv", [f"hidden{at}", *weights], [f"mix{at}"], kernel_shape=[3], dilations=[step], pads=[step, step]
            ),
            helper.make_node("Relu", [f"mix{at}"], [f"mix{at}.relu"]),
            helper.make_node("Add", [f"hidden{at}", f"mix{at}.relu"], [f"hidden{at + 1}"]),
        ]
    nodes += [
        helper.make_node("Squeeze", [f"hidden{len(model.mix)}", "zero"], ["last.t"]),
        helper.make_node("Transpose", ["last.t"], ["last"], perm=[1, 0]),
        helper.make_node(
            "Gemm", ["last", constant("out.w", model.out.weight), constant("out.b", model.out.bias)], ["out"], transB=1
        ),
        helper.make_node("Softmax", ["out"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "german_names",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", TAGS])],
        constants,
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in about.items():
        built.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(built)
    path.parent.mkdir(exist_ok=True)
    onnx.save(built, path)


def main() -> None:
    """Trains and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--budget-s", type=float, default=540.0)
    parser.add_argument("--out", type=Path, default=TARGET / "german.onnx")
    chosen = parser.parse_args()
    model = train(chosen.texts, chosen.epochs, chosen.seed, chosen.budget_s)
    about = {"labels": LABELS, "texts": chosen.texts, "epochs": chosen.epochs, "seed": chosen.seed}
    export(model, chosen.out, about)
    print(f"{chosen.out.name}: {chosen.out.stat().st_size / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
