"""OpenAI chat completions: `/v1/chat/completions`, whole requests and answers."""

import re
from typing import Any

from sigmaguard.model import Origin, Segment
from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Refusal, StreamCodec, Usage
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.openai_chat_stream import ChatStream
from sigmaguard.wire.openai_shared import (
    ORIGIN_OF_ROLE,
    as_object,
    collect_error,
    error_body,
    model_of,
    streams,
    usage_of,
)

_DEFINITIONS = ("tools", "functions", "response_format", "tool_choice", "function_call", "web_search_options")
_REQUEST = frozenset({"model", "messages", "prediction", "stream", "stream_options", "logit_bias", *_DEFINITIONS})
_ANSWER = frozenset({"id", "object", "model", "created", "choices", "error"})
_CHOICE = frozenset({"message", "index", "finish_reason", "logprobs"})
_TOKEN_ID = re.compile(r"[0-9]{1,7}\Z")  # of vocabularies under ten million tokens
_NUMBERS = (int, float)
# Where the messages of nearly every body stand, with their contents
_PLACES = tuple((f"/messages/{at}", f"/messages/{at}/content") for at in range(512))


class ChatCodec:
    """Requests, answers and streams of chat completions."""

    protocol = "openai.chat"
    endpoint = "/v1/chat/completions"

    def decode_request(self, body: object) -> list[Segment]:
        """Messages, tool definitions, schemas, predictions, and every field nobody knows."""
        given = as_object(body)
        collector = Collector(is_request=True)
        messages = given.get("messages")
        if isinstance(messages, list):
            _collect_messages(collector, messages)
        elif messages is not None:
            collector.walk("/messages", messages, Origin.USER)
        for key in _DEFINITIONS:
            if key in given:
                collector.walk(f"/{key}", given[key], Origin.TOOL_DEFINITION)
        if "prediction" in given:
            collector.walk("/prediction", given["prediction"], Origin.ASSISTANT, "assistant")
        if "stream_options" in given:
            collector.walk("/stream_options", given["stream_options"], Origin.DOCUMENT)
        if "logit_bias" in given:
            _collect_bias(collector, given["logit_bias"])
        collector.rest(given, _REQUEST)
        return collector.segments

    def decode_response(self, body: object) -> list[Segment]:
        """All choices, with their tool calls, reasoning, refusals and annotations.

        Log-probabilities repeat the text token by token: opaque, and taken out where the text is edited.
        """
        answer = as_object(body)
        collector = Collector()
        choices = answer.get("choices")
        if not isinstance(choices, list):
            collector.walk("/choices", choices, Origin.ASSISTANT, "assistant")
            choices = []
        for at, choice in enumerate(choices):
            if not isinstance(choice, dict):
                collector.walk(f"/choices/{at}", choice, Origin.ASSISTANT, "assistant")
                continue
            if "message" in choice:
                collect_message(collector, f"/choices/{at}/message", choice["message"], Origin.ASSISTANT)
            for key, value in choice.items():
                if key not in _CHOICE:
                    collector.walk(f"/choices/{at}", {key: value}, Origin.ASSISTANT, "assistant")
        collector.rest(answer, _ANSWER, Origin.ASSISTANT)
        collect_error(collector, answer)
        return collector.segments

    def stream(self) -> StreamCodec:
        """A codec for one stream."""
        return ChatStream()

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


def _collect_bias(collector: Collector, bias: Any) -> None:
    """Token biases: all but numbers under token ids, which are too many to look at each."""
    if isinstance(bias, dict):
        bias = {key: value for key, value in bias.items() if not _TOKEN_ID.match(key) or type(value) not in _NUMBERS}
    collector.walk("/logit_bias", bias, Origin.DOCUMENT)


def _collect_messages(collector: Collector, messages: list[Any]) -> None:
    """Every message; those of a role and a text alone, as most are, without a call each."""
    add = collector.segments.append
    for at, message in enumerate(messages):
        if at < len(_PLACES) and type(message) is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if type(content) is str and content and type(role) is str and role in ORIGIN_OF_ROLE:
                path, place = _PLACES[at]
                add(Segment(place, ORIGIN_OF_ROLE[role], content, role, path))
                continue
        collect_message(collector, f"/messages/{at}", message, Origin.USER)


def collect_message(collector: Collector, path: str, message: Any, default: Origin) -> None:
    """One message: its content, tool calls, and whatever else it carries."""
    if not isinstance(message, dict):
        collector.text(path, message, default)
        return
    role = message.get("role")
    role = role if isinstance(role, str) else ""
    origin = ORIGIN_OF_ROLE.get(role, default)
    content = message.get("content")
    if type(content) is str:
        if content:
            collector.segments.append(Segment(path + "/content", origin, content, role, path))
    elif content is not None:
        collector.walk(path + "/content", content, origin, role, path)
    if len(message) == 2 and content is not None and role in ORIGIN_OF_ROLE:
        return
    for key, value in message.items():
        place = f"{path}/{pointer.escape(key)}"
        if key == "tool_calls" and isinstance(value, list):
            for at, call in enumerate(value):
                collect_call(collector, f"{place}/{at}", call, role, path)
        elif key == "function_call":
            collect_function(collector, place, value, role, path)
        elif key == "content" or value is None:
            continue
        else:
            collector.walk(path, {key: value}, origin, role, path)


def collect_call(collector: Collector, path: str, call: Any, role: str, message: str) -> None:
    """One tool call: name and arguments."""
    if not isinstance(call, dict):
        collector.text(path, call, Origin.TOOL_CALL, role, message)
        return
    for key, value in call.items():
        place = f"{path}/{pointer.escape(key)}"
        if key in ("function", "custom"):
            collect_function(collector, place, value, role, message)
        else:
            collector.walk(path, {key: value}, Origin.TOOL_CALL, role, message)


def collect_function(collector: Collector, path: str, function: Any, role: str, message: str) -> None:
    """A called function: its name, its arguments as JSON source, or a custom tool's input."""
    if not isinstance(function, dict):
        collector.text(path, function, Origin.TOOL_CALL, role, message)
        return
    for key, value in function.items():
        if key == "arguments":
            collector.json_text(path + "/arguments", value, Origin.TOOL_CALL, role, message)
        else:
            collector.walk(path, {key: value}, Origin.TOOL_CALL, role, message, frozenset())
