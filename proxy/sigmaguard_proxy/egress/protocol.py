"""What records and refusals ask of a protocol, for plain HTTP calls."""

from typing import Any

from sigmaguard.wire.codec import Refusal, Usage
from sigmaguard.wire.errors import error_body


class EgressProtocol:
    """HTTP as an agent's tool. Bodies are judged by `texts.py`, not by this."""

    protocol = "egress"

    def __init__(self, name: str) -> None:
        self.endpoint = f"/egress/{name}"

    def refusal_body(self, refusal: Refusal) -> bytes:
        """The one JSON error shape."""
        return error_body(refusal)

    def decode_request(self, body: object) -> list[Any]:
        """Nothing: see `texts.py`."""
        return []

    def decode_response(self, body: object) -> list[Any]:
        """Nothing: see `texts.py`."""
        return []

    def stream(self) -> Any:
        """Never asked for: answers are read whole."""
        raise NotImplementedError("answers of HTTP tools are read whole")

    def model(self, body: object) -> str:
        """No model is named."""
        return ""

    def wants_stream(self, body: object) -> bool:
        """Never."""
        return False

    def usage(self, body: object) -> Usage:
        """No tokens are counted."""
        return Usage()
