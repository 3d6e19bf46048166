"""Writes both networks as ONNX graphs by hand, one window at a time, no padding; knows no file and no training.

The graphs are made of fused contrib operators (Attention, BiasGelu, products that quantise), which
spares a tracing exporter and its rewriting passes. The encoder's word vectors are int8 with a scale a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from detection.network import Encoder, Glance

OPSET, CONTRIB = 17, "com.microsoft"
LONGEST = 512  # tokens that the tiny tier can read at once
MIDDLE = 128  # what stands for zero in eight bits without a sign
Array = NDArray[np.float32]


class Graph:
    """Collects nodes and weights; every `add` returns the name of the node's first output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store a weight under its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], name: str, domain: str = "", **attributes: object) -> str:
        """Append a node whose output bears the node's name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def model(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """Close the graph: `ids` [1, t] in, `outputs` out."""
        graph = helper.make_graph(
            self.nodes,
            "sigmaguard",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "tokens"] if name == "tokens" else [1])
                for name in outputs
            ],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="sigmaguard")
        onnx.checker.check_model(model)
        return model


def encoder_graph(encoder: Encoder) -> onnx.ModelProto:
    """The larger tier: window logit [1] as `logit`, token logits [1, t] as `tokens`."""
    state = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
    graph = Graph()
    x = _embedded(graph, state)
    for index, layer in enumerate(encoder.layers):
        x = _layer(graph, state, f"layers.{index}", x, layer.heads)
    _heads(graph, state, x)
    return graph.model(["logit", "tokens"])


def _words(graph: Graph, words: Array) -> str:
    scale = np.maximum(np.abs(words).max(1, keepdims=True), 1e-8) / 127
    table = graph.constant("words.table", np.round(words / scale).astype(np.int8))
    scales = graph.constant("words.scale", scale.astype(np.float32))
    rows = graph.add("Gather", [table, "ids"], "words.rows")
    wide = graph.add("Cast", [rows], "words.wide", to=TensorProto.FLOAT)
    factor = graph.add("Gather", [scales, "ids"], "words.factor")
    return graph.add("Mul", [wide, factor], "words.value")


def _embedded(graph: Graph, state: dict[str, Array]) -> str:
    words = _words(graph, state["words.weight"])
    shape = graph.add("Shape", ["ids"], "ids.shape", start=1, end=2)
    zero = graph.constant("zero", np.array([0], np.int64))
    table = graph.constant("positions", state["positions.weight"])
    places = graph.add("Slice", [table, zero, shape, zero], "places")
    total = graph.add("Add", [words, places], "embedded")
    return _norm(graph, state, "norm", total)


def _norm(graph: Graph, state: dict[str, Array], name: str, x: str, skip: str = "", bias: str = "") -> str:
    gain = graph.constant(f"{name}.gain", state[f"{name}.weight"])
    shift = graph.constant(f"{name}.shift", state[f"{name}.bias"])
    if skip:
        # SkipLayerNormalization takes eight times as long on a CPU; of an Add ONNX Runtime would make one again
        x = graph.add("Sum", [x, skip, bias], f"{name}.sum")
    return graph.add("LayerNormalization", [x, gain, shift], name, axis=-1, epsilon=1e-12)


def _layer(graph: Graph, state: dict[str, Array], name: str, x: str, heads: int) -> str:
    def weight(part: str) -> str:
        return graph.constant(f"{name}.{part}.matrix", state[f"{name}.{part}.weight"].T)

    def bias(part: str) -> str:
        return graph.constant(f"{name}.{part}.bias", state[f"{name}.{part}.bias"])

    mixed = graph.add("Attention", [x, weight("qkv"), bias("qkv")], f"{name}.attention", CONTRIB, num_heads=heads)
    out = graph.add("MatMul", [mixed, weight("out")], f"{name}.out")
    x = _norm(graph, state, f"{name}.norm1", out, x, bias("out"))
    up = graph.add("MatMul", [x, weight("up")], f"{name}.up")
    active = graph.add("BiasGelu", [up, bias("up")], f"{name}.gelu", CONTRIB)
    down = graph.add("MatMul", [active, weight("down")], f"{name}.down")
    return _norm(graph, state, f"{name}.norm2", down, x, bias("down"))


def _heads(graph: Graph, state: dict[str, Array], x: str) -> None:
    tokens = graph.add("MatMul", [x, graph.constant("token.matrix", state["token.weight"].T)], "token.product")
    tokens = graph.add("Add", [tokens, graph.constant("token.bias", state["token.bias"])], "token.logits")
    last = graph.constant("last", np.array([2], np.int64))
    graph.add("Squeeze", [tokens, last], "tokens")
    mean = graph.add("ReduceMean", [x], "pool.mean", axes=[1], keepdims=0)
    most = graph.add("ReduceMax", [x], "pool.max", axes=[1], keepdims=0)
    pooled = graph.add("Concat", [mean, most], "pooled", axis=1)
    window = graph.add("MatMul", [pooled, graph.constant("window.matrix", state["window.weight"].T)], "window.product")
    window = graph.add("Add", [window, graph.constant("window.bias", state["window.bias"])], "window.logit")
    peak = graph.add("ReduceMax", ["tokens"], "peak", axes=[1], keepdims=1)
    peak = graph.add("Mul", [peak, graph.constant("strongest", state["strongest"].reshape(1))], "peak.scaled")
    both = graph.add("Add", [window, peak], "both")
    graph.add("Squeeze", [both, graph.constant("one", np.array([1], np.int64))], "logit")


HEAD_NODES = (
    "token.product",
    "window.product",
)  # stay in float: they are small, and every bit of a score matters


def glance_graph(glance: Glance) -> onnx.ModelProto:
    """The tiny tier: window logit [1] as `logit`."""
    return glance_of({name: value.detach().numpy() for name, value in glance.state_dict().items()})


def glance_of(state: Mapping[str, Array]) -> onnx.ModelProto:
    """The tiny tier from its weights by name: window logit [1] as `logit`.

    A convolution is a product of each token's neighbourhood, laid side by side, with one int8 matrix. Word vectors are
    int8 with a scale a column, which the matrix takes up, so that they go into the first product as they lie there.
    """
    graph = Graph()
    table, scales = _columns(state["words.weight"])
    zero = graph.constant("zero", np.array([0], np.int64))
    flat = graph.add("Reshape", ["ids", graph.constant("all", np.array([-1], np.int64))], "flat")
    size = graph.add("Shape", [flat], "size")

    def around(x: str, name: str, reach: int, outside: str) -> str:
        """Rows of `x` beside those before and after them, [t, 2 * reach + 1, ...]; `outside` stands beyond the ends."""
        here = np.arange(LONGEST)[:, None] + np.arange(2 * reach + 1)[None, :]
        places = graph.add("Slice", [graph.constant(f"{name}.around", here), zero, size, zero], f"{name}.places")
        sides = [reach, reach] if outside else [reach, 0, reach, 0]
        pads = graph.constant(f"{name}.sides", np.array(sides, np.int64))
        padded = graph.add("Pad", [x, pads, *([outside] if outside else [])], f"{name}.padded")
        return graph.add("Gather", [padded, places], f"{name}.neighbours")

    def matrix(name: str, columns: Array) -> tuple[NDArray[np.int8], str, str]:
        """A convolution's weights as an int8 matrix, its scale a column and its bias; `columns` scale what it reads."""
        weight = state[f"{name}.weight"]  # [out, in, places]
        whole = np.concatenate([weight[:, :, at].T * columns for at in range(weight.shape[2])])
        scale = np.maximum(np.abs(whole).max(0), 1e-8) / 127
        scales = graph.constant(f"{name}.scale", scale.astype(np.float32))
        return np.round(whole / scale).astype(np.int8), scales, graph.constant(f"{name}.bias", state[f"{name}.bias"])

    nowhere = graph.constant("nowhere", np.array(len(table), np.int64))
    words = graph.constant("words.table", np.vstack([table, np.full((1, table.shape[1]), MIDDLE, np.uint8)]))
    rows = graph.add("Gather", [words, around(flat, "wide", 2, nowhere)], "words.rows")
    weights, scale, bias = matrix("wide", scales)
    shape = graph.constant("wide.shape", np.array([-1, len(weights)], np.int64))
    read = graph.add("Reshape", [rows, shape], "wide.read")
    one, middle = graph.constant("words.one", np.float32(1)), graph.constant("words.middle", np.uint8(MIDDLE))
    inputs = [read, graph.constant("wide.matrix", weights), one, scale, middle, "", bias]
    wide = graph.add("MatMulIntegerToFloat", inputs, "wide.out", CONTRIB)
    first = graph.add("Relu", [wide], "wide.active")

    weights, scale, bias = matrix("narrow", np.ones((weights.shape[1], 1), np.float32))
    shape = graph.constant("narrow.shape", np.array([-1, len(weights)], np.int64))
    read = graph.add("Reshape", [around(first, "narrow", 1, ""), shape], "narrow.read")
    inputs = [read, graph.constant("narrow.matrix", weights), scale, "", bias]
    narrow = graph.add("DynamicQuantizeMatMul", inputs, "narrow.out", CONTRIB)
    second = graph.add("Relu", [narrow], "narrow.active")

    peaks = [graph.add("ReduceMax", [x], f"{x}.max", axes=[0], keepdims=1) for x in (first, second)]
    means = [graph.add("ReduceMean", [x], f"{x}.mean", axes=[0], keepdims=1) for x in (first, second)]
    pooled = graph.add("Concat", [*peaks, *means], "pooled", axis=1)
    hidden = _linear(graph, state, "hidden", pooled)
    active = graph.add("Relu", [hidden], "hidden.active")
    score = _linear(graph, state, "window", active)
    graph.add("Squeeze", [score, graph.constant("one", np.array([1], np.int64))], "logit")
    return graph.model(["logit"])


def _columns(words: Array) -> tuple[NDArray[np.uint8], Array]:
    """Word vectors in eight bits, zero at MIDDLE, and the scale of each column [width, 1]."""
    scale = np.maximum(np.abs(words).max(0, keepdims=True), 1e-8) / 127
    return (np.round(words / scale) + MIDDLE).astype(np.uint8), scale.T.astype(np.float32)


def _linear(graph: Graph, state: Mapping[str, Array], name: str, x: str) -> str:
    weight = graph.constant(f"{name}.weight", state[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", state[f"{name}.bias"])
    return graph.add("Gemm", [x, weight, bias], f"{name}.out", transB=1)
