"""Endpoints nobody knows: any JSON, form or text, as texts and back. Knows what bodies look like, no protocol.

Why by looks and not by content type: many servers read JSON whatever its label says.
"""

import msgspec

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire.body import parse_body
from sigmaguard.wire.codec import Editable, Refusal, StreamCodec, Usage
from sigmaguard.wire.errors import error_body
from sigmaguard.wire.fields import may_hide
from sigmaguard.wire.generic_fields import answer_texts, is_opaque_here, request_texts
from sigmaguard.wire.generic_stream import GenericStream
from sigmaguard.wire.lines import is_lines_type
from sigmaguard.wire.locate import key_pointer
from sigmaguard.wire.multipart import Form
from sigmaguard.wire.openai_shared import model_of, streams, usage_of
from sigmaguard.wire.plain_text import PlainText, UrlForm, begins_as_json, is_mostly_text, utf8_text
from sigmaguard.wire.pointer import escape

UNKNOWN = "other"  # what records call such an endpoint: paths hold identifiers, and there is no end of them
_FORM = "application/x-www-form-urlencoded"


class Content(msgspec.Struct, frozen=True):
    """What a request's body holds. No segments: nothing in it is text. `form` where it is no JSON document."""

    segments: list[Segment]
    body: object = None
    form: Editable | None = None
    model: str = ""


class GenericCodec:
    """Any endpoint. Errors are told in OpenAI's shape, or in Anthropic's to callers that speak it."""

    protocol = "unknown"
    endpoint = UNKNOWN

    def __init__(self, *, anthropic: bool = False) -> None:
        self._anthropic = anthropic

    def read(self, raw: bytes, content_type: str) -> Content:
        """A request's body, whatever it is.

        Raises WireError for a body that servers may read otherwise than we do: a sloppy form, JSON with a key
        twice, JSON that is not UTF-8. What only is not JSON is read as text.
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            form = Form(content_type, raw)
            model = next((part.text for part in form.parts if part.name == "model"), "")
            return Content(self.decode_form(form), form=form, model=model)
        if kind == _FORM and not begins_as_json(raw):
            fields = UrlForm(raw)
            return Content(_field_texts(fields), form=fields)
        is_named = "json" in kind and not is_lines_type(kind)
        if is_named or begins_as_json(raw):
            try:
                body = parse_body(raw)
                return Content(self.decode_request(body), body, model=self.model(body))
            except WireError as error:
                if error.kind != "not_json":  # lines of JSON, JSON with comments or NaN: text, and read as such
                    raise
        return _text_content(raw, is_text=kind.startswith("text/"))

    def decode_request(self, body: object) -> list[Segment]:
        """Every text of a JSON body: the user's, but where a role or a plain name says otherwise."""
        return request_texts(body)

    def decode_response(self, body: object) -> list[Segment]:
        """Every text of a JSON answer, as the model's."""
        return answer_texts(body)

    def decode_form(self, form: Form) -> list[Segment]:
        """The fields of a multipart form, the names of its files and those of its files that are text."""
        segments: list[Segment] = []
        for part in form.parts:
            if part.text and not is_opaque_here(part.name, part.text, {}):
                segments.append(Segment(part.path, Origin.USER, part.text, "user"))
            if part.filename:
                segments.append(Segment(part.path + "~filename", Origin.DOCUMENT, part.filename, "user"))
                text = form.file_text(part)
                if text:
                    segments.append(Segment(part.path, Origin.DOCUMENT, text, "user", is_json=_is_source(text)))
            if may_hide(part.name):
                segments.append(Segment(key_pointer(f"/{escape(part.name)}"), Origin.USER, part.name, "user"))
        return segments

    def stream(self) -> StreamCodec:
        """A codec for server-sent events."""
        return GenericStream(anthropic=self._anthropic)

    def line_stream(self) -> StreamCodec:
        """A codec for newline-delimited JSON."""
        return GenericStream(is_lines=True, anthropic=self._anthropic)

    def refusal_body(self, refusal: Refusal) -> bytes:
        """The error in the shape that the caller seems to speak."""
        return error_body(refusal, anthropic=self._anthropic)

    def model(self, body: object) -> str:
        """The model asked for."""
        return model_of(body)

    def wants_stream(self, body: object) -> bool:
        """Whether `stream` is true."""
        return streams(body)

    def usage(self, body: object) -> Usage:
        """Token counts where they are spelt as OpenAI does."""
        return usage_of(body)


def _text_content(raw: bytes, *, is_text: bool) -> Content:
    text = utf8_text(raw)
    if not text and not is_text and not is_mostly_text(raw):
        return Content([])
    form = PlainText(raw) if text else PlainText(raw, "latin-1")
    return Content([Segment("", Origin.USER, form.text, "user", is_json=_is_source(form.text))], form=form)


def _is_source(text: str) -> bool:
    """Whether a text is JSON's source, or lines of it: edits must leave it so."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def _field_texts(form: UrlForm) -> list[Segment]:
    segments: list[Segment] = []
    for at, (name, value) in enumerate(form.fields):
        if value and not is_opaque_here(name, value, {}):
            segments.append(Segment(f"/{at}", Origin.USER, value, "user"))
        if may_hide(name):
            segments.append(Segment(key_pointer(f"/{at}"), Origin.USER, name, "user"))
    return segments
