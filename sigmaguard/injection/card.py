"""What a model folder says of itself: sizes, calibration, gates, points, digests. Reads no weights."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.injection.vocabulary import ORIGINS, origin_name

CARD = "model.json"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Platt's calibration: probability = 1 / (1 + exp(-(slope * logit + shift)))."""

    slope: float
    shift: float

    def probability(self, logit: float) -> float:
        """The calibrated probability of a logit; saturates instead of overflowing."""
        value = max(-60.0, min(60.0, self.slope * logit + self.shift))
        return 1.0 / (1.0 + math.exp(-value))


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named operating point: report at or above `threshold[origin]`. Rates are measured, not promised."""

    threshold: dict[str, float]
    false_positives: dict[str, float] = {}
    caught: dict[str, float] = {}

    def of(self, origin: str) -> float:
        """The threshold for an origin of the engine."""
        return self.threshold[origin_name(origin)]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model.json`: everything a folder of weights needs to be read rightly."""

    version: str
    window: int
    stride: int
    limit_tokens: int
    glance: dict[str, Line]  # by origin
    encoder: dict[str, Line]
    gate: dict[str, float]  # below this the first tier clears a window by itself
    points: dict[str, Point]
    sha256: dict[str, str]
    training: dict[str, str | int | float | bool] = {}


def load_card(folder: Path) -> Card:
    """Read `model.json` and check every file against its digest. Raises ConfigError where one is off."""
    path = folder / CARD
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name} is missing in the model folder; name one written by the exporter") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    for table in (card.glance, card.encoder, card.gate):
        missing = [origin for origin in ORIGINS if origin not in table]
        if missing:
            raise ConfigError(f"{path.name}: no entry for origin `{missing[0]}`")
    for name, expected in card.sha256.items():
        if sha256(folder / name) != expected:
            raise ConfigError(f"{name} does not match its digest in {path.name}; copy the folder again")
    return card


def sha256(path: Path) -> str:
    """The digest of a file, hexadecimal. Raises ConfigError if it is missing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name} is missing in the model folder") from error
