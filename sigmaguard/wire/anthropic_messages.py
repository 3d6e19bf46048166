"""Anthropic messages: `/v1/messages` and `/v1/messages/count_tokens`, whole requests and answers."""

from sigmaguard.model import Origin, Segment
from sigmaguard.wire import anthropic_shared
from sigmaguard.wire.anthropic_blocks import collect_block, collect_message
from sigmaguard.wire.anthropic_stream import MessagesStream
from sigmaguard.wire.codec import Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_shared import as_object, collect_error, model_of, streams

_REQUEST = frozenset({"model", "messages", "system", "tools", "tool_choice", "stream", "thinking"})
_ANSWER = frozenset({"id", "type", "role", "model", "content", "stop_reason", "error"})


class MessagesCodec:
    """Requests, answers and streams of messages."""

    protocol = "anthropic.messages"

    def __init__(self, endpoint: str = "/v1/messages") -> None:
        self.endpoint = endpoint

    def decode_request(self, body: object) -> list[Segment]:
        """System prompt, messages with all their blocks, tools, and every field nobody knows."""
        given = as_object(body)
        collector = Collector(is_request=True)
        system = given.get("system")
        if isinstance(system, str):
            collector.text("/system", system, Origin.SYSTEM, "system", "/system")
        elif system is not None:
            collector.walk("/system", system, Origin.SYSTEM, "system", "/system")
        messages = given.get("messages")
        if isinstance(messages, list):
            for at, message in enumerate(messages):
                collect_message(collector, f"/messages/{at}", message)
        elif messages is not None:
            collector.walk("/messages", messages, Origin.USER)
        for key in ("tools", "tool_choice", "thinking"):
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """Every block of the answer, thinking and tool input included."""
        answer = as_object(body)
        collector = Collector()
        content = answer.get("content")
        if isinstance(content, list):
            for at, block in enumerate(content):
                collect_block(collector, f"/content/{at}", block, Origin.ASSISTANT, "assistant", "")
        elif content is not None:
            collector.walk("/content", content, Origin.ASSISTANT, "assistant")
        collector.rest(answer, _ANSWER, Origin.ASSISTANT)
        collect_error(collector, answer)
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return MessagesStream()

    def refusal_body(self, refusal: Refusal) -> bytes:
        """Anthropic's error shape."""
        return anthropic_shared.error_body(refusal)

    def model(self, body: object) -> str:
        """The model asked for."""
        return model_of(body)

    def wants_stream(self, body: object) -> bool:
        """Whether `stream` is true."""
        return streams(body)

    def usage(self, body: object) -> Usage:
        """Token counts."""
        return anthropic_shared.usage_of(body)
