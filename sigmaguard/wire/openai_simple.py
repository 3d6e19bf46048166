"""OpenAI's endpoints whose text is a field or two: completions, embeddings, moderations, images, audio, models."""

from collections.abc import Mapping

from sigmaguard.model import Origin, Segment
from sigmaguard.wire.codec import Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import OPAQUE_KEYS, Collector
from sigmaguard.wire.form_head import bad
from sigmaguard.wire.multipart import Form
from sigmaguard.wire.opaque import is_word
from sigmaguard.wire.openai_shared import as_object, collect_error, error_body, model_of, streams, usage_of
from sigmaguard.wire.openai_text_stream import TextStream

_OPAQUE_FIELDS = OPAQUE_KEYS | {"language", "timestamp_granularities[]"}


class SimpleCodec:
    """An endpoint told by a table: which request fields hold whose text; answers are the model's."""

    def __init__(self, protocol: str, endpoint: str, fields: Mapping[str, Origin], answer: Origin) -> None:
        self.protocol = protocol
        self.endpoint = endpoint
        self._fields = dict(fields)
        self._answer = answer

    def decode_request(self, body: object) -> list[Segment]:
        """The table's fields, and every field nobody knows."""
        given = as_object(body)
        collector = Collector(is_request=True)
        for key, origin in self._fields.items():
            if key in given:
                collector.walk(f"/{key}", given[key], origin)
        collector.rest(given, frozenset(self._fields) | {"model", "stream"})
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """Every string of the answer; vectors hold none and cost nothing."""
        collector = Collector()
        if not isinstance(body, dict):
            collector.walk("", body, self._answer)
            return collector.segments
        known = frozenset({"usage", "error"})
        if self.protocol == "openai.embeddings":
            known |= {"data"}
        collector.rest(body, known, self._answer)
        collect_error(collector, body)
        return collector.segments

    def decode_form(self, form: Form) -> list[Segment]:
        """The text fields and file names of a multipart form. Raises WireError where it names two models."""
        if sum(part.name == "model" for part in form.parts) > 1:
            raise bad("the form holds `model` twice; servers differ in which one counts")
        segments: list[Segment] = []
        for part in form.parts:
            # prose under a name that holds identifiers and enums is text all the same
            if part.text and not (part.name in _OPAQUE_FIELDS and is_word(part.text)):
                segments.append(Segment(part.path, self._fields.get(part.name, Origin.USER), part.text, "user"))
            if part.filename:
                segments.append(Segment(part.path + "~filename", Origin.DOCUMENT, part.filename, "user"))
        return segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return TextStream(self._answer)

    def refusal_body(self, refusal: Refusal) -> bytes:
        """OpenAI's error shape."""
        return error_body(refusal)

    def model(self, body: object) -> str:
        """The model asked for."""
        return model_of(body)

    def wants_stream(self, body: object) -> bool:
        """Whether `stream` is true."""
        return streams(body)

    def usage(self, body: object) -> Usage:
        """Token counts."""
        return usage_of(body)
