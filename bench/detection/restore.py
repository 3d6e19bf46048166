"""Reads an exported larger tier back into torch, so that training can go on from the shipped weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from detection.network import Encoder

_PARTS = ("qkv", "out", "up", "down")
_NORMS = ("norm1", "norm2")


def restored(path: Path) -> Encoder:
    """The encoder that `encoder.onnx` was written from, but for what eight bits took. Raises KeyError on other graphs."""
    weights = {each.name: numpy_helper.to_array(each) for each in onnx.load(str(path)).graph.initializer}
    layers = sum(name.endswith(".qkv.bias") for name in weights)
    encoder = Encoder(layers=layers, positions=len(weights["positions"]))
    state = {name: torch.tensor(value) for name, value in _state(weights, layers).items()}
    _check(encoder.state_dict(), state)
    encoder.load_state_dict(state)
    return encoder.eval()


def _state(weights: Mapping[str, NDArray[np.generic]], layers: int) -> dict[str, NDArray[np.float32]]:
    state: dict[str, NDArray[np.generic]] = {
        "words.weight": weights["words.table"].astype(np.float32) * weights["words.scale"],
        "positions.weight": weights["positions"],
        "norm.weight": weights["norm.gain"],
        "norm.bias": weights["norm.shift"],
        "window.weight": weights["window.matrix"].T,
        "window.bias": weights["window.bias"],
        "token.weight": weights["token.matrix"].T,
        "token.bias": weights["token.bias"],
        "strongest": weights["strongest"].reshape(()),
    }
    for name in (f"layers.{index}" for index in range(layers)):
        for part in _PARTS:
            state[f"{name}.{part}.weight"] = _matrix(weights, f"{name}.{part}.matrix").T
            state[f"{name}.{part}.bias"] = weights[f"{name}.{part}.bias"]
        for part in _NORMS:
            state[f"{name}.{part}.weight"] = weights[f"{name}.{part}.gain"]
            state[f"{name}.{part}.bias"] = weights[f"{name}.{part}.shift"]
    return {name: np.array(value, np.float32) for name, value in state.items()}


def _matrix(weights: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """A matrix in float, or in eight bits with a scale and a zero a column."""
    if name in weights:
        return weights[name]
    whole = weights[f"{name}_quantized"].astype(np.float32) - weights[f"{name}_zero_point"].astype(np.float32)
    return whole * weights[f"{name}_scale"]


def _check(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            raise KeyError(f"{name} is {tuple(found[name].shape)}, expected {tuple(value.shape)}")
