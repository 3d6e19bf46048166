"""Writes trained networks into a model folder: ONNX, quantised to int8. Knows files, no training."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnx

from detection.graphs import HEAD_NODES, encoder_graph, glance_graph
from detection.network import Encoder, Glance

ENCODER, GLANCE = "encoder.onnx", "glance.onnx"


def export_encoder(encoder: Encoder, folder: Path, *, quantise: bool = True) -> Path:
    """Write `encoder.onnx`, its matrices int8 with a scale a column, activations quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = folder / ENCODER
    model = encoder_graph(encoder)
    if not quantise:
        onnx.save(model, target)
        return target
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises a preprocessing that this graph does not need
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.onnx"
        onnx.save(model, plain)
        quantize_dynamic(
            plain, target, op_types_to_quantize=["MatMul", "Attention"], per_channel=True,
            weight_type=QuantType.QInt8, nodes_to_exclude=list(HEAD_NODES),
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )  # fmt: skip
    return target


def export_glance(glance: Glance, folder: Path) -> Path:
    """Write `glance.onnx`: word vectors and convolutions int8, what is left in float."""
    target = folder / GLANCE
    onnx.save(glance_graph(glance), target)
    return target
