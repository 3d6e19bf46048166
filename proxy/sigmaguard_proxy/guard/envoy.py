"""`/envoy/...`: Envoy's HTTP ext_authz. Envoy shows us a request; we say whether it may go on.

After Envoy's documentation of `envoy.filters.http.ext_authz` (HTTP service with `path_prefix: /envoy` and
`with_request_body`). It sees requests only, and cannot edit a body: what must be masked is refused, and a
body that Envoy cut off is refused where the policy fails closed.
"""

from collections.abc import Iterator

from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Mode
from sigmaguard.wire.codec import Codec, Registry
from sigmaguard.wire.generic import UNKNOWN
from sigmaguard_proxy.accepting import decode
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import client_fault
from sigmaguard_proxy.guard.question import Dialect, Judged, Question, block_instead
from sigmaguard_proxy.key_scopes import check_model
from sigmaguard_proxy.refusing import error_response

PREFIX = "/envoy"
PARTIAL = "x-envoy-auth-partial-body"
REMOVE = "x-envoy-auth-headers-to-remove"  # what Envoy takes off a request before it goes on
_OWN = "x-sigmaguard-"
_CREDENTIALS = ("authorization", "x-api-key", "api-key")


class EnvoyAdapter:
    """Envoy's dialect: the request itself, in the protocol of whoever sent it."""

    protocol = Dialect("guard.envoy", PREFIX)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def place(self, exchange: Exchange) -> None:
        """Finds the codec of the request that Envoy shows; where there is none the policy decides."""
        request = exchange.request
        codec = self._registry.find(request.method, request.rel_url.raw_path.removeprefix(PREFIX))
        if codec is not None:
            exchange.codec = codec

    def codec(self, exchange: Exchange) -> Codec | None:
        """The codec found, None for an endpoint we do not know."""
        return None if exchange.codec is self.protocol else exchange.codec

    def ask(self, exchange: Exchange) -> Question:
        """Raises WireError for a body that cannot be inspected, FaultError for an endpoint or model not allowed."""
        policy = exchange.policy
        if self.codec(exchange) is None:
            if policy.unknown_endpoints == "refuse" and exchange.mode is Mode.ENFORCE:
                message = f"policy `{policy.name}` refuses endpoints nobody knows"
                raise client_fault("unknown_endpoint", message, 403)
            if policy.unknown_endpoints != "inspect":
                return Question()
            exchange.codec = self._registry.unknown(anthropic="anthropic-version" in exchange.request.headers)
        if exchange.request.headers.get(PARTIAL, "").lower() == "true":
            raise WireError("body_too_large", "Envoy sent only a part of the body; raise `max_request_bytes`")
        is_known = exchange.codec is not None and exchange.codec.endpoint != UNKNOWN
        if not exchange.raw and is_known and _needs_body(exchange.request):
            raise WireError("no_body", "Envoy sent no body; set `with_request_body` in its ext_authz filter")
        decode(exchange)
        check_model(exchange.who, exchange.model, has_body=bool(exchange.raw))
        return Question(input=exchange.segments)

    def answer(self, judged: Judged) -> web.Response:
        """200 to go on, or the refusal that Envoy hands to its caller."""
        exchange = judged.exchange
        if judged.refusal is not None:
            return error_response(exchange, judged.refusal)
        if judged.action is Action.MASK:
            refusal = block_instead(judged, "Envoy's ext_authz cannot change a body")
            return error_response(exchange, refusal)
        headers = dict(exchange.headers())
        if ours := ",".join(_not_the_providers(exchange)):
            headers[REMOVE] = ours
        return web.Response(status=200, headers=headers)


def _needs_body(request: web.BaseRequest) -> bool:
    """Whether a request without a body is one whose body was not shown; cancelling needs none."""
    return request.method == "POST" and not request.rel_url.raw_path.rstrip("/").endswith("/cancel")


def _not_the_providers(exchange: Exchange) -> Iterator[str]:
    """The headers that are between the caller and us: our own, and a virtual key wherever it stands."""
    headers = exchange.request.headers
    yield from (lower for name in headers if (lower := name.lower()).startswith(_OWN))
    if exchange.who.upstream_key is not None and _OWN + "key" not in headers:
        yield from (name for name in _CREDENTIALS if name in headers)
