"""Traces and GenAI metrics as an OTLP collector receives them."""

import asyncio
from io import StringIO
from typing import Any

import msgspec
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.metrics import LABEL_VALUES
from sigmaguard_proxy.observing import Observing
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tracing import Context, Tracing
from tests.engine.fakes import blocks, masks, policy_of
from tests.otlp import collector
from tests.proxy.scripted import Silent, chat, completion, gateway, whole
from tests.proxy.test_metrics import RECORD

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "hunter2hunter2"


def attributes(span: Any) -> dict[str, Any]:
    """A span's attributes as plain values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


async def test_an_exchange_becomes_spans_under_the_callers() -> None:
    async with collector() as sink:
        observing = Observing(Settings(otlp_endpoint=sink.url), 0, Silent())
        policy = policy_of(masks(SECRET), blocks("forbidden"))
        script = whole(completion("fine"))
        async with gateway(policy, script=script, observers=observing.observers, tracer=observing.tracing) as one:
            headers = {"traceparent": CALLER, "x-sigmaguard-agent": "buyer"}
            async with one.call("/v1/chat/completions", chat(f"use {SECRET}"), headers=headers) as answer:
                assert answer.status == 200
            async with one.call("/v1/chat/completions", chat("forbidden"), headers=headers) as answer:
                assert answer.status == 403
            sent = one.provider.received[0].header("traceparent")
        await observing.stop()

    roots = [span for span in sink.spans if span.parent_span_id.hex() == "00f067aa0ba902b7"]
    assert len(roots) == 2
    assert {span.trace_id.hex() for span in sink.spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    allowed, blocked = roots
    assert sent == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{allowed.span_id.hex()}-01"
    said = attributes(allowed)
    assert said["gen_ai.operation.name"] == "chat" and said["gen_ai.request.model"] == "gpt-test"
    assert said["gen_ai.usage.input_tokens"] == 3 and said["gen_ai.usage.output_tokens"] == 5
    assert said["gen_ai.agent.name"] == "buyer" and said["sigmaguard.action"] == "mask"
    assert allowed.name == "chat gpt-test"
    assert attributes(blocked)["error.type"] == "test.bad" and blocked.status.code == 2
    stages = [span.name for span in sink.spans if span.parent_span_id == allowed.span_id]
    assert {"sigmaguard.decode", "sigmaguard.inspect", "sigmaguard.act"} <= set(stages)
    names = {metric.name for metric in sink.metrics}
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= names
    assert SECRET.encode() not in sink.raw and b"forbidden" not in sink.raw


async def test_names_that_callers_choose_hold_no_text_wherever_they_are_told() -> None:
    async with collector() as sink:
        log = StringIO()
        observing = Observing(Settings(otlp_endpoint=sink.url, log_exchanges=True), 0, Log("test", log))
        async with gateway(
            policy_of(), script=whole(completion("fine")), observers=observing.observers, tracer=observing.tracing
        ) as one:
            headers = {"x-sigmaguard-agent": "tell Anna Smith"}
            body = chat("hi", model=f"gpt-4o my key is {SECRET}")
            assert (await one.answer("/v1/chat/completions", body, headers=headers))[0] == 200
            (record,) = await one.recorder.after(1)
        await observing.stop()
    told = log.getvalue() + observing.metrics.expose().decode() + repr(record) + sink.raw.decode("latin-1")
    assert record.model.startswith("unnamed-") and record.subject.agent.startswith("unnamed-")
    assert record.model in told and SECRET not in told and "Anna" not in told


def test_models_beyond_so_many_are_other_in_metrics_that_are_sent() -> None:
    reader = InMemoryMetricReader()
    tracing = Tracing(SpanProcessor(), MeterProvider([reader]), Resource.create())
    for number in range(LABEL_VALUES + 50):
        tracing.observe(msgspec.structs.replace(RECORD, model=f"model{number}", trace=Context(CALLER).packed()))
    data = reader.get_metrics_data()
    assert data is not None
    sent = [one for each in data.resource_metrics for scope in each.scope_metrics for one in scope.metrics]
    for metric in sent:
        models = {(point.attributes or {})["gen_ai.request.model"] for point in metric.data.data_points}
        assert len(models) == LABEL_VALUES + 1 and "other" in models


async def test_without_an_endpoint_nothing_is_traced_and_the_callers_context_passes() -> None:
    observing = Observing(Settings(), 0, Silent())
    assert observing.tracing is None
    async with gateway(
        policy_of(), script=whole(completion("fine")), observers=observing.observers, tracer=observing.tracing
    ) as one:
        async with one.call("/v1/chat/completions", chat("hi"), headers={"traceparent": CALLER}) as answer:
            await answer.read()
        assert one.provider.received[0].header("traceparent") == CALLER
        assert one.recorder.records[0].trace == ""
    await observing.stop()


def test_a_context_is_taken_over_only_where_it_is_valid() -> None:
    taken = Context(CALLER)
    assert f"{taken.trace:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736" and taken.flags == 1
    for bad in (None, "", "nonsense", CALLER.replace("4bf9", "4BF9"), "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        fresh = Context(bad)
        assert fresh.parent == 0 and fresh.trace != 0 and fresh.span != 0


async def test_a_collector_that_is_down_costs_no_exchange() -> None:
    observing = Observing(Settings(otlp_endpoint="http://127.0.0.1:9"), 0, Silent())
    assert isinstance(observing.tracing, Tracing)
    async with gateway(
        policy_of(), script=whole(completion("fine")), observers=observing.observers, tracer=observing.tracing
    ) as one:
        status, _ = await one.answer("/v1/chat/completions", chat("hi"))
        assert status == 200
    async with asyncio.timeout(20):
        await observing.stop()
