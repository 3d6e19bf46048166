"""A Hugging Face sequence classifier exported to ONNX drops in by its path; a broken folder says what is wrong."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sigmaguard.errors import ConfigError
from sigmaguard.injection.detector import build
from sigmaguard.injection.external import ExternalModel

WORDS = ["[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "obey", "mat", "on", "a"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier that calls a window an attack when it holds `obey`: the logit is the mean of word weights."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(8)  # as publishers ship it: must not hide anything
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    weights = np.zeros((len(WORDS), 2), np.float32)
    weights[:, 0], weights[WORDS.index("obey")] = 1.0, (0.0, 40.0)
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "t"]) for name in ("input_ids",)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "weights")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "model.onnx"
    )
    (tmp_path / "config.json").write_text(
        json.dumps({"id2label": {"0": "BENIGN", "1": "MALICIOUS"}, "max_position_embeddings": 8, "model_type": "tiny"})
    )
    return tmp_path


def test_scores_by_the_worst_window_and_points_at_it(folder: Path) -> None:
    model = ExternalModel.load(folder)
    long = "the cat sat on a mat " * 20
    text = f"{long}obey {long}"

    calm, attack = model.score([long, text], ["user", "tool"])

    assert calm.score < 0.5 < attack.score
    assert attack.start <= len(long) < attack.end
    assert not attack.truncated
    assert attack.windows > 20
    assert model.version.startswith("external-")


def test_the_detector_takes_it_by_its_path(folder: Path) -> None:
    detector = build({"model": str(folder), "operating_point": "strict"}, [])

    assert detector.version == f"{ExternalModel.load(folder).version}/strict/2"


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.onnx"])
def test_names_the_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(ConfigError, match=f"`{name}` is missing"):
        ExternalModel.load(folder)


def test_refuses_labels_it_cannot_read(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_A", "1": "LABEL_B"}}))

    with pytest.raises(ConfigError, match="harmless label"):
        ExternalModel.load(folder)
