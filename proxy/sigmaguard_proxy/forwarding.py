"""Stage 7: the request to the provider. Knows headers, keys and what a failed connection means."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import aiohttp
from multidict import CIMultiDict

from sigmaguard.model import Mode
from sigmaguard_proxy.encoding import readable
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import upstream_fault
from sigmaguard_proxy.ports import Secret
from sigmaguard_proxy.upstreams import forward_url, forwarded_headers

SMALL_BYTES = 1_048_576  # an unread body up to this goes in one piece
Body = bytes | aiohttp.StreamReader | AsyncIterator[bytes]


async def send_unread(session: aiohttp.ClientSession, exchange: Exchange) -> aiohttp.ClientResponse:
    """The request as it comes, looked at by nobody: a small body in one piece, a large one in many."""
    request = exchange.request
    length = request.content_length
    if length is not None and length <= SMALL_BYTES:
        exchange.raw = await request.content.read() if length else b""
        return await send(session, exchange, exchange.raw)
    return await send(session, exchange, request.content if request.can_read_body else b"")


async def send(
    session: aiohttp.ClientSession, exchange: Exchange, body: Body, *, is_edited: bool = False
) -> aiohttp.ClientResponse:
    """The provider's answer, its body still to come. Raises FaultError."""
    request, target = exchange.request, exchange.target
    assert target is not None
    headers = _headers(exchange, is_edited=is_edited)
    if not isinstance(body, bytes) and request.content_length is not None:
        headers["Content-Length"] = str(request.content_length)
    since = exchange.forwarded = perf_counter()
    try:
        answer = await session.request(
            request.method,
            forward_url(target, request.rel_url.raw_query_string),
            headers=headers,
            data=body if body != b"" else None,
            allow_redirects=False,
        )
    except TimeoutError as error:
        raise upstream_fault("upstream_timeout", f"upstream `{target.name}` did not answer in time", 504) from error
    except aiohttp.ClientConnectorError as error:
        raise upstream_fault("upstream_unreachable", f"upstream `{target.name}` cannot be reached") from error
    except (aiohttp.ClientError, OSError) as error:
        raise upstream_fault("upstream_failed", f"upstream `{target.name}` broke off before answering") from error
    exchange.upstream_s += perf_counter() - since
    return answer


def _headers(exchange: Exchange, *, is_edited: bool) -> CIMultiDict[str]:
    headers = forwarded_headers(exchange.request.headers)
    if is_edited:
        headers.popall("Content-Encoding", None)
    accepted = headers.get("Accept-Encoding")
    if accepted is not None and exchange.mode is Mode.ENFORCE and exchange.codec is not None:
        headers["Accept-Encoding"] = readable(accepted)
    key = exchange.who.upstream_key
    if key is not None:
        _replace_key(headers, key, exchange.target.name if exchange.target else "")
    if exchange.trace is not None:
        headers["traceparent"] = exchange.trace.header()
    return headers


def _replace_key(headers: CIMultiDict[str], key: Secret, upstream: str) -> None:
    """Puts the provider's key where the caller's own stood, in the header the provider reads."""
    name = next((one for one in ("x-api-key", "api-key") if one in headers), "")
    if not name and upstream == "anthropic":
        name = "x-api-key"
    for one in ("Authorization", "x-api-key", "api-key"):
        headers.popall(one, None)
    if not key.reveal():
        return  # a provider that has no key here gets none, and never the virtual one
    if name:
        headers[name] = key.reveal()
    else:
        headers["Authorization"] = f"Bearer {key.reveal()}"


def abandon(sending: "asyncio.Task[aiohttp.ClientResponse]") -> None:
    """Closes the way to the provider, whether it has answered yet or not."""

    def close(task: "asyncio.Task[aiohttp.ClientResponse]") -> None:
        if not task.cancelled() and task.exception() is None:
            task.result().close()

    sending.add_done_callback(close)
    sending.cancel()
