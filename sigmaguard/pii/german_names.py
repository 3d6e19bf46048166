"""German names through our own tagger, behind Presidio's recognizer interface. Knows no policy."""

from collections.abc import Sequence

from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult

from sigmaguard.pii.tagger import Name, Tagger


class GermanNames(LocalRecognizer):
    """People, places and organisations in German. No German model is to be had where Presidio looks for one."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["PERSON", "LOCATION", "ORGANIZATION"], supported_language="de")
        self._tagger = Tagger()
        self.model_version = self._tagger.version
        self.many(["Anna Schmidt wohnt in Berlin."])

    def load(self) -> None:
        """Loading is done when the model is."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
        """Presidio's interface to the same."""
        return [
            RecognizerResult(label, start, end, score, AnalysisExplanation("GermanNames", score))
            for start, end, label, score in self._tagger.names(text)
        ]

    def many(self, texts: Sequence[str]) -> list[list[Name]]:
        """The names in each text, in order."""
        return [self._tagger.names(text) for text in texts]
