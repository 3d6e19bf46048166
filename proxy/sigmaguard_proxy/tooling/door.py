"""The way in for everything that is not LLM traffic: identity, limits, faults, exactly one record."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from sigmaguard.model import Fault, FaultSource
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault, internal_fault
from sigmaguard_proxy.key_scopes import check_endpoint
from sigmaguard_proxy.ports import Caller
from sigmaguard_proxy.services import Services

BODY_TIMEOUT_S = 60.0
Record = Callable[[Exchange], None]


class BlockedError(FaultError):
    """A verdict ends the exchange. No fault is recorded: the verdict says it all."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(Fault(FaultSource.CLIENT, refusal.code, refusal.message), refusal.status, refusal.kind)
        self._refusal = refusal

    def refusal(self, exchange: str) -> Refusal:
        """The refusal the verdict asked for."""
        return self._refusal


async def through(
    services: Services,
    record: Record,
    exchange: Exchange,
    stages: Callable[[], Awaitable[web.StreamResponse]],
    refuse: Callable[[Refusal], web.StreamResponse],
) -> web.StreamResponse:
    """Runs the stages; whatever happens is answered, and recorded exactly once."""
    try:
        return await stages()
    except BlockedError as error:
        exchange.status = error.status
        return refuse(error.refusal(exchange.id))
    except FaultError as error:
        exchange.refuse(error.fault, services.mode_for(exchange.identity))
        exchange.status = error.status
        return refuse(error.refusal(exchange.id))
    except asyncio.CancelledError:
        exchange.status = 499  # the caller hung up; nginx's word for it
        raise
    except ConnectionError:  # seen while writing, before the server has told us
        exchange.status = 499
        return web.Response(status=499)
    except Exception as error:  # the exchange door: whatever it was, the caller gets a clear answer
        services.log.error("exchange_failed", exchange=exchange.id, error=type(error).__name__)
        fault = internal_fault("internal_error", "Sigmaguard failed on this exchange; nothing was let through")
        exchange.refuse(fault.fault, services.mode_for(exchange.identity))
        exchange.status = fault.status
        return refuse(fault.refusal(exchange.id))
    finally:
        if not exchange.recorded:
            try:
                record(exchange)
            except FaultError as error:
                services.log.error("record_failed", exchange=exchange.id, error=error.fault.kind)


def identify(services: Services, exchange: Exchange) -> None:
    """Who asks: by `x-sigmaguard-key`, else by `x-api-key`, `api-key` or the bearer token. Raises FaultError."""
    headers, codec = exchange.request.headers, exchange.codec
    assert codec is not None and exchange.target is not None
    named = headers.get("x-sigmaguard-key") or headers.get("x-api-key") or headers.get("api-key")
    caller = Caller(
        credential=named or _bearer(headers.get("Authorization", "")),
        remote=exchange.request.remote or "",
        endpoint=codec.endpoint,
        upstream=exchange.target.name,
        agent=headers.get("x-sigmaguard-agent", ""),
    )
    answer = services.directory.identify(caller, exchange.id)
    if isinstance(answer, Refusal):
        fault = Fault(FaultSource.CLIENT, answer.code, answer.message)
        raise FaultError(fault, answer.status, answer.kind, answer.retry_after_s)
    exchange.identity = answer
    check_endpoint(answer, codec.endpoint)


def _bearer(authorization: str) -> str:
    """The token of a bearer credential (RFC 6750; the scheme's case does not matter)."""
    return authorization[7:].strip() if authorization[:7].lower() == "bearer " else authorization


async def limit(services: Services, exchange: Exchange) -> None:
    """Rates and budgets of the caller's key. Raises FaultError."""
    identity = exchange.who
    if identity.limits is None:
        return
    answer = await services.limiter.admit(identity, "", 0, exchange.id)
    if isinstance(answer, Refusal):
        fault = Fault(FaultSource.CLIENT, answer.code, answer.message)
        raise FaultError(fault, answer.status, answer.kind, answer.retry_after_s)
    exchange.ticket = answer


async def read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The whole body. Raises FaultError where it is too large or too slow."""
    length = request.content_length
    if length is not None and length > limit_bytes:
        raise client_fault("body_too_large", f"the body is {length} bytes; {limit_bytes} are allowed", 413)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size > limit_bytes:
                    raise client_fault("body_too_large", f"the body is over the {limit_bytes} bytes allowed", 413)
    except TimeoutError as error:
        raise client_fault("body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S:g} s", 408) from error
    return b"".join(pieces)
