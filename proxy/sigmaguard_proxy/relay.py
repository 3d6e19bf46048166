"""Stages 8 and 9: the answer back to the caller: raw, observed (shadow), or guarded (enforce).

Knows content types and when to record; streams are guarded by `streaming.py`.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from time import perf_counter

from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Direction, Fault, FaultSource, OnFault, Origin, Segment, Timing, Verdict
from sigmaguard.policy.bound import bound
from sigmaguard.wire.body import apply_edits, encode_edits, parse_body
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.generic import GenericCodec
from sigmaguard.wire.lines import is_lines_type
from sigmaguard_proxy.accepting import is_heavy
from sigmaguard_proxy.acting import mask_answer, restore_edits, with_kept
from sigmaguard_proxy.answering import Outgoing
from sigmaguard_proxy.encoding import decode_body
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.faults import FaultError, internal_fault, upstream_fault
from sigmaguard_proxy.outbound import Answer
from sigmaguard_proxy.receiving import chunks, receive
from sigmaguard_proxy.refusing import blocked, error_response
from sigmaguard_proxy.repeats import without_repeats
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.streaming import GuardedStream, is_line_stream
from sigmaguard_proxy.tooling.answers import answer_tools
from sigmaguard_proxy.upstreams import returned_lines

WHOLE_BYTES = 262_144  # a raw answer of known length up to this goes in one write
STREAM_TYPE = "text/event-stream"
BINARY_TYPES = ("audio/", "image/", "video/", "font/", "application/pdf", "application/zip", "application/x-tar")
# Of all known endpoints these alone answer with sound and pictures; elsewhere such a type hides a text
BINARY_PROTOCOLS = frozenset({"openai.audio", "openai.images"})
# Of endpoints nobody knows: Bedrock frames its streams in bytes; a file's length tells whether it can be kept
FRAMED_TYPES = ("application/vnd.amazon.eventstream",)
FILE_TYPES = (*BINARY_TYPES, "application/octet-stream")
_EVENTS = re.compile(r"\s*(?:data|event|id|retry)?:")
DONE = b"[DONE]"  # after it OpenAI's clients hang up, so the record is kept before it leaves


class Relay:
    """Brings answers back. `record` must run before an answer's last byte leaves."""

    def __init__(self, services: Services, record: Callable[[Exchange], None]) -> None:
        self._services = services
        self._record = record

    async def raw(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """The answer's bytes as they are, looked at by nobody."""
        async with answer:
            exchange.status = answer.status
            length = answer.content_length
            if length is not None and length <= WHOLE_BYTES and exchange.request.method != "HEAD":
                body = await receive(exchange, answer, None)
                self._record(exchange)
                return _response(exchange, answer, body)
            return await self._pump(exchange, answer)

    async def _pump(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """Every piece as it comes. The record is kept before the last of a known length, or before the end."""
        length = answer.content_length
        out = _in_pieces(exchange, answer, length)
        _begin(exchange, out)
        since = perf_counter()
        async for chunk in chunks(exchange, answer):
            if (length is not None and exchange.response_bytes >= length) or chunk.rstrip().endswith(DONE):
                exchange.upstream_s += perf_counter() - since
                since = perf_counter()
                self._record(exchange)
            await out.write(chunk)
        exchange.upstream_s += perf_counter() - since
        self._record(exchange)
        await out.write_eof()
        return out

    async def shadowed(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """The answer's bytes as they are, with what enforce would have done found out beside."""
        async with answer:
            exchange.status = answer.status
            # nothing is edited, so nothing hangs on what else may be a stream
            if answer.content_type == STREAM_TYPE or is_line_stream(exchange, answer):
                out = _in_pieces(exchange, answer)
                return await self._streamed(exchange, answer, out, is_shadow=True)
            length = answer.content_length
            if not _has_text(exchange, answer) or (length or 0) > exchange.policy.limits.response_bytes:
                return await self._pump(exchange, answer)
            if length is None and isinstance(exchange.codec, GenericCodec) and "json" not in answer.content_type:
                return await self._pump(
                    exchange, answer
                )  # it may be a stream without an end, which shadow must not hold
            body = await receive(exchange, answer, None)
            try:
                _, parsed, segments = await self._decoded(exchange, answer, body)
                exchange.output = await self._judge_calls(exchange, parsed, segments)
            except WireError as error:
                exchange.faults.append(Fault(FaultSource.UPSTREAM, f"upstream_{error.kind}", str(error)))
            except Exception as error:  # the shadow's door: a fault of ours must not change what passes
                fault = internal_fault("internal_error", f"{type(error).__name__} while inspecting an answer")
                exchange.faults.append(fault.fault)
            self._record(exchange)
            return _response(exchange, answer, body)

    async def guarded(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """The answer inspected, masked, restored or refused."""
        async with answer:
            exchange.status = answer.status
            if _is_stream(exchange, answer):
                out = _in_pieces(exchange, answer, is_edited=True)
                return await self._streamed(exchange, answer, out, is_shadow=False)
            if not _has_text(exchange, answer):
                return await self._pump(exchange, answer)
            body = await receive(exchange, answer, exchange.policy.limits.response_bytes)
            return await self._whole(exchange, answer, body)

    async def _streamed(self, exchange: Exchange, answer: Answer, out: Outgoing, *, is_shadow: bool) -> Outgoing:
        stream = GuardedStream(self._services, exchange, answer, self._record)
        _begin(exchange, out)
        try:
            await (stream.observe(out) if is_shadow else stream.guard(out))
            await out.write_eof()
        except (asyncio.CancelledError, ConnectionError, FaultError):
            if not exchange.recorded:
                stream.judge()
            raise
        finally:
            answer.close()
        return out

    async def _whole(self, exchange: Exchange, answer: Answer, body: bytes) -> web.StreamResponse:
        since = perf_counter()
        try:
            plain, parsed, segments = await self._decoded(exchange, answer, body)
        except WireError as error:
            fault = upstream_fault(f"upstream_{error.kind}", f"the upstream's answer cannot be inspected: {error}")
            if exchange.policy.on_fault is OnFault.CLOSED:
                raise fault from error
            exchange.faults.append(fault.fault)
            self._record(exchange)
            return _response(exchange, answer, body)
        exchange.clock("relay", since)
        verdict = exchange.output = await self._judge_calls(exchange, parsed, segments)
        if verdict.action is Action.BLOCK:
            refusal = blocked(exchange, verdict)
            exchange.status = refusal.status
            self._record(exchange)
            return error_response(exchange, refusal)
        since = perf_counter()
        edited: bytes | None = None
        if verdict.action is Action.MASK or exchange.vault:
            if is_heavy(body):  # it may hold thousands of values
                edited = await asyncio.to_thread(self._edited, exchange, verdict, plain, parsed, segments)
            else:
                edited = self._edited(exchange, verdict, plain, parsed, segments)
        exchange.clock("restore", since)
        self._record(exchange)
        return _response(exchange, answer, body if edited is None else edited, is_edited=edited is not None)

    def _edited(
        self, exchange: Exchange, verdict: Verdict, plain: bytes, parsed: object, segments: list[Segment]
    ) -> bytes | None:
        """The answer masked and restored, None where nothing is to be edited."""
        edits: list[Edit] = []
        if verdict.action is Action.MASK:
            edits = mask_answer(exchange.policy, verdict, segments, self._services.mask_key)
        if exchange.vault:
            edits, kept = restore_edits(exchange, segments, edits)
            exchange.output = with_kept(verdict, kept)
        if not edits:
            return None
        if parsed is None:
            return _edited_text(plain, segments[0].text, edits)
        return without_repeats(encode_edits(plain, edits), edits)

    async def _decoded(self, exchange: Exchange, answer: Answer, body: bytes) -> tuple[bytes, object, list[Segment]]:
        """The same as `_decode`, beside the loop where an answer is heavy."""
        if is_heavy(body):
            return await asyncio.to_thread(self._decode, exchange, answer, body)
        return self._decode(exchange, answer, body)

    def _decode(self, exchange: Exchange, answer: Answer, body: bytes) -> tuple[bytes, object, list[Segment]]:
        """The plain bytes, the parsed body (None where it is bare text) and its segments. Raises WireError."""
        codec = exchange.codec
        assert codec is not None
        if exchange.who.keep_content:
            exchange.content = body
        plain = decode_body(body, answer.header(b"content-encoding"), exchange.policy.limits.response_bytes)
        if not plain.strip():
            return plain, None, []
        kind = answer.content_type
        is_json = "json" in kind or plain[:1] in (b"{", b"[")
        if is_json and not is_lines_type(kind) and (parsed := _parsed(exchange, plain)) is not None:
            exchange.usage = codec.usage(parsed)
            try:
                return plain, parsed, codec.decode_response(parsed)
            except RecursionError as error:
                raise WireError("too_deep", "the answer is nested too deep") from error
        segments = _bare_text(exchange, plain, kind)
        if segments and exchange.streamed and _EVENTS.match(segments[0].text):
            raise WireError("stream_as_text", f"it is a stream of events; its content type must be `{STREAM_TYPE}`")
        return plain, None, segments

    async def _judge_calls(self, exchange: Exchange, body: object, segments: list[Segment]) -> Verdict:
        """The verdict on an answer's texts and on the tool calls in it."""
        verdict = await self._judge(exchange, segments)
        tools = answer_tools(self._services.tooling, exchange)
        return verdict if tools is None else await tools.whole(body, segments, verdict)

    async def _judge(self, exchange: Exchange, segments: list[Segment]) -> Verdict:
        since = perf_counter()
        inspecting = self._services.inspecting
        policy = bound(exchange.policy, exchange.segments)
        tenant = exchange.who.subject.tenant
        inspection = await inspecting.begun(policy, Direction.OUTPUT, Timing.BEFORE, segments, tenant)
        verdict = await inspecting.verdict(inspection, exchange.mode)
        exchange.clock("relay", since)
        return verdict


def _parsed(exchange: Exchange, plain: bytes) -> object:
    """The answer as JSON; None where an endpoint nobody knows sends what is not, which is read as text."""
    try:
        return parse_body(plain)
    except WireError as error:
        if error.kind == "not_json" and isinstance(exchange.codec, GenericCodec):
            return None
        raise


def _bare_text(exchange: Exchange, plain: bytes, kind: str) -> list[Segment]:
    """An answer that is no JSON, as one text; nothing where it is a file of an endpoint nobody knows."""
    try:
        text = plain.decode()
    except UnicodeDecodeError as error:
        if not isinstance(exchange.codec, GenericCodec):
            raise WireError("not_utf8", "the text is not UTF-8") from error
        if not kind.startswith("text/"):
            return []
        text = plain.decode("latin-1")  # in which every byte is a letter, so that nothing is lost
    return [Segment("", Origin.ASSISTANT, text)]


def _edited_text(plain: bytes, text: str, edits: Sequence[Edit]) -> bytes:
    """A bare text with the edits applied, in the charset it came in."""
    edited = apply_edits(text, edits)
    return edited.encode() if text.encode() == plain else edited.encode("latin-1", "replace")


def _is_stream(exchange: Exchange, answer: Answer) -> bool:
    """Whether an answer is a stream. Who asked a known endpoint for one reads one, whatever the answer calls itself."""
    kind = answer.content_type
    if kind == STREAM_TYPE or is_line_stream(exchange, answer):
        return True
    if not exchange.streamed or answer.content_length is not None or not 200 <= answer.status < 300:
        return False
    if isinstance(exchange.codec, GenericCodec) or _is_binary(exchange, answer):
        return False
    return "json" not in kind or is_lines_type(kind)


def _has_text(exchange: Exchange, answer: Answer) -> bool:
    """Whether an answer is to be read: all are but a picture, sound or file where the endpoint has such answers."""
    return exchange.request.method != "HEAD" and not _is_binary(exchange, answer)


def _is_binary(exchange: Exchange, answer: Answer) -> bool:
    kind, codec = answer.content_type, exchange.codec
    if isinstance(codec, GenericCodec) and kind.startswith(FILE_TYPES):
        length = answer.content_length  # what can be kept is looked at, and passes where it is no text
        return length is None or length > exchange.policy.limits.response_bytes
    if isinstance(codec, GenericCodec):
        return kind.startswith(FRAMED_TYPES)
    if not kind.startswith(BINARY_TYPES) or kind.endswith("xml"):  # `image/svg+xml` is text
        return False
    return codec is not None and codec.protocol in BINARY_PROTOCOLS


def _begin(exchange: Exchange, out: Outgoing) -> None:
    """Sends an answer's head: from here on nothing else can be said to the caller."""
    exchange.out = out
    out.begin()


def _response(exchange: Exchange, answer: Answer, body: bytes, *, is_edited: bool = False) -> Outgoing:
    lines = returned_lines(answer.fields, is_edited=is_edited) + exchange.header_lines()
    exchange.first_byte = perf_counter()
    return Outgoing(exchange.request, answer.status, answer.reason, lines, body=body, is_dated=b"date" in answer.named)


def _in_pieces(exchange: Exchange, answer: Answer, length: int | None = None, *, is_edited: bool = False) -> Outgoing:
    lines = returned_lines(answer.fields, is_edited=is_edited) + exchange.header_lines()
    return Outgoing(
        exchange.request, answer.status, answer.reason, lines, length=length, is_dated=b"date" in answer.named
    )
