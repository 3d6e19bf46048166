"""Stages 1 and 3: a request's body read within its bounds and decoded into segments. Judges nothing."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import HttpVersion10, web

from sigmaguard.errors import WireError
from sigmaguard.wire.body import parse_body
from sigmaguard.wire.generic import GenericCodec
from sigmaguard.wire.multipart import Form
from sigmaguard.wire.plain_text import is_binary_start
from sigmaguard_proxy.encoding import decode_body, encoding_of
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, client_fault

LIGHT_BYTES = 32 * 1024  # up to 5,000 fields of some 5 us each
HEAVY_BYTES = 1024 * 1024
HEAVY_QUOTES = 8_192  # some 2,000 fields and their texts; a prompt of 100 KB of code has half as many
BODY_TIMEOUT_S = 60.0  # a caller that needs longer to send one body is not going to


def too_large(limit_bytes: int) -> FaultError:
    """What a caller hears whose body is over the policy's limit."""
    return client_fault(
        "body_too_large",
        f"the body is over the {limit_bytes} bytes that this policy allows (`limits.request_bytes`)",
        413,
    )


async def go_on(request: web.BaseRequest) -> None:
    """Tells a caller that waits for it to send its body (RFC 9110 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version > HttpVersion10:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


async def read_body(request: web.BaseRequest, limit_bytes: int) -> tuple[bytes, bool]:
    """The body, and whether that is all of it: what is over the limit is left unread."""
    if not request.can_read_body:
        return b"", True
    length = request.content_length
    if length is not None and length > limit_bytes:
        return b"", False
    content = request.content
    pieces: list[bytes] = []
    size = 0
    while piece := await content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > limit_bytes:
            return b"".join(pieces), False
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), True


async def whole_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The whole body. Raises FaultError where it is too large or too slow."""
    try:
        if request.content.is_eof():  # it came with the head, as small bodies do: nothing to wait for
            body, is_whole = await read_body(request, limit_bytes)
        else:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body, is_whole = await read_body(request, limit_bytes)
    except TimeoutError as error:
        raise client_fault("body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S:g} s", 408) from error
    if not is_whole:
        raise too_large(limit_bytes)
    return body


async def continued(start: bytes, request: web.BaseRequest) -> AsyncIterator[bytes]:
    """A body of which `start` was read already, and the rest as it comes."""
    if start:
        yield start
    while piece := await request.content.readany():
        yield piece


async def large_binary(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The first bytes of an upload over the limit, where it is no text; nothing for a body within the limit.

    Raises FaultError for text that is too large.
    """
    length = request.content_length
    if length is None or length <= limit_bytes:
        return b""
    if "Content-Encoding" in request.headers:
        raise too_large(limit_bytes)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            start = await request.content.readany()
    except TimeoutError as error:
        raise client_fault("body_timeout", f"the body did not arrive within {BODY_TIMEOUT_S:g} s", 408) from error
    if not is_binary_start(start, request.headers.get("Content-Type", "")):
        raise too_large(limit_bytes)
    return start


def is_heavy(body: bytes) -> bool:
    """Whether a body is decoded and edited beside the event loop, which costs a wait for the interpreter.

    What holds up the loop is many fields rather than long texts, so their quotes are counted, at memory speed.
    """
    size = len(body)
    if size <= LIGHT_BYTES:
        return False
    # compressed bodies and forms do not show what they hold
    return size > HEAVY_BYTES or body[:1] not in (b"{", b"[") or body.count(b'"') > HEAVY_QUOTES


def _read_unknown(exchange: Exchange, codec: GenericCodec, content_type: str) -> None:
    """A body of an endpoint nobody knows. Raises WireError."""
    try:
        content = codec.read(exchange.plain, content_type)
    except RecursionError as error:
        raise WireError("too_deep", "the body is nested too deep") from error
    exchange.body, exchange.form, exchange.model = content.body, content.form, content.model
    exchange.segments = content.segments
    exchange.streamed = codec.wants_stream(content.body)


def decode(exchange: Exchange) -> None:
    """Fills an exchange's segments from its body. Raises WireError."""
    codec, request, limits = exchange.codec, exchange.request, exchange.policy.limits
    if codec is None or not exchange.raw:
        return
    exchange.plain = decode_body(exchange.raw, encoding_of(request.headers), limits.request_bytes)
    content_type = request.headers.get("Content-Type", "")  # aiohttp refuses requests that have two
    if isinstance(codec, GenericCodec):
        _read_unknown(exchange, codec, content_type)
    elif content_type[:10].lower() == "multipart/":
        decode_form = getattr(codec, "decode_form", None)
        if decode_form is None:
            raise WireError("multipart", "this endpoint takes JSON, not multipart form data")
        form = exchange.form = Form(content_type, exchange.plain)
        exchange.segments = decode_form(form)
        exchange.model = next((part.text for part in form.parts if part.name == "model"), "")
    else:
        exchange.body = parse_body(exchange.plain)
        try:
            exchange.segments = codec.decode_request(exchange.body)
        except RecursionError as error:
            raise WireError("too_deep", "the body is nested too deep") from error
        exchange.model = codec.model(exchange.body)
        exchange.streamed = codec.wants_stream(exchange.body)
    if len(exchange.segments) > limits.segments:
        raise WireError("too_many_texts", f"the body holds more than {limits.segments} texts")
