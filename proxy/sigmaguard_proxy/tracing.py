"""Traces and metrics after OpenTelemetry's GenAI conventions, made from finished exchanges. Off unless asked for.

A span an exchange and one a stage are built when the exchange is recorded, so the hot path only ever
makes two random ids. No content: attributes are names, counts and verdicts.
Conventions: OpenTelemetry semantic conventions 1.37, `gen_ai.*` (development status there).
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from sigmaguard_proxy.metrics import Labels
from sigmaguard_proxy.ports import ExchangeRecord

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SCOPE = InstrumentationScope("sigmaguard")
_OPERATION = {
    "openai.chat": "chat",
    "openai.responses": "chat",
    "anthropic.messages": "chat",
    "openai.completions": "text_completion",
    "openai.embeddings": "embeddings",
    "mcp": "execute_tool",
    "egress": "execute_tool",
}
# the stages in the order they run; `relay` overlaps the upstream's answer
_STAGES = ("decode", "limit", "inspect", "act", "relay", "restore")


class Context:
    """A W3C trace context (https://www.w3.org/TR/trace-context/): ours, and the caller's span above it."""

    __slots__ = ("flags", "parent", "span", "trace")

    def __init__(self, traceparent: str | None) -> None:
        found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        usable = found is not None and int(found[1], 16) != 0 and int(found[2], 16) != 0
        self.trace = int(found[1], 16) if found and usable else int.from_bytes(os.urandom(16)) or 1
        self.parent = int(found[2], 16) if found and usable else 0
        self.flags = int(found[3], 16) if found and usable else 1
        self.span = int.from_bytes(os.urandom(8)) or 1

    def header(self) -> str:
        """The `traceparent` for whoever comes after us: our span is above theirs."""
        return f"00-{self.trace:032x}-{self.span:016x}-{self.flags:02x}"

    def packed(self) -> str:
        """Everything a span needs, for the exchange's record: the header and the span above ours."""
        return f"{self.header()}/{self.parent:016x}"


class Tracing:
    """Turns records into spans and GenAI metrics and exports them in the background over OTLP/HTTP."""

    def __init__(self, spans: SpanProcessor, meters: MeterProvider, resource: Resource) -> None:
        self._spans = spans
        self._meters = meters
        self._resource = resource
        self._models = Labels()
        meter = meters.get_meter("sigmaguard")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "Time an exchange took in all")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens of an exchange")
        self._added = meter.create_histogram("sigmaguard.added_latency", "s", "Time beyond the upstream")

    @classmethod
    def over_http(cls, endpoint: str) -> "Tracing":
        """Exports to an OTLP/HTTP endpoint such as http://127.0.0.1:4318; bounded queue, drops when it is full."""
        resource = Resource.create({"service.name": "sigmaguard"})
        base = endpoint.rstrip("/")
        spans = BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", timeout=5), max_queue_size=8192)
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/v1/metrics", timeout=5), 10_000)
        return cls(spans, MeterProvider([reader], resource), resource)

    def begin(self, headers: Mapping[str, str]) -> Context:
        """The trace context of a new exchange."""
        return Context(headers.get("traceparent"))

    def observe(self, record: ExchangeRecord) -> None:
        """Makes the spans and metrics of one exchange; queues them, never blocks."""
        if not record.trace:
            return
        header, _, parent = record.trace.partition("/")
        _, trace, span, flags = header.split("-")
        context = _context(int(trace, 16), int(span, 16), int(flags, 16))
        end = time.time_ns()
        start = end - int(record.total_ms * 1e6)
        attributes = dict(_attributes(record))
        if context.trace_flags.sampled:
            above = _context(int(trace, 16), int(parent, 16), int(flags, 16)) if int(parent, 16) else None
            self._spans.on_end(self._span(_name(record), context, above, attributes, (start, end), record.status))
            for child in self._stages(record, context, start):
                self._spans.on_end(child)
        self._measure(record, attributes)

    def _span(
        self,
        name: str,
        context: SpanContext,
        above: SpanContext | None,
        attributes: Mapping[str, Any],
        times: tuple[int, int],
        status: int = 0,
    ) -> ReadableSpan:
        failed = status >= 500 or status == 403
        return ReadableSpan(
            name=name,
            context=context,
            parent=above,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.SERVER if status else SpanKind.INTERNAL,
            instrumentation_scope=_SCOPE,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=times[0],
            end_time=times[1],
        )

    def _stages(self, record: ExchangeRecord, context: SpanContext, start: int) -> Iterator[ReadableSpan]:
        """One span a stage, laid end to end: stages are timed, not stamped."""
        at = start
        for stage in _STAGES:
            spent = record.timings.get(stage)
            if spent is None:
                continue
            own = _context(context.trace_id, int.from_bytes(os.urandom(8)) or 1, int(context.trace_flags))
            end = at + int(spent * 1e6)
            yield self._span(f"sigmaguard.{stage}", own, context, {"sigmaguard.stage": stage}, (at, end))
            at = end

    def _measure(self, record: ExchangeRecord, attributes: Mapping[str, Any]) -> None:
        kept = {key: attributes[key] for key in _METRIC_LABELS if key in attributes}
        if _MODEL in kept:
            kept[_MODEL] = self._models.bound(kept[_MODEL])
        self._duration.record(record.total_ms / 1000.0, kept)
        self._added.record(record.added_ms / 1000.0, kept)
        for kind, count in (("input", record.input_tokens), ("output", record.output_tokens)):
            if count >= 0:
                self._tokens.record(count, {**kept, "gen_ai.token.type": kind})

    def close(self) -> None:
        """Exports what is queued, within a few seconds; blocking, so call it in a thread."""
        self._spans.shutdown()
        self._meters.shutdown(5_000)


_MODEL = "gen_ai.request.model"
_METRIC_LABELS = ("gen_ai.operation.name", "gen_ai.provider.name", _MODEL, "error.type")


def _context(trace: int, span: int, flags: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(flags))


def _name(record: ExchangeRecord) -> str:
    return f"{_OPERATION.get(record.protocol, 'request')} {record.model}".strip()


def _attributes(record: ExchangeRecord) -> Iterator[tuple[str, Any]]:
    yield "gen_ai.operation.name", _OPERATION.get(record.protocol, "request")
    yield "gen_ai.provider.name", record.upstream
    if record.model:
        yield _MODEL, record.model
    if record.input_tokens >= 0:
        yield "gen_ai.usage.input_tokens", record.input_tokens
    if record.output_tokens >= 0:
        yield "gen_ai.usage.output_tokens", record.output_tokens
    if record.subject.agent:
        yield "gen_ai.agent.name", record.subject.agent
    if record.status >= 400:
        yield "error.type", record.rule or str(record.status)
    yield "http.response.status_code", record.status
    yield "url.path", record.endpoint
    yield "sigmaguard.exchange", record.exchange
    yield "sigmaguard.tenant", record.subject.tenant
    yield "sigmaguard.mode", record.mode.value
    yield "sigmaguard.action", record.action
    yield "sigmaguard.intended", record.intended
    yield "sigmaguard.policy", record.policy
    yield "sigmaguard.findings", sorted({one.rule for one in (*record.input_findings, *record.output_findings)})
    yield "sigmaguard.added_ms", record.added_ms
