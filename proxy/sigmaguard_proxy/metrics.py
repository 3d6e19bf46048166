"""Every metric there is, declared once, fed from exchange records. Holds no content and bounds its labels.

Names and units after Prometheus' conventions (base units, `_total`). With several workers
`PROMETHEUS_MULTIPROC_DIR` is set before this module is imported, and the values add up across them.
"""

import os
from bisect import bisect_left
from collections import Counter as Counting
from collections import defaultdict
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

from sigmaguard.model import FaultSource, Outcome
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


# protocol, mode, action, intended, status, tenant, agent, outcomes
_Alike = tuple[str, str, str, str, int, str, str, tuple[tuple[str, Outcome], ...]]


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


class _Times:
    """Durations counted by bucket since the last flush, in seconds."""

    __slots__ = ("buckets", "sum", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.sum = 0.0
        self.total = 0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum += seconds
        self.total += 1

    def flush(self, histogram: Any) -> None:
        """Adds what was counted to a histogram, whose own `observe` takes one value at a time."""
        for place, count in enumerate(self.buckets):
            if count:
                histogram._buckets[place].inc(count)
        histogram._sum.inc(self.sum)
        self.buckets = [0] * len(self.buckets)
        self.sum, self.total = 0.0, 0


class Metrics:
    """The metrics of one process; `observe` takes a record, `expose` gives the text Prometheus scrapes.

    `price` tells what so many tokens of a model cost, in US dollars, negative where nobody knows.
    """

    def __init__(self, price: Price = unpriced) -> None:
        self._price = price
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each counter that nobody asks for
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
        self.tasks = gauge("event_loop_tasks", "Asyncio tasks that have not ended")
        self.audit_waiting = gauge(
            "audit_waiting_records", "Records written but not yet in the database", mode="livemax"
        )
        self.audit_lag = gauge("audit_lag_seconds", "Age of the oldest record not yet in the database", mode="livemax")
        self.audit_lost_heads = gauge(
            "audit_lost_heads", "Chain heads seen before that the database, set back, no longer has", mode="livemax"
        )
        self.policy_info = gauge(
            "policy_info", "1 for the policy revision a worker runs", "worker", "policy", "revision", mode="livemax"
        )
        self.toggle = gauge("mode_info", "1 for the mode in force", "worker", "mode", mode="livemax")
        self.tiers = counter("model_windows", "Windows of text each tier of the injection model read", "tier")
        self.degraded = gauge("degraded", "1 for a part that does not work right now", "part", mode="livemax")
        self._tenants, self._agents, self._models = Labels(), Labels(), Labels()
        self._rules = Labels(1000)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._counts: defaultdict[tuple[Any, ...], float] = defaultdict(float)
        self._alike: Counting[_Alike] = Counting()
        self._times: defaultdict[tuple[Any, ...], _Times] = defaultdict(_Times)
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
        """Counts one exchange, in plain numbers; `flush` brings them into the metrics about once a second.

        A counter's own `inc` takes a lock and a histogram's `observe` walks its buckets: together 150 us an
        exchange, this 15.
        """
        counts, protocol, mode, subject = self._counts, record.protocol, record.mode._value_, record.subject
        tenant, agent = self._tenants.bound(subject.tenant), self._agents.bound(subject.agent or "none")
        # nearly every exchange is like many others of its second: counted as one thing here, taken apart in `flush`
        alike = (protocol, mode, record.action, record.intended, record.status, tenant, agent, record.outcomes)
        self._alike[alike] += 1
        counts[self.request_bytes, protocol] += record.request_bytes
        counts[self.response_bytes, protocol] += record.response_bytes
        if record.input_findings or record.output_findings:
            self._count_findings(record)
        if record.faults or record.status >= 500:
            self._count_faults(record)
        if record.input_tokens >= 0 or record.output_tokens >= 0:
            self._count_tokens(record)
        times = self._times
        for stage, milliseconds in record.timings.items():
            times[self.stage, stage].add(milliseconds / 1000.0)
        times[self.added, protocol, mode].add(record.added_ms / 1000.0)
        times[self.total, protocol].add(record.total_ms / 1000.0)
        if record.first_token_ms >= 0.0:
            times[self.first_token, protocol].add(record.first_token_ms / 1000.0)

    def _count_findings(self, record: ExchangeRecord) -> None:
        for direction, findings in (("input", record.input_findings), ("output", record.output_findings)):
            for finding in findings:
                self._counts[self.findings, self._rules.bound(finding.rule), finding.detector, direction] += 1

    def _count_faults(self, record: ExchangeRecord) -> None:
        for fault in record.faults:
            self._counts[self.faults, fault.source.value, fault.kind] += 1
            if fault.source is FaultSource.UPSTREAM:
                self._counts[self.upstream_errors, record.upstream, fault.kind] += 1
        if record.status >= 500 and not record.faults:
            self._counts[self.upstream_errors, record.upstream, "status_5xx"] += 1

    def _count_tokens(self, record: ExchangeRecord) -> None:
        model = self._models.bound(record.model or "none")
        given, made = max(0, record.input_tokens), max(0, record.output_tokens)
        self._counts[self.tokens, model, "input"] += given
        self._counts[self.tokens, model, "output"] += made
        cost = self._price(record.model, given, made)
        if cost > 0.0:
            self._counts[self.cost, model] += cost

    def flush(self) -> None:
        """Brings what was counted since the last time into the metrics."""
        counts = self._counts
        for (protocol, mode, action, intended, status, tenant, agent, outcomes), number in self._alike.items():
            counts[self.exchanges, protocol, mode, action, intended, str(status)] += number
            counts[self.subjects, tenant, agent, action] += number
            for detector, outcome in outcomes:
                if outcome is not Outcome.NOT_RUN:
                    counts[self.detections, detector, outcome._value_] += number
        self._alike.clear()
        for (metric, *labels), amount in self._counts.items():
            self._child(metric, *labels).inc(amount)
        self._counts.clear()
        for (metric, *labels), times in self._times.items():
            if times.total:
                times.flush(self._child(metric, *labels))

    def sample(self, vitals: "Vitals") -> None:
        """Takes a worker's vital signs; about once a second, never per exchange."""
        self.flush()
        self._raise_to(self.memory_found, vitals.memory_found)
        self._raise_to(self.memory_missed, vitals.memory_missed)
        self._raise_to(self.shed, vitals.shed)
        for tier, windows in vitals.tiers.items():
            self._raise_to(self._child(self.tiers, tier), windows)
        self.pool_waiting.set(vitals.pool_waiting)
        self.active.set(vitals.active)
        self.tasks.set(vitals.tasks)
        self.audit_waiting.set(vitals.audit_waiting)
        self.audit_lag.set(vitals.audit_lag_s)
        self.audit_lost_heads.set(vitals.audit_lost_heads)
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
        self.flush()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)


class Vitals(msgspec.Struct, frozen=True):
    """What a worker looks like at one moment: totals since its start, and what is so right now.

    `tiers` maps a tier of the injection model to the windows it read; `degraded` a part to whether
    it is down; `audit_lag_s` the age of the oldest record not yet in the database, in seconds;
    `audit_lost_heads` heads of the audit log that the database no longer has;
    `tasks` the asyncio tasks that have not ended.
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
    tasks: int = 0
    audit_lost_heads: int = 0
