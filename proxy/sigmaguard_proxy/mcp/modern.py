"""What an HTTP server must refuse at 2026-07-28, which a program behind stdio cannot see. Knows headers, no transport.

Sources: MCP 2026-07-28, "Streamable HTTP" (SEP-2575, SEP-2243). `Mcp-Param-*` headers take the tool's schema: those
of a program's tools are known to `params.py`.
"""

from collections.abc import Mapping
from typing import Any

from sigmaguard_proxy.mcp.headers import decode_value
from sigmaguard_proxy.mcp.message import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MODERN,
    Kind,
    Message,
    error_message,
)

MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
# Errors that are the HTTP answer's status, too; any other error of a tool server comes with 200
STATUS: Mapping[int, int] = {
    METHOD_NOT_FOUND: 404,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
REMOVED = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"},
)
_VERSION = "io.modelcontextprotocol/protocolVersion"
_NEEDED = (_VERSION, "io.modelcontextprotocol/clientCapabilities")
ENVELOPE = frozenset({*_NEEDED, "io.modelcontextprotocol/clientInfo"})  # what every request says of its client
_NAMES: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def refused_request(headers: Mapping[str, str], message: Message) -> tuple[int, dict[str, Any]] | None:
    """The status and error that a request is refused with; None where there is nothing to say against it.

    Requests of older revisions, which name none in their body, pass.
    """
    if message.kind is not Kind.REQUEST:
        return None
    found = _wrong(headers, message)
    if found is None:
        return None
    code, text, data = found
    return STATUS[code], error_message(message.id, code, text, data)


def _wrong(headers: Mapping[str, str], message: Message) -> tuple[int, str, Mapping[str, Any] | None] | None:
    said = headers.get("Mcp-Protocol-Version", "").strip()
    meta = message.params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    version = meta.get(_VERSION)
    if said not in MODERN and version is None:
        return None
    if version is not None and said and said != version:
        return HEADER_MISMATCH, "Mcp-Protocol-Version names another revision than the message", None
    missing = [key for key in _NEEDED if key not in meta]
    if missing:
        return INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}", None
    if version not in MODERN:
        data = {"supported": sorted(MODERN), "requested": str(version)}
        return UNSUPPORTED_VERSION, "this server does not speak that revision", data
    if message.method in REMOVED:
        return METHOD_NOT_FOUND, f"{version} has no `{message.method}`", None
    return _mismatch(headers, message)


def _mismatch(headers: Mapping[str, str], message: Message) -> tuple[int, str, None] | None:
    if headers.get("Mcp-Method", "").strip() != message.method:
        return HEADER_MISMATCH, "Mcp-Method does not name the message's method", None
    field = _NAMES.get(message.method)
    if field is not None:
        name = headers.get("Mcp-Name")
        if name is None or decode_value(name.strip()) != message.params.get(field):
            return HEADER_MISMATCH, f"Mcp-Name does not name the message's `{field}`", None
    return None
