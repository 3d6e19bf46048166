"""What Anthropic's endpoints share: errors and usage."""

import orjson

from sigmaguard.wire.codec import Refusal, Usage

_KIND_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def error_body(refusal: Refusal) -> bytes:
    """The error shape Anthropic's SDKs raise from; a verdict keeps its own type."""
    kind = refusal.kind
    if not kind.startswith("sigmaguard"):
        kind = _KIND_OF_STATUS.get(refusal.status, "api_error")
    error = {"type": kind, "message": refusal.message, "code": refusal.code, "exchange": refusal.exchange}
    return orjson.dumps({"type": "error", "error": error, "request_id": refusal.exchange})


def usage_of(body: object) -> Usage:
    """Token counts of a message, a `message_start` or a `message_delta`."""
    if not isinstance(body, dict):
        return Usage()
    usage = body.get("usage")
    if usage is None and isinstance(body.get("message"), dict):
        usage = body["message"].get("usage")
    if not isinstance(usage, dict):
        return Usage()
    given, made = usage.get("input_tokens", -1), usage.get("output_tokens", -1)
    return Usage(given if type(given) is int else -1, made if type(made) is int else -1)
