"""What OpenAI's endpoints share: roles, errors, usage."""

from typing import Any

import orjson

from sigmaguard.errors import WireError
from sigmaguard.model import Origin
from sigmaguard.wire.codec import Refusal, Usage
from sigmaguard.wire.fields import Collector

ORIGIN_OF_ROLE = {
    "system": Origin.SYSTEM,
    "developer": Origin.SYSTEM,
    "user": Origin.USER,
    "assistant": Origin.ASSISTANT,
    "tool": Origin.TOOL_RESULT,
    "function": Origin.TOOL_RESULT,
}


def as_object(body: object) -> dict[str, Any]:
    """A body that must be a JSON object. Raises WireError."""
    if not isinstance(body, dict):
        raise WireError("not_an_object", "the body must be a JSON object")
    return body


def error_body(refusal: Refusal) -> bytes:
    """The error shape OpenAI's SDKs raise from."""
    return orjson.dumps(
        {
            "error": {
                "message": refusal.message,
                "type": refusal.kind,
                "param": None,
                "code": refusal.code,
                "exchange": refusal.exchange,
            }
        }
    )


def usage_of(body: object) -> Usage:
    """Token counts by either of OpenAI's two spellings."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict) and isinstance(body, dict) and isinstance(body.get("response"), dict):
        usage = body["response"].get("usage")
    if not isinstance(usage, dict):
        return Usage()
    given = usage.get("prompt_tokens", usage.get("input_tokens", -1))
    made = usage.get("completion_tokens", usage.get("output_tokens", -1))
    return Usage(given if type(given) is int else -1, made if type(made) is int else -1)


def model_of(body: object) -> str:
    """The `model` field where it is a string."""
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else ""


def streams(body: object) -> bool:
    """Whether `stream` is true."""
    return isinstance(body, dict) and body.get("stream") is True


def parse_event(data: bytes) -> dict[str, Any]:
    """The JSON object of a server-sent event. Raises WireError where it is none."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError("not_json", "an event of the stream is not JSON") from error
    if not isinstance(body, dict):
        raise WireError("not_an_object", "an event of the stream is not a JSON object")
    return body


def number_of(value: Any, default: int) -> int:
    """An index where it is one, else the position it stands at."""
    return value if type(value) is int and value >= 0 else default


def collect_error(collector: Collector, body: dict[str, Any]) -> None:
    """An upstream's error is text from outside too."""
    error = body.get("error")
    if isinstance(error, (dict, str, list)):
        collector.walk("/error", error, Origin.DOCUMENT)
