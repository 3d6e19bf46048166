"""Adapts a model to the engine's detector protocol; knows operating points, not packs, pools or modes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.injection.card import CARD
from sigmaguard.injection.external import ExternalModel
from sigmaguard.injection.model import InjectionModel, Score
from sigmaguard.injection.opaque import blanked
from sigmaguard.model import Finding
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule
from sigmaguard.reading import Reading

NAME = "injection"
RULE = "injection.model"
UNREAD = "limit.injection_unread"
TAGS = ("OWASP-LLM01:2025", "AML.T0051")
# Readings of the engine that the model does not need: it folds characters itself.
OWN_FOLD = frozenset({"folded"})
QUICK_CHARS = 2_000  # the first tier reads these in 0.9 ms; longer texts would hold up the loop


class Scorer(Protocol):
    """What the detector needs of a model: the packaged cascade or a classifier from outside."""

    @property
    def version(self) -> str:
        """Changes when answers could."""
        ...

    def threshold(self, point: str, origin: str) -> float:
        """The score at which a named operating point reports. Raises ConfigError if there is no such point."""
        ...

    def score(self, texts: Sequence[str], origins: Sequence[str]) -> list[Score]:
        """Score each text under its origin."""
        ...

    def glance(self, text: str, origin: str) -> Score | None:
        """The score of a text that needs less than a millisecond, None of one that needs more."""
        ...


def _read(passage: Passage) -> list[Reading]:
    return [each for each in passage.readings if each.kind not in OWN_FOLD]


def _shown(readings: Sequence[Reading]) -> list[str]:
    """What the model is shown of each reading."""
    are_apart = any("spaced" in each.kind for each in readings)
    return [blanked(each.text, letters_apart=are_apart) for each in readings]


Threads = Annotated[int, msgspec.Meta(ge=1, le=256)]  # of one inspection; 0 would let ONNX Runtime take every core


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack's `options` for this detector.

    `operating_point` names a point of the model; scores are shifted so that the point lies at 0.5,
    whatever the origin, and a pack's `threshold: 0.5` means that point. `model` is a folder with
    other weights: one of ours (`model.json`) or a Hugging Face sequence classifier in ONNX.
    """

    operating_point: str = "basic"
    model: str = ""
    threads: Threads = 1


class InjectionDetector:
    """Reports the score of each passage's worst window, however low: the policy's threshold decides."""

    name = NAME
    cost = Cost.POOLED
    quick_chars = QUICK_CHARS

    def __init__(self, scorer: Scorer, point: str) -> None:
        self._scorer = scorer
        self._point = point
        self.version = f"{scorer.version}/{point}/2"
        # windows by tier since the start, for metrics; threads may lose a count, which no one bills by
        self.windows_read = {"glance": 0, "encoder": 0}
        scorer.threshold(point, "user")  # an unknown point is an error now, not at the first exchange

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Score every reading of every passage; the worst reading speaks for the passage."""
        found: list[list[Finding]] = []
        for passage in passages:
            readings = _read(passage)
            origins = [passage.segment.origin.value] * len(readings)
            scores = self._scorer.score(_shown(readings), origins)
            found.append(self._counted(passage, readings, scores))
        return found

    def quick(self, passages: Sequence[Passage]) -> list[list[Finding] | None]:
        """What the first tier alone answers; None for a passage that the second must look at."""
        return [self._glance(passage) for passage in passages]

    def _glance(self, passage: Passage) -> list[Finding] | None:
        readings, origin = _read(passage), passage.segment.origin.value
        scores: list[Score] = []
        for text in _shown(readings):
            score = self._scorer.glance(text, origin)
            if score is None:
                return None
            scores.append(score)
        return self._counted(passage, readings, scores)

    def _counted(self, passage: Passage, readings: Sequence[Reading], scores: Sequence[Score]) -> list[Finding]:
        self.windows_read["glance"] += sum(score.windows for score in scores)
        self.windows_read["encoder"] += sum(score.encoded for score in scores)
        return list(self._findings(passage, readings, scores))

    def _findings(self, passage: Passage, readings: Sequence[Reading], scores: Sequence[Score]) -> Iterator[Finding]:
        if not readings or not passage.segment.text:
            return
        threshold = self._scorer.threshold(self._point, passage.segment.origin.value)
        place = max(range(len(scores)), key=lambda index: (scores[index].score, -index))
        worst, reading = scores[place], readings[place]
        start, end = reading.source(worst.start, worst.end)
        yield Finding(RULE, NAME, start, end, shifted(worst.score, threshold), view=reading.kind, tags=TAGS)
        if any(score.truncated for score in scores):
            length = len(passage.segment.text)
            yield Finding(UNREAD, NAME, 0, length, 1.0, tags=TAGS[:1])


def shifted(score: float, threshold: float) -> float:
    """Move a probability in log odds so that `threshold` becomes one half; order is kept."""
    if threshold == 0.5:
        return score
    odds = _log_odds(score) - _log_odds(threshold)
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, odds))))


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(clipped / (1 - clipped))


def build(options: dict[str, object], rules: Sequence[Rule]) -> InjectionDetector:
    """Load the model a pack asks for. Raises ConfigError for unknown options, points or unusable folders."""
    if rules:
        raise ConfigError("the injection detector takes no rules")
    chosen = convert(options, Options, "options")
    return InjectionDetector(_scorer(chosen), chosen.operating_point)


def _scorer(options: Options) -> Scorer:
    if not options.model:
        return InjectionModel.load(threads=options.threads)
    folder = Path(options.model)
    if (folder / CARD).exists():
        return InjectionModel.load(folder, threads=options.threads)
    return ExternalModel.load(folder, threads=options.threads)
