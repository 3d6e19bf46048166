"""Runs any Hugging Face sequence classifier exported to ONNX; knows its files, not what it was trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.injection.model import Score, session
from sigmaguard.injection.vocabulary import origin_name
from sigmaguard.injection.windows import windows

MODEL, TOKENIZER, CONFIG = "model.onnx", "tokenizer.json", "config.json"
# What publishers call harmless; everything else counts as an attack.
HARMLESS = frozenset(
    {"benign", "safe", "legit", "legitimate", "negative", "no_injection", "label_0", "0", "normal", "clean"}
)
LIMIT_TOKENS = 65_536
DEFAULT_WINDOW = 512


class _Config(msgspec.Struct, frozen=True):
    """What is read of `config.json`; other keys are the publisher's business."""

    id2label: dict[str, str]
    max_position_embeddings: int = DEFAULT_WINDOW


class ExternalModel:
    """A classifier from outside: same face as `InjectionModel`, one tier, whole window length, origin unused.

    Special tokens are the tokenizer's own; a text that spells one is tokenised as that tokenizer does it.
    """

    def __init__(self, tokenizer: Any, model: Any, attacks: Sequence[int], window: int, version: str) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._inputs = {each.name for each in model.get_inputs()}
        self._attacks = list(attacks)
        around = tokenizer.encode("", add_special_tokens=True).ids
        self._before, self._after = _frame(tokenizer, around)
        self._window = window - len(self._before) - len(self._after)
        self.version = version

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> ExternalModel:
        """Load `tokenizer.json`, `config.json`, `model.onnx`. Raises ConfigError if one is missing or unusable."""
        from tokenizers import Tokenizer  # noqa: PLC0415

        for name in (TOKENIZER, CONFIG, MODEL):
            if not (folder / name).exists():
                raise ConfigError(f"`{name}` is missing in the model folder; export the classifier to ONNX first")
        try:
            config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=_Config)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{CONFIG}: {error}") from error
        attacks = [int(place) for place, label in config.id2label.items() if label.lower() not in HARMLESS]
        if not attacks or len(attacks) == len(config.id2label):
            known = ", ".join(sorted(HARMLESS))
            raise ConfigError(f"{CONFIG}: id2label must name a harmless label ({known}) and others")
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        window = min(config.max_position_embeddings, DEFAULT_WINDOW)
        digest = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()[:16]
        return cls(tokenizer, session(folder / MODEL, threads), attacks, window, f"external-{digest}")

    def threshold(self, point: str, origin: str) -> float:
        """One half for every origin: a foreign model has no calibrated points."""
        origin_name(origin)
        if point not in {"basic", "strict", "quiet"}:
            raise ConfigError(f"no operating point `{point}`; an external model has basic, quiet, strict, all at 0.5")
        return 0.5

    def score(self, texts: Sequence[str], origins: Sequence[str]) -> list[Score]:
        """The attack probability of each text's worst window. Raises ValueError for an unknown origin."""
        for origin in origins:
            origin_name(origin)
        return [self._score(text) for text, _ in zip(texts, origins, strict=True)]

    def glance(self, text: str, origin: str) -> Score | None:
        """None: there is one tier, and nobody knows how fast it is."""
        return None

    def _score(self, text: str) -> Score:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids = encoding.ids[:LIMIT_TOKENS]
        worst, place, count = 0.0, (0, 0), 0
        for start, end in windows(len(ids), self._window, max(self._window * 3 // 4, 1)) if ids else ():
            probability = self._probability([*self._before, *ids[start:end], *self._after])
            count += 1
            if place == (0, 0) or probability > worst:
                worst, place = probability, (start, end)
        first, last = place
        span = (encoding.offsets[first][0], encoding.offsets[last - 1][1]) if last > first else (0, 0)
        return Score(worst, span[0], span[1], 0, len(ids) < len(encoding.ids), count, count)

    def _probability(self, ids: Sequence[int]) -> float:
        feed = {"input_ids": [list(ids)], "attention_mask": [[1] * len(ids)], "token_type_ids": [[0] * len(ids)]}
        logits = self._model.run(None, {name: value for name, value in feed.items() if name in self._inputs})[0][0]
        top = max(float(each) for each in logits)
        odds = [math.exp(float(each) - top) for each in logits]
        return sum(odds[place] for place in self._attacks) / sum(odds)


def _frame(tokenizer: Any, around: Sequence[int]) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text, seen on a text of one token."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    if not plain or not around:
        return [], []
    at = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
    return list(framed[:at]), list(framed[at + len(plain) :])
