"""OpenAI responses: `/v1/responses`, whole requests and answers."""

from sigmaguard.model import Origin, Segment
from sigmaguard.wire.codec import Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_responses_items import collect_item, collect_response
from sigmaguard.wire.openai_responses_stream import ResponsesStream
from sigmaguard.wire.openai_shared import as_object, error_body, model_of, streams, usage_of

_REQUEST = frozenset(
    {"model", "input", "instructions", "tools", "text", "tool_choice", "prompt", "stream", "stream_options"}
)


class ResponsesCodec:
    """Requests, answers and streams of responses."""

    protocol = "openai.responses"
    endpoint = "/v1/responses"

    def decode_request(self, body: object) -> list[Segment]:
        """Instructions, input as text or items, tools, formats, and every field nobody knows."""
        given = as_object(body)
        collector = Collector(is_request=True)
        collector.text("/instructions", given.get("instructions"), Origin.SYSTEM, "system", "/instructions")
        source = given.get("input")
        if isinstance(source, list):
            for at, item in enumerate(source):
                collect_item(collector, f"/input/{at}", item, Origin.USER)
        else:
            collector.text("/input", source, Origin.USER, "user", "/input")
        for key in ("tools", "text", "tool_choice", "stream_options"):
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        if "prompt" in given:
            collector.walk("/prompt", given["prompt"], Origin.USER)
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """Every output item, and what the answer repeats of the request."""
        collector = Collector()
        collect_response(collector, "", as_object(body))
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return ResponsesStream()

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
