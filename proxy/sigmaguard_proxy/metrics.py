"""Every metric there is, declared once, fed from exchange records. Holds no content and bounds its labels.

Names and units after Prometheus' conventions (base units, `_total`). With several workers
`PROMETHEUS_MULTIPROC_DIR` is set before this module is imported, and the values add up across them.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from sigmaguard.model import Outcome
from sigmaguard_proxy.ports import ExchangeRecord

# 50 us to 10 s, about two buckets an octave where budgets lie
BUCKETS_S = (
    *(0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.003, 0.005),
    *(0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
LABEL_VALUES = 200  # of one label; tenants, agents and models beyond that are `other`


Price = Callable[[str, int, int], float]


def unpriced(model: str, input_tokens: int, output_tokens: int) -> float:
    """The price where there is no price table: unknown."""
    return -1.0


class Labels:
    """Keeps a label to a bounded set of values: the first so many, then `other`."""

    def __init__(self, limit: int = LABEL_VALUES) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def bound(self, value: str) -> str:
        """The value, or `other` once there are too many."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return "other"
        self._known.add(value)
        return value


class Metrics:
    """The metrics of one process; `observe` takes a record, `expose` gives the text Prometheus scrapes.

    `price` tells what so many tokens of a model cost, in US dollars, negative where nobody knows.
    """

    def __init__(self, price: Price = unpriced) -> None:
        self._price = price
        disable_created_metrics()  # one more series for each counter that nobody's query asks for
        registry = self._registry = CollectorRegistry()

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"sigmaguard_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, *labels: str) -> Histogram:
            return Histogram(f"sigmaguard_{name}", help_text, labels, registry=registry, buckets=BUCKETS_S)

        def gauge(name: str, help_text: str, *labels: str, mode: Any = "livesum") -> Gauge:
            return Gauge(f"sigmaguard_{name}", help_text, labels, registry=registry, multiprocess_mode=mode)

        self.exchanges = counter(
            "exchanges",
            "Exchanges by what they were and what happened",
            "protocol",
            "mode",
            "action",
            "intended",
            "status",
        )
        self.subjects = counter("subject_exchanges", "Exchanges by tenant and agent", "tenant", "agent", "action")
        self.findings = counter("findings", "Findings that counted", "rule", "detector", "direction")
        self.detections = counter("detector_runs", "What became of detectors", "detector", "outcome")
        self.faults = counter("faults", "Failures by source", "source", "kind")
        self.upstream_errors = counter("upstream_errors", "Answers of 500 and above, and failures", "upstream", "kind")
        self.tokens = counter("tokens", "Tokens as the upstream counted them", "model", "kind")
        self.cost = counter("cost_usd", "Money spent by the price table, in US dollars", "model")
        self.request_bytes = counter("request_bytes", "Bytes of request bodies", "protocol")
        self.response_bytes = counter("response_bytes", "Bytes of answers", "protocol")
        self.stage = histogram("stage_seconds", "Time a stage took", "stage")
        self.added = histogram("added_latency_seconds", "Time an exchange took beyond its upstream", "protocol", "mode")
        self.total = histogram("exchange_seconds", "Time an exchange took in all", "protocol")
        self.first_token = histogram("first_token_seconds", "Time to the first byte of an answer", "protocol")
        self.memory_found = counter("memory_found", "Texts whose verdict was remembered")
        self.memory_missed = counter("memory_missed", "Texts that had to be inspected")
        self.shed = counter("inspections_shed", "Inspections not run because too many were waiting")
        self.pool_waiting = gauge("pool_waiting", "Inspections waiting for a thread")
        self.active = gauge("active_exchanges", "Exchanges under way")
        self.audit_waiting = gauge(
            "audit_waiting_records", "Records written but not yet in the database", mode="livemax"
        )
        self.audit_lag = gauge("audit_lag_seconds", "Age of the oldest record not yet in the database", mode="livemax")
        self.policy_info = gauge(
            "policy_info", "1 for the policy revision a worker runs", "worker", "policy", "revision", mode="livemax"
        )
        self.toggle = gauge("mode_info", "1 for the mode in force", "worker", "mode", mode="livemax")
        self.tiers = counter("model_windows", "Windows of text each tier of the injection model read", "tier")
        self.degraded = gauge("degraded", "1 for a part that does not work right now", "part", mode="livemax")
        self._tenants, self._agents, self._models = Labels(), Labels(), Labels()
        self._rules = Labels(1000)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._totals: dict[Any, int] = {}
        self._shown: dict[str, tuple[str, ...]] = {}

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric's child; `labels()` takes a lock and builds a tuple of strings each time, this does not."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def observe(self, record: ExchangeRecord) -> None:
        """Counts one exchange."""
        child, protocol, mode = self._child, record.protocol, record.mode.value
        child(self.exchanges, protocol, mode, record.action, record.intended, str(record.status)).inc()
        subject = record.subject
        tenant, agent = self._tenants.bound(subject.tenant), self._agents.bound(subject.agent or "none")
        child(self.subjects, tenant, agent, record.action).inc()
        for direction, findings in (("input", record.input_findings), ("output", record.output_findings)):
            for finding in findings:
                child(self.findings, self._rules.bound(finding.rule), finding.detector, direction).inc()
        for detector, outcome in record.outcomes:
            if outcome is not Outcome.NOT_RUN:
                child(self.detections, detector, outcome.value).inc()
        for fault in record.faults:
            child(self.faults, fault.source.value, fault.kind).inc()
            if fault.source.value == "upstream":
                child(self.upstream_errors, record.upstream, fault.kind).inc()
        if record.status >= 500 and not record.faults:
            child(self.upstream_errors, record.upstream, "status_5xx").inc()
        for stage, milliseconds in record.timings.items():
            child(self.stage, stage).observe(milliseconds / 1000.0)
        child(self.added, protocol, mode).observe(record.added_ms / 1000.0)
        child(self.total, protocol).observe(record.total_ms / 1000.0)
        if record.first_token_ms >= 0.0:
            child(self.first_token, protocol).observe(record.first_token_ms / 1000.0)
        child(self.request_bytes, protocol).inc(record.request_bytes)
        child(self.response_bytes, protocol).inc(record.response_bytes)
        if record.input_tokens >= 0 or record.output_tokens >= 0:
            model = self._models.bound(record.model or "none")
            child(self.tokens, model, "input").inc(max(0, record.input_tokens))
            child(self.tokens, model, "output").inc(max(0, record.output_tokens))

            cost = self._price(record.model, max(0, record.input_tokens), max(0, record.output_tokens))
            if cost > 0.0:
                child(self.cost, model).inc(cost)

    def sample(self, vitals: "Vitals") -> None:
        """Takes a worker's vital signs; about once a second, never per exchange."""
        self._raise_to(self.memory_found, vitals.memory_found)
        self._raise_to(self.memory_missed, vitals.memory_missed)
        self._raise_to(self.shed, vitals.shed)
        for tier, windows in vitals.tiers.items():
            self._raise_to(self._child(self.tiers, tier), windows)
        self.pool_waiting.set(vitals.pool_waiting)
        self.active.set(vitals.active)
        self.audit_waiting.set(vitals.audit_waiting)
        self.audit_lag.set(vitals.audit_lag_s)
        self._show("policy", self.policy_info, (vitals.worker, vitals.policy, vitals.revision))
        self._show("mode", self.toggle, (vitals.worker, vitals.mode))
        for part, is_down in vitals.degraded.items():
            self._child(self.degraded, part).set(float(is_down))

    def _raise_to(self, metric: Any, total: int) -> None:
        """Brings a counter up to a total that somebody else counts."""
        before = self._totals.get(metric, 0)
        if total > before:
            metric.inc(total - before)
            self._totals[metric] = total

    def _show(self, name: str, metric: Gauge, labels: tuple[str, ...]) -> None:
        """One series at 1, the one shown before at 0."""
        before = self._shown.get(name)
        if before != labels:
            if before is not None:
                self._child(metric, *before).set(0.0)
            self._child(metric, *labels).set(1.0)
            self._shown[name] = labels

    def expose(self) -> bytes:
        """The exposition text, across all workers where there are several."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)


class Vitals(msgspec.Struct, frozen=True):
    """What a worker looks like at one moment: totals since its start, and what is so right now.

    `tiers` maps a tier of the injection model to the windows it read; `degraded` a part to whether
    it is down; `audit_lag_s` the age of the oldest record not yet in the database, in seconds.
    """

    worker: str
    policy: str
    revision: str
    mode: str
    memory_found: int
    memory_missed: int
    shed: int
    pool_waiting: int
    active: int
    audit_waiting: int = 0
    audit_lag_s: float = 0.0
    tiers: Mapping[str, int] = {}
    degraded: Mapping[str, bool] = {}
