"""`/envoy/...`: Envoy's HTTP ext_authz. Envoy shows us a request; we say whether it may go on.

After Envoy's documentation of `envoy.filters.http.ext_authz` (HTTP service with `path_prefix: /envoy` and
`with_request_body`). It sees requests only, and cannot edit a body: what must be masked is refused, and a
body that Envoy cut off is refused where the policy fails closed.
"""

from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Mode
from sigmaguard.wire.codec import Codec, Registry
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import client_fault
from sigmaguard_proxy.guard.question import Dialect, Judged, Question, block_instead
from sigmaguard_proxy.refusing import error_response

PREFIX = "/envoy"
PARTIAL = "x-envoy-auth-partial-body"


class EnvoyAdapter:
    """Envoy's dialect: the request itself, in the protocol of whoever sent it."""

    protocol = Dialect("guard.envoy", PREFIX)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def place(self, exchange: Exchange) -> None:
        """Finds the codec of the request that Envoy shows; where there is none the policy decides."""
        request = exchange.request
        codec = self._registry.find(request.method, request.path.removeprefix(PREFIX))
        if codec is not None:
            exchange.codec = codec

    def codec(self, exchange: Exchange) -> Codec | None:
        """The codec found, None for an endpoint we do not know."""
        return None if exchange.codec is self.protocol else exchange.codec

    def ask(self, exchange: Exchange) -> Question:
        """Raises WireError for a body that cannot be inspected, FaultError for an endpoint the policy refuses."""
        codec, policy = self.codec(exchange), exchange.policy
        if codec is None:
            if policy.refuse_unknown_endpoints and exchange.mode is Mode.ENFORCE:
                message = f"policy `{policy.name}` refuses endpoints it cannot inspect"
                raise client_fault("unknown_endpoint", message, 403)
            return Question()
        if exchange.request.headers.get(PARTIAL, "").lower() == "true":
            raise WireError("body_too_large", "Envoy sent only a part of the body; raise `max_request_bytes`")
        if exchange.body is None:
            if exchange.request.method == "POST":
                raise WireError("no_body", "Envoy sent no body; set `with_request_body` in its ext_authz filter")
            return Question()
        segments = codec.decode_request(exchange.body)
        exchange.model = codec.model(exchange.body)
        exchange.streamed = codec.wants_stream(exchange.body)
        return Question(input=segments)

    def answer(self, judged: Judged) -> web.Response:
        """200 to go on, or the refusal that Envoy hands to its caller."""
        exchange = judged.exchange
        if judged.refusal is not None:
            return error_response(exchange, judged.refusal)
        if judged.action is Action.MASK:
            refusal = block_instead(judged, "Envoy's ext_authz cannot change a body")
            return error_response(exchange, refusal)
        return web.Response(status=200, headers=dict(exchange.headers()))
