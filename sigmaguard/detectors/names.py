"""The `names` detector: people, places and organisations, by the model of each text's language."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Protocol

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding
from sigmaguard.pii.language import language
from sigmaguard.pii.plausible import plausible
from sigmaguard.pii.source import as_prose, source_reading
from sigmaguard.pii.tagger import Name
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule
from sigmaguard.reading import Reading

VERSION = "1"
TAGS = ("LLM02:2025",)  # OWASP LLM 2025: sensitive information disclosure
ENTITIES = ("PERSON", "LOCATION", "ORGANIZATION")
LANGUAGES = ("en", "de")


class Model(Protocol):
    """Finds names in texts of one language; `model_version` tells its weights apart."""

    model_version: str

    def many(self, texts: Sequence[str]) -> list[list[Name]]:
        """The names in each text, in order."""
        ...


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pack may set: the `entities` to report, and the `languages` to load models for; the first
    is used where a text does not tell its language."""

    entities: tuple[str, ...] = ("PERSON", "LOCATION", "ORGANIZATION")
    languages: tuple[str, ...] = LANGUAGES


class NamesDetector:
    """Names in running text. It has no `hold`: a name is judged by the whole text around it."""

    name = "names"
    cost = Cost.POOLED

    def __init__(self, options: Options, models: Mapping[str, Model]) -> None:
        self._entities = frozenset(options.entities)
        self._models = dict(models)
        self._fallback = options.languages[0]
        weights = ",".join(model.model_version for model in models.values())
        self.version = f"{VERSION}/{version('spacy')}/{weights}/{msgspec.json.encode(options).hex()}"

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order; the texts of one language as one batch."""
        found: list[list[Finding]] = [[] for _ in passages]
        readings = [source_reading(passage) for passage in passages]
        rows: dict[str, list[int]] = {}
        for at, reading in enumerate(readings):
            rows.setdefault(self._language(reading.text), []).append(at)
        for which, chosen in rows.items():
            many = self._models[which].many([as_prose(readings[at].text) for at in chosen])
            for at, names in zip(chosen, many, strict=True):
                found[at] = self._findings(readings[at], names)
        return found

    def _language(self, text: str) -> str:
        which = language(text)
        return which if which in self._models else self._fallback

    def _findings(self, reading: Reading, names: Sequence[Name]) -> list[Finding]:
        judged = (plausible(reading.text, name) for name in names)
        kept = [good for good in judged if good and good[2] in self._entities]
        return [
            Finding(f"pii.{label.lower()}", "names", *reading.source(start, end), score, entity=label, tags=TAGS)
            for start, end, label, score in kept
        ]


def build(options: dict[str, object], rules: Sequence[Rule]) -> NamesDetector:
    """The detector a pack asks for; loads a model a language. Raises ConfigError."""
    if rules:
        raise ConfigError("`names` takes no rules: list known names in a `dictionary`")
    chosen = convert(options, Options, "options")
    for one in chosen.entities:
        if one not in ENTITIES:
            raise ConfigError(f"options.entities: no entity `{one}`; there are {', '.join(ENTITIES)}")
    if not chosen.languages or any(one not in LANGUAGES for one in chosen.languages):
        raise ConfigError(f"options.languages: one or more of {', '.join(LANGUAGES)}")
    return NamesDetector(chosen, {which: _load(which) for which in chosen.languages})


def _load(which: str) -> Model:
    if which == "de":
        from sigmaguard.pii.german_names import GermanNames  # noqa: PLC0415

        return GermanNames()
    from sigmaguard.pii.english_names import EnglishNames  # noqa: PLC0415

    return EnglishNames()
