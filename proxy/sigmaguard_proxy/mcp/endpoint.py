"""One declared server: its transport, guard and sessions; and what exchanges with it are called in records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sigmaguard.wire.codec import Refusal, Usage
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.mcp.guard import Guard
from sigmaguard_proxy.mcp.message import Kind, Message, encode
from sigmaguard_proxy.mcp.refuse import refusal_message
from sigmaguard_proxy.mcp.sessions import Sessions
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.mcp.upstream import Server
from sigmaguard_proxy.upstreams import Target


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and everything in front of it."""

    name: str
    settings: ServerSettings
    server: Server
    guard: Guard
    sessions: Sessions


class McpProtocol:
    """What records and refusals ask of a protocol. Bodies are judged message by message, not by this."""

    protocol = "mcp"

    def __init__(self, name: str) -> None:
        self.endpoint = f"/mcp/{name}" if name else "/mcp"

    def refusal_body(self, refusal: Refusal) -> bytes:
        """A refusal before any message was read."""
        return encode(refusal_message(refusal, None, ""))

    def decode_request(self, body: object) -> list[Any]:
        """Nothing: see `guard.py`."""
        return []

    def decode_response(self, body: object) -> list[Any]:
        """Nothing: see `guard.py`."""
        return []

    def stream(self) -> Any:
        """Never asked for: see `streaming.py` beside this file."""
        raise NotImplementedError("MCP streams are judged message by message")

    def model(self, body: object) -> str:
        """No model is named."""
        return ""

    def wants_stream(self, body: object) -> bool:
        """The server decides."""
        return False

    def usage(self, body: object) -> Usage:
        """No tokens are counted."""
        return Usage()


def describe(exchange: Exchange, name: str, messages: Sequence[Message]) -> None:
    """Tells an exchange's record what it was about: its first request, else its first message."""
    first = next((one for one in messages if one.kind is Kind.REQUEST), messages[0])
    exchange.method = first.method or "answer"
    subject = first.params.get("name") or first.params.get("uri")
    if isinstance(subject, str) and first.method in ("tools/call", "prompts/get"):
        exchange.tool = f"{name}/{subject}"


def begin_exchange(exchange: Exchange, name: str) -> None:
    """Marks an exchange as one with a tool server."""
    exchange.codec = McpProtocol(name)
    exchange.target = Target(name, "", exchange.request.path)


def child(exchange: Exchange, name: str) -> Exchange:
    """A new exchange of the same caller: what a server asks on its own, or one part of a federated list."""
    other = Exchange(exchange.request)
    other.identity = exchange.identity
    begin_exchange(other, name)
    return other
