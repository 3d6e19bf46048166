"""How a refusal looks in MCP. Knows the shapes, decides nothing.

A blocked tool call is a result with `isError`, not a JSON-RPC error: clients hand such a result to the model,
which can tell its user and go on with the rest of its task, while they raise a JSON-RPC error through the
agent's loop and end it (MCP, "Error handling" of tools, says the same of tools' own failures). Everything else
is a JSON-RPC error, since no other result has a place for one.
"""

from typing import Any

from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.mcp.message import BLOCKED, UPSTREAM, Id, error_message


def refusal_message(refusal: Refusal, number: Id, method: str) -> dict[str, Any]:
    """The answer to a request that is refused."""
    if method == "tools/call":
        return {"jsonrpc": "2.0", "id": number, "result": _call_result(refusal)}
    code = UPSTREAM if refusal.kind == "api_error" else BLOCKED
    return error_message(number, code, refusal.message, _details(refusal))


def _call_result(refusal: Refusal) -> dict[str, Any]:
    return {
        "content": [{"type": "text", "text": refusal.message}],
        "isError": True,
        "resultType": "complete",  # asked for by 2026-07-28, ignored by older clients
        "_meta": {"sigmaguard": _details(refusal)},
    }


def _details(refusal: Refusal) -> dict[str, Any]:
    details: dict[str, Any] = {"type": refusal.kind, "code": refusal.code, "exchange": refusal.exchange}
    if refusal.retry_after_s is not None:
        details["retryAfter"] = refusal.retry_after_s
    return details
