"""OpenAI's endpoints whose text is a field or two: completions, embeddings, moderations, images, audio, models."""

from collections.abc import Mapping
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Delta, Frame, Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import as_object, collect_error, error_body, model_of, streams, usage_of


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
        collector = Collector()
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
        if self.protocol == "openai.embeddings":
            collector.rest(body, frozenset({"data", "usage", "model", "object", "error"}), self._answer)
        else:
            collector.rest(body, frozenset({"usage", "error"}), self._answer)
        collect_error(collector, body)
        return collector.segments

    def decode_multipart(self, content_type: str, raw: bytes) -> list[Segment]:
        """The text fields of a form, read only. Raises WireError where the form cannot be read."""
        form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw, policy=HTTP)
        if not form.is_multipart():
            raise WireError("bad_multipart", "the body is not the multipart form its content type names")
        segments: list[Segment] = []
        for part in form.iter_parts():
            name = part.get_param("name", header="content-disposition")
            if part.get_filename() is not None or not isinstance(name, str):
                continue
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            if name not in ("model", "response_format", "language") and text:
                origin = self._fields.get(name, Origin.USER)
                segments.append(Segment(f"/{pointer.escape(name)}", origin, text, "user"))
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


class TextStream:
    """A stream of completions (`choices[].text`) or transcripts (`delta`)."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._last: dict[str, Any] = {}
        self._open: set[str] = set()

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """One event. Raises WireError where its data is not a JSON object."""
        if not data or data == b"[DONE]":
            closes = tuple(sorted(self._open)) if data else ()
            return Frame(raw, None, event, closes=closes, ends=bool(data))
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise WireError("not_json", "an event of the stream is not JSON") from error
        if not isinstance(body, dict):
            raise WireError("not_an_object", "an event of the stream is not a JSON object")
        deltas: list[Delta] = []
        closes_now: list[str] = []
        collector = Collector()
        self._last = body
        if isinstance(body.get("delta"), str):
            deltas.append(Delta("delta", "/delta", self._origin, body["delta"]))
        choices = body.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if not isinstance(choice, dict):
                continue
            channel = f"{choice.get('index', at)}/text"
            if isinstance(choice.get("text"), str) and choice["text"]:
                deltas.append(Delta(channel, f"/choices/{at}/text", self._origin, choice["text"]))
            if choice.get("finish_reason") is not None:
                closes_now.append(channel)
            if choice.get("logprobs"):
                collector.walk(f"/choices/{at}/logprobs", choice["logprobs"], self._origin)
        ends = False
        if isinstance(body.get("text"), str):
            collector.text("/text", body["text"], self._origin)
            closes_now.append("delta")
            ends = True
        self._open.update(one.channel for one in deltas)
        self._open.difference_update(closes_now)
        collect_error(collector, body)
        return Frame(raw, body, event, tuple(deltas), tuple(collector.segments), tuple(closes_now), ends)

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The event with these strings replaced."""
        for path, text in texts.items():
            pointer.put(frame.body, path, text)
        return _event(frame.event, frame.body)

    def fragment(self, channel: str, text: str) -> bytes:
        """An event that adds text to a channel."""
        if channel == "delta":
            return _event("", {**self._last, "type": "transcript.text.delta", "delta": text, "text": None})
        index = int(channel.partition("/")[0])
        choice = {"index": index, "text": text, "finish_reason": None, "logprobs": None}
        return _event("", {**self._last, "choices": [choice]})

    def refuse(self, refusal: Refusal) -> bytes:
        """A verdict ends every choice with `content_filter`; a fault is an error event."""
        if refusal.kind != "sigmaguard_blocked" or "choices" not in self._last:
            return b"data: " + error_body(refusal) + b"\n\ndata: [DONE]\n\n"
        details = {"code": refusal.code, "message": refusal.message, "exchange": refusal.exchange}
        indexes = sorted({int(name.partition("/")[0]) for name in self._open if name != "delta"}) or [0]
        choices = [
            {"index": index, "text": "", "finish_reason": "content_filter", "logprobs": None} for index in indexes
        ]
        return _event("", {**self._last, "choices": choices, "sigmaguard": details}) + b"data: [DONE]\n\n"


def _event(name: str, body: object) -> bytes:
    head = b"event: %b\n" % name.encode() if name else b""
    return head + b"data: " + orjson.dumps(body) + b"\n\n"
