"""Stage 6 and faults: a refusal as the caller's own protocol says it. One place, one shape."""

from aiohttp import web

from sigmaguard.model import Verdict
from sigmaguard.wire.codec import Refusal
from sigmaguard.wire.errors import error_body
from sigmaguard_proxy.exchange import Exchange


def blocked(exchange: Exchange, verdict: Verdict) -> Refusal:
    """The refusal a blocking verdict asks for. Names the rule and the exchange, never the text."""
    if verdict.rule.startswith("fault."):
        what = verdict.rule.removeprefix("fault.")
        return Refusal(
            status=503,
            kind="sigmaguard_fault",
            code=what,
            message=f"Sigmaguard could not inspect this exchange ({what}) and its policy fails closed. "
            f"Exchange {exchange.id}.",
            exchange=exchange.id,
            retry_after_s=1.0,
        )
    return Refusal(
        status=403,
        kind="sigmaguard_blocked",
        code=verdict.rule,
        message=f"Blocked by Sigmaguard: policy `{exchange.policy.name}`, rule `{verdict.rule}`. "
        f"Exchange {exchange.id}.",
        exchange=exchange.id,
    )


def error_response(exchange: Exchange, refusal: Refusal) -> web.Response:
    """A refusal as an HTTP answer."""
    if exchange.codec is not None:
        body = exchange.codec.refusal_body(refusal)
    else:
        body = error_body(refusal, anthropic="anthropic-version" in exchange.request.headers)
    headers = dict(exchange.headers())
    if refusal.kind == "sigmaguard_blocked":
        headers["x-sigmaguard-verdict"] = "block"
        headers["x-should-retry"] = "false"  # the SDKs' own header: trying again cannot help
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_s)))
    return web.Response(status=refusal.status, body=body, headers=headers, content_type="application/json")
