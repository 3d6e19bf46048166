"""Stage 7: the request to the provider. Knows headers, keys and what a failed connection means."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import perf_counter

from sigmaguard.model import Mode
from sigmaguard_proxy.encoding import readable
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import upstream_fault
from sigmaguard_proxy.outbound import Answer, ConnectFault, Outbound, OutboundError, ReadTimeoutFault
from sigmaguard_proxy.ports import Secret
from sigmaguard_proxy.upstreams import NOT_FORWARDED

SMALL_BYTES = 1_048_576  # an unread body up to this goes in one piece
Body = bytes | AsyncIterator[bytes]


async def send_unread(outbound: Outbound, exchange: Exchange) -> Answer:
    """The request as it comes, looked at by nobody: a small body in one piece, a large one in many."""
    request = exchange.request
    length = request.content_length
    if length is not None and length <= SMALL_BYTES:
        exchange.raw = await request.content.read() if length else b""
        return await send(outbound, exchange, exchange.raw)
    return await send(outbound, exchange, request.content.iter_any() if request.can_read_body else b"")


async def send(outbound: Outbound, exchange: Exchange, body: Body, *, is_edited: bool = False) -> Answer:
    """The provider's answer, its body still to come. Raises FaultError."""
    request, target = exchange.request, exchange.target
    assert target is not None
    query = request.rel_url.raw_query_string
    since = exchange.forwarded = perf_counter()
    try:
        answer = await outbound.request(
            request.method,
            target.base,
            f"{target.path}?{query}" if query else target.path,
            header_lines(exchange, is_edited=is_edited),
            body,
            length=request.content_length,
        )
    except ReadTimeoutFault as error:
        raise upstream_fault("upstream_timeout", f"upstream `{target.name}` did not answer in time", 504) from error
    except ConnectFault as error:
        raise upstream_fault("upstream_unreachable", f"upstream `{target.name}` cannot be reached") from error
    except OutboundError as error:
        raise upstream_fault("upstream_failed", f"upstream `{target.name}` broke off before answering") from error
    exchange.upstream_s += perf_counter() - since
    return answer


def header_lines(exchange: Exchange, *, is_edited: bool = False) -> bytes:
    """The request's headers as the provider sees them, as lines: all but hop-by-hop ones and our own."""
    request = exchange.request
    dropped = NOT_FORWARDED
    connection = request.headers.get("Connection")
    if connection and connection.lower() not in ("keep-alive", "close"):
        dropped = dropped | {name.strip().lower().encode("latin-1", "replace") for name in connection.split(",")}
    replaced = _replacements(exchange, is_edited=is_edited)
    lines = [
        b"%b: %b\r\n" % (name, value)
        for name, value in request.raw_headers
        if (lower := name.lower()) not in dropped and lower not in replaced and lower[:13] != b"x-sigmaguard-"
    ]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in replaced.items() if value]
    return b"".join(lines)


def _replacements(exchange: Exchange, *, is_edited: bool) -> dict[bytes, bytes]:
    """Headers (lower case) that are sent with another value than the caller's, or not at all (empty)."""
    replaced: dict[bytes, bytes] = {}
    if is_edited:
        replaced[b"content-encoding"] = b""
    headers = exchange.request.headers
    if exchange.mode is Mode.ENFORCE and exchange.codec is not None and (accepted := headers.get("Accept-Encoding")):
        replaced[b"accept-encoding"] = readable(accepted).encode("latin-1")
    key = exchange.who.upstream_key
    if key is not None:
        replaced.update(_key_headers(headers, key, exchange.target.name if exchange.target else ""))
    if exchange.trace is not None:
        replaced[b"traceparent"] = exchange.trace.header().encode()
    return replaced


def _key_headers(headers: Mapping[str, str], key: Secret, upstream: str) -> dict[bytes, bytes]:
    """The provider's key where the caller's own stood, in the header the provider reads; the others go."""
    name = next((one for one in ("x-api-key", "api-key") if one in headers), "")
    if not name and upstream == "anthropic":
        name = "x-api-key"
    result: dict[bytes, bytes] = dict.fromkeys((b"authorization", b"x-api-key", b"api-key"), b"")
    value = key.reveal().strip().encode("latin-1")
    if not value or b"\r" in value or b"\n" in value:
        return result  # a provider that has no key here gets none, and never the virtual one
    if name:
        result[name.encode()] = value
    else:
        result[b"authorization"] = b"Bearer " + value
    return result


def abandon(sending: "asyncio.Task[Answer]") -> None:
    """Closes the way to the provider, whether it has answered yet or not."""

    def close(task: "asyncio.Task[Answer]") -> None:
        if not task.cancelled() and task.exception() is None:
            task.result().close()

    sending.add_done_callback(close)
    sending.cancel()
