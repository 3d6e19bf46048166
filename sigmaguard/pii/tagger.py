"""The German name tagger at run time: words to probabilities to spans. Knows the model's tags, no language."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from sigmaguard.pii.features import FEATURES, features, tokens

WEIGHTS = Path(__file__).parent / "weights" / "german.onnx"
Name = tuple[int, int, str, float]  # start, end in code points, half-open; label; how sure
WORDS_A_RUN = 4_096  # tokens of one run: bounds what a long text takes in memory


class Tagger:
    """Tags names with a small convolutional network; thread-safe, one thread a run."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = weights.read_bytes()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = self._session.get_modelmeta().custom_metadata_map
        self.labels: tuple[str, ...] = tuple(json.loads(about["labels"]))
        self.version = sha256(content).hexdigest()[:12]

    def names(self, text: str) -> list[Name]:
        """Names in a text, in order, not overlapping."""
        spans = tokens(text)
        found: list[Name] = []
        for start in range(0, len(spans), WORDS_A_RUN):
            part = spans[start : start + WORDS_A_RUN]
            found += self._decode(text, part, self._probabilities(text, part))
        return found

    def _probabilities(self, text: str, spans: list[tuple[int, int]]) -> npt.NDArray[np.float32]:
        rows = [features(text[start:end], text[start - 1 : start] if start else "") for start, end in spans]
        ids = np.array(rows, dtype=np.int64).reshape(-1, FEATURES)
        return np.asarray(self._session.run(None, {"ids": ids})[0], dtype=np.float32)

    def _decode(self, text: str, spans: list[tuple[int, int]], chances: npt.NDArray[np.float32]) -> list[Name]:
        """Runs of tags joined into names: what begins or goes on, of one label; as sure as its surest word."""
        found: list[Name] = []
        label, first, last, score = 0, 0, 0, 0.0
        best = chances.argmax(axis=1).tolist()
        for at, tag in enumerate(best):
            this = (tag + 1) // 2
            begins = tag % 2 == 1
            if label and (this != label or begins):
                found.append((spans[first][0], spans[last][1], self.labels[label], score))
                label = 0
            if this:
                # both tags of a label say the same about being one
                sure = float(chances[at, 2 * this - 1] + chances[at, 2 * this])
                if not label:
                    label, first, score = this, at, sure
                last, score = at, max(score, sure)
        if label:
            found.append((spans[first][0], spans[last][1], self.labels[label], score))
        return _joined(text, found)


def _joined(text: str, names: list[Name]) -> list[Name]:
    """The names with the halves of hyphened ones joined."""
    found: list[Name] = []
    for start, end, label, score in names:
        if found:
            before = found[-1]
            gap = text[before[1] : start]
            hyphened = gap == "-" or (not gap and "-" in (text[start], text[start - 1]))
            if label == before[2] and hyphened:
                found[-1] = (before[0], end, label, max(score, before[3]))
                continue
        found.append((start, end, label, score))
    return found
