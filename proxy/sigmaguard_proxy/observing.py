"""Everything that watches exchanges: metrics, traces, log events; and a worker's vital signs once a second."""

import asyncio
from collections.abc import Callable, Sequence

from sigmaguard_proxy.app import DataPlane
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.metrics import Metrics, Price, Vitals, unpriced
from sigmaguard_proxy.ports import ExchangeRecord, Tracer
from sigmaguard_proxy.settings import Settings
from sigmaguard_proxy.tasks import Tasks

SAMPLE_EVERY_S = 1.0
PARTS = ("database", "redis", "audit", "tool_servers")  # what can be down while traffic goes on

# records not yet in the database, age of the oldest in seconds, chain heads the database lost
Lag = Callable[[], tuple[int, float, int]]


class Observing:
    """The watchers of one process; `observers` go to the data plane, `sample` runs until `stop`."""

    def __init__(self, settings: Settings, worker: int | None, log: Log, price: Price = unpriced) -> None:
        self.metrics = Metrics(price)
        self.tracing = _tracing(settings.otlp_endpoint)
        self._worker = "supervisor" if worker is None else str(worker)
        self._log = log
        self._log_all = settings.log_exchanges
        self._tasks = Tasks()

    @property
    def observers(self) -> Sequence[Callable[[ExchangeRecord], None]]:
        """Who hears of every record."""
        found: list[Callable[[ExchangeRecord], None]] = [self.metrics.observe, self._log_exchange]
        if self.tracing is not None:
            found.append(self.tracing.observe)
        return found

    def watch(self, data: DataPlane, lag: Lag) -> None:
        """Samples a data plane's vital signs from now on."""
        self._tasks.spawn(self._sample(data, lag), name="vitals")

    async def _sample(self, data: DataPlane, lag: Lag) -> None:
        while True:
            self.metrics.sample(self._vitals(data, lag))
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _vitals(self, data: DataPlane, lag: Lag) -> Vitals:
        services = data.services
        memory, pool = services.inspecting.memory, services.inspecting.pool
        policy, mode = services.directory.in_force()
        waiting, age, lost = lag()
        down = services.authority.degraded()
        injection = policy.detectors.get("injection")
        return Vitals(
            worker=self._worker,
            policy=policy.name,
            revision=policy.revision,
            mode=mode.value,
            memory_found=memory.found,
            memory_missed=memory.missed,
            shed=pool.shed,
            pool_waiting=pool.waiting,
            active=data.proxy.active,
            audit_waiting=waiting,
            audit_lag_s=age,
            audit_lost_heads=lost,
            tiers=getattr(injection.detector, "windows_read", {}) if injection else {},
            degraded={part: part in down for part in PARTS},
            tasks=len(asyncio.all_tasks()),
        )

    def _log_exchange(self, record: ExchangeRecord) -> None:
        """Blocked and failed exchanges always, others where the settings ask for it. Never any content."""
        blocked = record.intended == "block"
        if not (self._log_all or blocked or record.faults):
            return
        write = self._log.warning if blocked or record.faults else self._log.info
        write(
            "exchange_recorded",
            exchange=record.exchange,
            tenant=record.subject.tenant,
            agent=record.subject.agent,
            protocol=record.protocol,
            endpoint=record.endpoint,
            model=record.model,
            mode=record.mode.value,
            action=record.action,
            intended=record.intended,
            rule=record.rule,
            status=record.status,
            fault=record.faults[0].kind if record.faults else "",
            added_ms=round(record.added_ms, 3),
            total_ms=round(record.total_ms, 3),
        )

    async def stop(self) -> None:
        """Ends sampling and exports what is queued."""
        await self._tasks.drain(0.0)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def _tracing(endpoint: str) -> Tracer | None:
    """The tracer where an endpoint is set; the OpenTelemetry packages are only imported then."""
    if not endpoint:
        return None
    from sigmaguard_proxy.tracing import Tracing  # noqa: PLC0415

    return Tracing.over_http(endpoint)
