"""Calibrates exported tiers on texts they did not see and writes `model.json`; knows no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from detection.calibrate import Trial, fit, gates, measured, point, sure
from detection.corpus.example import Example
from detection.encode import BODY, STRIDE
from detection.figures import cell_name
from detection.measure import Reading
from sigmaguard.injection.card import CARD, Card, Line, sha256
from sigmaguard.injection.vocabulary import ORIGINS

LIMIT_TOKENS = 65_536
FILES = ("tokenizer.json", "glance.onnx", "encoder.onnx")


class Wishes(msgspec.Struct, frozen=True):
    """What the thresholds aim at."""

    # attacks that the encoder would catch and the glance may clear: user, document, tool
    missed: tuple[float, float, float] = (0.01, 0.025, 0.03)
    basic: tuple[float, float, float] = (0.6, 0.75, 0.85)  # user, document, tool: 95 % of harmless texts kept and more
    strict: float = 0.9  # attacks of every origin that must be caught; never above `basic`
    quiet: float = 0.01  # harmless texts of every origin that may be reported


def card(
    folder: Path,
    examples: Sequence[Example],
    readings: Sequence[Reading],
    training: Mapping[str, str | int | float | bool],
    wishes: Wishes,
) -> Card:
    """Fit calibration, gates and operating points, write them beside the weights."""
    encoder = fit([_trial(e, max(r.encoder, default=-9.0)) for e, r in zip(examples, readings, strict=True)])
    glance = fit([_trial(e, max(r.glance, default=-9.0)) for e, r in zip(examples, readings, strict=True)])
    needed = _needed(examples, readings, encoder, glance)
    gate = gates(needed, dict(zip(ORIGINS, wishes.missed, strict=True)))
    gate = {origin: round(min(value, 0.5), 6) for origin, value in gate.items()}
    scores = [cascade(e.origin, r, encoder, glance, gate)[0] for e, r in zip(examples, readings, strict=True)]
    benign = {
        o: [s for s, e in zip(scores, examples, strict=True) if e.origin == o and not e.is_attack] for o in ORIGINS
    }
    attack = {o: [s for s, e in zip(scores, examples, strict=True) if e.origin == o and e.is_attack] for o in ORIGINS}
    sharp = [min(basic, sure(attack[o], wishes.strict)) for o, basic in zip(ORIGINS, wishes.basic, strict=True)]
    points = {
        "basic": measured(dict(zip(ORIGINS, wishes.basic, strict=True)), benign, attack),
        "strict": measured(dict(zip(ORIGINS, sharp, strict=True)), benign, attack),
        "quiet": point(benign, attack, wishes.quiet),
    }
    digests = {name: sha256(folder / name) for name in FILES}
    version = digests["encoder.onnx"][:8] + digests["glance.onnx"][:4]
    found = Card(
        version=version, window=BODY, stride=STRIDE, limit_tokens=LIMIT_TOKENS, glance=glance, encoder=encoder,
        gate=gate, points=points, sha256=digests, training=dict(training),
    )  # fmt: skip
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    return found


def cascade(
    origin: str, reading: Reading, encoder: Mapping[str, Line], glance: Mapping[str, Line], gate: Mapping[str, float]
) -> tuple[float, bool]:
    """The score the runtime would give, and whether any window went to the second tier."""
    worst, used = 0.0, False
    for first, second in zip(reading.glance, reading.encoder, strict=True):
        probability = glance[origin].probability(first)
        if probability >= gate[origin]:
            probability, used = encoder[origin].probability(second), True
        worst = max(worst, probability)
    return worst, used


def _trial(example: Example, logit: float) -> Trial:
    return Trial(logit, example.is_attack, example.origin, cell_name(example))


def _needed(
    examples: Sequence[Example], readings: Sequence[Reading], encoder: Mapping[str, Line], glance: Mapping[str, Line]
) -> dict[str, list[float]]:
    """Of every attack that the encoder catches, what the glance says of the window it is caught in."""
    out: dict[str, list[float]] = {origin: [] for origin in ORIGINS}
    for example, reading in zip(examples, readings, strict=True):
        if not example.is_attack:
            continue
        origin = example.origin
        seen = [
            glance[origin].probability(first)
            for first, second in zip(reading.glance, reading.encoder, strict=True)
            if encoder[origin].probability(second) >= 0.5
        ]
        if seen:
            out[origin].append(max(seen))
    return out
