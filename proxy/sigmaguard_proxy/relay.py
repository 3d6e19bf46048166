"""Stages 8 and 9: the answer back to the caller: raw, observed (shadow), or guarded (enforce).

Knows content types and when to record; streams are guarded by `streaming.py`.
"""

import time
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Direction, Fault, FaultSource, OnFault, Segment, Timing, Verdict
from sigmaguard.model import Origin as Origins
from sigmaguard.wire.body import encode_edits, parse_body
from sigmaguard_proxy.acting import apply_edits, mask_answer, restore_edits
from sigmaguard_proxy.encoding import decode_body
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import upstream_fault
from sigmaguard_proxy.refusing import blocked, error_response
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.streaming import GuardedStream
from sigmaguard_proxy.upstreams import returned_headers

WHOLE_BYTES = 262_144  # a raw answer of known length up to this goes in one write
TEXT_TYPES = ("text/", "application/x-ndjson", "application/jsonl", "application/xml")


class Relay:
    """Brings answers back. `record` must run before an answer's last byte leaves."""

    def __init__(self, services: Services, record: Callable[[Exchange], None]) -> None:
        self._services = services
        self._record = record

    async def raw(self, exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer's bytes as they are, looked at by nobody."""
        async with answer:
            exchange.status = answer.status
            length = answer.content_length
            if length is not None and length <= WHOLE_BYTES:
                body = await _read(exchange, answer, WHOLE_BYTES)
                self._record(exchange)
                return _response(exchange, answer, body)
            return await self._pump(exchange, answer)

    async def _pump(self, exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        out = _stream_response(exchange, answer)
        await out.prepare(exchange.request)
        held = b""
        async for chunk in _chunks(exchange, answer):
            if held:
                await out.write(held)
            held = chunk
        self._record(exchange)  # one chunk behind, so that the record is kept before the last byte
        if held:
            await out.write(held)
        await out.write_eof()
        return out

    async def shadowed(self, exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer's bytes as they are, with what enforce would have done found out beside."""
        async with answer:
            exchange.status = answer.status
            if _is_stream(answer):
                return await GuardedStream(self._services, exchange, answer, self._record).observe()
            if not _is_text(answer):
                return await self._pump(exchange, answer)
            body = await _read(exchange, answer, None)
            try:
                plain, parsed, segments = self._decode(exchange, answer, body)
            except WireError as error:
                exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))
            else:
                del plain, parsed
                exchange.output = await self._judge(exchange, segments)
            self._record(exchange)
            return _response(exchange, answer, body)

    async def guarded(self, exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer inspected, masked, restored or refused."""
        async with answer:
            exchange.status = answer.status
            if _is_stream(answer):
                return await GuardedStream(self._services, exchange, answer, self._record).guard()
            if not _is_text(answer):
                return await self._pump(exchange, answer)
            limit = exchange.policy.limits.response_bytes
            body = await _read(exchange, answer, limit)
            return await self._whole(exchange, answer, body)

    async def _whole(self, exchange: Exchange, answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
        since = time.perf_counter()
        try:
            plain, parsed, segments = self._decode(exchange, answer, body)
        except WireError as error:
            if exchange.policy.on_fault is OnFault.CLOSED:
                raise upstream_fault(
                    f"upstream_{error.kind}", f"the upstream's answer cannot be inspected: {error}"
                ) from error
            exchange.faults.append(Fault(FaultSource.UPSTREAM, error.kind, str(error)))
            self._record(exchange)
            return _response(exchange, answer, body)
        exchange.clock("relay", since)
        verdict = await self._judge(exchange, segments)
        exchange.output = verdict
        if verdict.action is Action.BLOCK:
            refusal = blocked(exchange, verdict)
            exchange.status = refusal.status
            self._record(exchange)
            return error_response(exchange, refusal)
        edits = (
            mask_answer(exchange.policy, verdict, segments, self._services.mask_key)
            if verdict.action is Action.MASK
            else []
        )
        if exchange.vault:
            since = time.perf_counter()
            edits = restore_edits(exchange.vault, segments, edits)
            exchange.clock("restore", since)
        if edits:
            body = (
                apply_edits(segments[0].text, edits).encode() if parsed is None else encode_edits(plain, parsed, edits)
            )
        self._record(exchange)
        return _response(exchange, answer, body, edited=bool(edits))

    def _decode(
        self, exchange: Exchange, answer: aiohttp.ClientResponse, body: bytes
    ) -> tuple[bytes, object, list[Segment]]:
        """The plain bytes, the parsed body (None where it is bare text) and its segments. Raises WireError."""
        codec = exchange.codec
        assert codec is not None
        plain = decode_body(body, answer.headers.get("Content-Encoding", ""), exchange.policy.limits.response_bytes)
        if not plain.strip():
            return plain, None, []
        if "json" in answer.content_type or plain[:1] in (b"{", b"["):
            parsed = parse_body(plain)
            exchange.usage = codec.usage(parsed)
            return plain, parsed, codec.decode_response(parsed)
        try:
            text = plain.decode()
        except UnicodeDecodeError as error:
            raise WireError("not_utf8", "the text is not UTF-8") from error
        return plain, None, [Segment("", Origins.ASSISTANT, text)]

    async def _judge(self, exchange: Exchange, segments: list[Segment]) -> Verdict:
        since = time.perf_counter()
        inspecting = self._services.inspecting
        inspection = inspecting.begin(
            exchange.policy, Direction.OUTPUT, Timing.BEFORE, segments, exchange.who.subject.tenant
        )
        verdict = await inspecting.verdict(inspection, exchange.mode)
        exchange.clock("relay", since)
        return verdict


def _is_stream(answer: aiohttp.ClientResponse) -> bool:
    return answer.content_type == "text/event-stream"


def _is_text(answer: aiohttp.ClientResponse) -> bool:
    kind = answer.content_type
    return "json" in kind or kind.startswith(TEXT_TYPES) or kind == "application/octet-stream"


async def _read(exchange: Exchange, answer: aiohttp.ClientResponse, limit_bytes: int | None) -> bytes:
    """The whole answer. Raises FaultError where it breaks off, stalls or is over the limit."""
    since = time.perf_counter()
    pieces: list[bytes] = []
    size = 0
    async for chunk in _chunks(exchange, answer):
        pieces.append(chunk)
        size += len(chunk)
        if limit_bytes is not None and size > limit_bytes:
            raise upstream_fault(
                "upstream_too_large", f"the upstream's answer is over {limit_bytes} bytes", retryable=False
            )
    exchange.upstream_s += time.perf_counter() - since
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _chunks(exchange: Exchange, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            exchange.response_bytes += len(chunk)
            yield chunk
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise upstream_fault("upstream_timeout", "the upstream fell silent in the middle of its answer", 504) from error
    except (aiohttp.ClientError, OSError) as error:
        raise upstream_fault("upstream_reset", "the upstream broke off in the middle of its answer") from error


def _response(exchange: Exchange, answer: aiohttp.ClientResponse, body: bytes, *, edited: bool = False) -> web.Response:
    headers = returned_headers(answer.headers)
    if edited:
        headers.popall("Content-Encoding", None)
    headers.update(exchange.headers())
    exchange.first_byte = time.perf_counter()
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)


def _stream_response(exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = returned_headers(answer.headers)
    headers.update(exchange.headers())
    out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if answer.content_length is not None:
        out.content_length = answer.content_length
    exchange.first_byte = time.perf_counter()
    return out
