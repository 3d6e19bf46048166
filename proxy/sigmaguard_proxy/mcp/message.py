"""JSON-RPC 2.0 messages as MCP sends them. Knows their kinds and ids, no method's meaning."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from sigmaguard.errors import WireError
from sigmaguard.wire.body import parse_body

BLOCKED = -32090  # of the range JSON-RPC leaves to implementations; no MCP revision uses it
UPSTREAM = -32091  # the server could not be reached, broke off, flooded or hung
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020  # MCP 2026-07-28
BATCH = 100  # messages in one batch (MCP 2025-03-26)

LISTEN = "subscriptions/listen"  # MCP 2026-07-28; its answer may be silent for as long as it likes
PAGES = 20  # of one list; a server with more is leading us in circles

MODERN = frozenset({"2026-07-28"})  # revisions without handshake and session

Id = str | int | float | None


class Kind(StrEnum):
    """What a message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESULT = "result"
    ERROR = "error"


class Message(msgspec.Struct, frozen=True):
    """One message; `body` is the parsed object and may be edited in place. `id` is None for notifications."""

    kind: Kind
    id: Id
    method: str
    body: dict[str, Any]

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters, empty where there are none."""
        params = self.body.get("params")
        return params if isinstance(params, dict) else {}

    @property
    def is_answer(self) -> bool:
        """Whether it answers a request."""
        return self.kind in (Kind.RESULT, Kind.ERROR)

    @property
    def progress_token(self) -> Id:
        """The token that progress notifications of this request carry."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if isinstance(token, str | int) else None


def parse_messages(raw: bytes) -> tuple[list[Message], bool]:
    """The messages of a body, and whether it was a batch. Raises WireError."""
    body = parse_body(raw)
    if isinstance(body, list):
        if not body or len(body) > BATCH:
            raise WireError("bad_batch", f"a batch holds 1 to {BATCH} messages")
        return [message_of(one) for one in body], True
    return [message_of(body)], False


def message_of(body: object) -> Message:
    """A parsed value as a message. Raises WireError where it is none."""
    if not isinstance(body, dict):
        raise WireError("not_an_object", "a JSON-RPC message is an object")
    method, number = body.get("method"), body.get("id")
    if isinstance(number, bool) or not isinstance(number, str | int | float | None):
        raise WireError("bad_id", "a JSON-RPC id is a string or a number")
    if isinstance(method, str):
        if "result" in body or "error" in body:
            raise WireError("ambiguous", "a JSON-RPC message is a request or an answer, not both")
        return Message(Kind.REQUEST if "id" in body else Kind.NOTIFICATION, number, method, body)
    if "method" in body:
        raise WireError("bad_method", "a JSON-RPC method is a string")
    if ("result" in body) == ("error" in body):
        raise WireError("not_json_rpc", "a JSON-RPC message has a method, a result or an error")
    return Message(Kind.RESULT if "result" in body else Kind.ERROR, number, "", body)


def error_message(number: Id, code: int, message: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An error answer."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data:
        error["data"] = dict(data)
    return {"jsonrpc": "2.0", "id": number, "error": error}


def encode(body: object) -> bytes:
    """A message as bytes, without line breaks."""
    return orjson.dumps(body)


def sse_event(body: object, event_id: str = "") -> bytes:
    """A message as one server-sent event."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"event: message\n{head}data: ".encode() + orjson.dumps(body) + b"\n\n"
