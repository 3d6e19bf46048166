"""Stage 8, the upstream's half: bytes as they come, and what it means when they stop. Inspects nothing."""

from collections.abc import AsyncIterator
from time import perf_counter

from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import upstream_fault
from sigmaguard_proxy.outbound import Answer, OutboundError, ReadTimeoutFault


async def chunks(exchange: Exchange, answer: Answer) -> AsyncIterator[bytes]:
    """The answer's bytes in the pieces they arrive in. Raises FaultError where it breaks off or stalls."""
    try:
        async for chunk in answer.chunks():
            if not exchange.response_bytes:
                exchange.first_byte = perf_counter()
            exchange.response_bytes += len(chunk)
            yield chunk
    except ReadTimeoutFault as error:
        raise upstream_fault("upstream_timeout", "the upstream fell silent in the middle of its answer", 504) from error
    except OutboundError as error:
        raise upstream_fault("upstream_reset", "the upstream broke off in the middle of its answer") from error


async def receive(exchange: Exchange, answer: Answer, limit_bytes: int | None) -> bytes:
    """The whole answer. Raises FaultError where it breaks off, stalls or is over the limit."""
    since = perf_counter()
    if answer.is_complete:  # it came with its head, as most short answers do: nothing to wait for
        body = answer.take()
        exchange.first_byte = since
        exchange.response_bytes = len(body)
        _check(len(body), limit_bytes)
        return body
    pieces: list[bytes] = []
    async for chunk in chunks(exchange, answer):
        pieces.append(chunk)
        _check(exchange.response_bytes, limit_bytes)
    exchange.upstream_s += perf_counter() - since
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check(size: int, limit_bytes: int | None) -> None:
    if limit_bytes is not None and size > limit_bytes:
        raise upstream_fault(
            "upstream_too_large", f"the upstream's answer is over {limit_bytes} bytes", retryable=False
        )
