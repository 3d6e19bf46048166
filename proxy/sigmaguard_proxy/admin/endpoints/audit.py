"""The audit log: exchanges and acts, content, export, retention, erasure; statistics and live events."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial

import msgspec
from aiohttp import web

from sigmaguard_proxy.admin.endpoint import Call, Endpoint, NoQuery
from sigmaguard_proxy.admin.endpoints.audit_shapes import (
    ActQuery,
    Content,
    CountQuery,
    Erased,
    ErasureOrder,
    ExchangeQuery,
    ExportQuery,
    Latency,
    LatencyQuery,
    Record,
    RetentionOrder,
    Span,
)
from sigmaguard_proxy.admin.events import stream_events
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.audit import queries
from sigmaguard_proxy.audit.append import MINUTE_US, Appender
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection
from sigmaguard_proxy.audit.formats import FORMATS
from sigmaguard_proxy.audit.keys import load_cipher, load_signer
from sigmaguard_proxy.audit.reading import Reader, Stored
from sigmaguard_proxy.audit.retention import Retention, retentions, set_retention
from sigmaguard_proxy.audit.rows import ActFacts, Facts, decode_content
from sigmaguard_proxy.audit.subjects import value_digests
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.errors import NotFoundError, invalid
from sigmaguard_proxy.control.paging import Page, Paging, decode_cursor, encode_cursor
from sigmaguard_proxy.control.permissions import Permission

DAY_S = 86_400.0


class AuditEndpoints:
    """Handlers of the audit log and statistics."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._database = services.changes.database

    async def exchanges(self, call: Call[None, ExchangeQuery]) -> Page[queries.Line]:
        """Exchanges, the newest first."""
        query = call.query
        which = queries.Filter(
            kind="exchange",
            since_us=_us(query.since),
            until_us=_us(query.until),
            agent=query.agent,
            key=query.key,
            model=query.model,
            endpoint=query.endpoint,
            action=query.action,
            intended=query.intended,
            rule=query.rule,
            notable=query.notable,
        )
        return await self._lines(call.tenant, which, query)

    async def acts(self, call: Call[None, ActQuery]) -> Page[queries.Line]:
        """Administrative acts, the newest first."""
        query = call.query
        which = queries.Filter(
            kind="act", since_us=_us(query.since), until_us=_us(query.until), act=query.act, actor=query.actor
        )
        return await self._lines(call.tenant or EVERYWHERE, which, query)

    async def _lines(self, tenant: str, which: queries.Filter, paging: Paging) -> Page[queries.Line]:
        before = _place(paging.cursor)
        async with self._database.read() as connection:
            found = await queries.lines(connection, tenant, which, before=before, limit=paging.limit + 1)
        shown = found[: paging.limit]
        more = len(found) > paging.limit
        return Page(tuple(shown), encode_cursor(f"{shown[-1].at_us}.{shown[-1].sequence}") if more else None)

    async def record(self, call: Call[None, NoQuery]) -> Record:
        """One exchange or act."""
        async with self._database.read() as connection:
            found = await queries.detail(connection, call.tenant, call.path["record"])
        if found is None:
            raise NotFoundError("there is no such record in this tenant")
        facts = found.facts
        return Record(
            found.line,
            facts if isinstance(facts, Facts) else None,
            facts if isinstance(facts, ActFacts) else None,
            found.personal,
            found.has_content,
            found.hash,
            found.previous,
        )

    async def content(self, call: Call[None, NoQuery]) -> Content:
        """What was sent and answered; that somebody read it is an act of its own."""
        tenant, record = call.tenant, call.path["record"]
        stored = await Reader(self._database).content(tenant, record)
        if stored is None:
            raise NotFoundError("no content is kept of this record")
        sealed = decode_content(stored)
        cipher = load_cipher(self._services.audit_folder)

        def opened(part: str, value: bytes) -> str:
            return cipher.decrypt(tenant, record, part, value).decode("utf-8", "replace") if value else ""

        try:
            found = Content(opened("request", sealed.request), opened("response", sealed.response))
        except ValueError as error:
            raise NotFoundError(str(error), "content_unreadable") from error
        async with self._services.changes.change(tenant, call.actor) as change:
            change.act("content.read", record)
        return found

    async def export(self, call: Call[None, ExportQuery]) -> web.StreamResponse:
        """Every record of the tenant, as it is read."""
        to_line: Callable[[Stored], bytes] = FORMATS[call.query.format]
        response = web.StreamResponse(
            headers={"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
        )
        await response.prepare(call.request)
        async for lines in self._export(call.tenant, to_line):
            await response.write(lines)
        await response.write_eof()
        return response

    async def _export(self, tenant: str, to_line: Callable[[Stored], bytes]) -> AsyncIterator[bytes]:
        async for records in Reader(self._database).records(tenant):
            yield b"".join(to_line(one) + b"\n" for one in records)

    async def retention(self, call: Call[None, NoQuery]) -> Retention:
        """How long a tenant's data is kept."""
        return (await retentions(self._database, Retention())).get(call.tenant, Retention())

    async def set_retention(self, call: Call[RetentionOrder, NoQuery]) -> Retention:
        """Changes how long a tenant's data is kept."""
        kept = Retention(call.body.content_days, call.body.personal_days, call.body.record_days)
        async with self._services.changes.change(call.tenant, call.actor) as change:
            await set_retention(change.connection, call.tenant, kept)
            change.act("retention.changed", call.tenant, **msgspec.structs.asdict(kept))
        return kept

    async def erase(self, call: Call[ErasureOrder, NoQuery]) -> Erased:
        """Erases what leads to a person, or contents."""
        order = call.body
        digests: tuple[str, ...] = (order.digest,) if order.digest else ()
        if order.values:
            digests += await value_digests(self._database, self._services.keyring, order.values)
        selection = Selection(
            tenant=call.tenant,
            ids=order.exchanges,
            key=order.key,
            agent=order.agent,
            before_us=_us(order.before),
            remote=order.remote,
            digests=digests,
        )
        if selection == Selection(call.tenant) and not order.everything:
            raise invalid("everything", "nothing is selected; say `everything` where you mean it")
        appender = Appender(load_signer(self._services.audit_folder))
        eraser = Eraser(self._database, appender, call.actor.label, order.reason)
        return Erased(await eraser.erase(selection, Part(order.part)))

    async def counts(self, call: Call[None, CountQuery]) -> Page[queries.Count]:
        """Sums for a dashboard."""
        since, until = _span(call.query)
        query = call.query
        try:
            async with self._database.read() as connection:
                found = await queries.counts(
                    connection, call.tenant, since, until, step_minutes=query.step_minutes, by=query.by
                )
        except ValueError as error:
            raise invalid("step_minutes", str(error)) from error
        return Page(tuple(found))

    async def latency(self, call: Call[None, LatencyQuery]) -> Latency:
        """Latency quantiles."""
        since, until = _span(call.query)
        async with self._database.read() as connection:
            found = await queries.quantiles(
                connection, call.tenant, since, until, call.query.what, (0.5, 0.9, 0.99, 0.999)
            )
        return Latency(call.query.what, *found)

    async def events(self, call: Call[None, NoQuery]) -> web.StreamResponse:
        """Exchanges as they happen."""
        return await stream_events(call.request, self._services.hub, call.tenant or EVERYWHERE)

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        return [*self._log_endpoints(), *self._keeping_endpoints(), *self._statistics_endpoints()]

    def _log_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Audit log"), "/tenants/{tenant}"
        line = Page[queries.Line]
        return [
            one(
                method="GET",
                path=f"{path}/exchanges",
                name="listExchanges",
                summary="Exchanges, the newest first",
                permission=Permission.EXCHANGE_READ,
                handler=self.exchanges,
                query=ExchangeQuery,
                answer=line,
            ),
            one(
                method="GET",
                path=f"{path}/records/{{record}}",
                name="getRecord",
                summary="Everything recorded of an exchange or act",
                permission=Permission.EXCHANGE_READ,
                handler=self.record,
                answer=Record,
            ),
            one(
                method="GET",
                path=f"{path}/records/{{record}}/content",
                name="getContent",
                summary="What was sent and answered, where the tenant keeps it",
                permission=Permission.CONTENT_READ,
                handler=self.content,
                answer=Content,
            ),
            one(
                method="GET",
                path=f"{path}/acts",
                name="listActs",
                summary="What people did here, the newest first",
                permission=Permission.AUDIT_READ,
                handler=self.acts,
                query=ActQuery,
                answer=line,
            ),
            one(
                method="GET",
                path="/acts",
                name="listInstallationActs",
                summary="What people did to the installation",
                where="installation",
                permission=Permission.AUDIT_READ,
                handler=self.acts,
                query=ActQuery,
                answer=line,
            ),
            one(
                method="GET",
                path=f"{path}/audit/export",
                name="exportAudit",
                summary="Every record, one a line",
                permission=Permission.AUDIT_READ,
                handler=self.export,
                query=ExportQuery,
                answer=str,
                media="text/plain",
            ),
        ]

    def _keeping_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Audit log"), "/tenants/{tenant}/audit"
        read, write = Permission.AUDIT_READ, Permission.AUDIT_WRITE
        return [
            one(
                method="GET",
                path=f"{path}/retention",
                name="getRetention",
                summary="How long data is kept",
                permission=read,
                handler=self.retention,
                answer=Retention,
            ),
            one(
                method="PUT",
                path=f"{path}/retention",
                name="setRetention",
                summary="Change how long data is kept",
                permission=write,
                handler=self.set_retention,
                body=RetentionOrder,
                answer=Retention,
            ),
            one(
                method="POST",
                path=f"{path}/erasures",
                name="eraseRecords",
                summary="Erase what leads to a person (GDPR Art. 17); the chain stays whole",
                permission=write,
                handler=self.erase,
                body=ErasureOrder,
                answer=Erased,
            ),
        ]

    def _statistics_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Statistics", permission=Permission.STATISTICS_READ), "/tenants/{tenant}"
        events = partial(
            one,
            method="GET",
            handler=self.events,
            answer=str,
            media="text/event-stream",
            permission=Permission.EXCHANGE_READ,
        )
        return [
            one(
                method="GET",
                path=f"{path}/statistics/counts",
                name="getCounts",
                summary="Exchanges, errors, tokens and cost by time and by one dimension",
                handler=self.counts,
                query=CountQuery,
                answer=Page[queries.Count],
            ),
            one(
                method="GET",
                path=f"{path}/statistics/latency",
                name="getLatency",
                summary="Latency quantiles",
                handler=self.latency,
                query=LatencyQuery,
                answer=Latency,
            ),
            events(
                path=f"{path}/events",
                name="streamEvents",
                summary="A tenant's exchanges as they happen (server-sent events)",
            ),
            events(
                path="/events",
                name="streamAllEvents",
                summary="Every exchange as it happens (server-sent events)",
                where="installation",
            ),
        ]


def _us(at: datetime | None) -> int:
    return round(at.timestamp() * 1_000_000) if at is not None else 0


def _span(query: Span) -> tuple[int, int]:
    until = _us(query.until) or round(time.time() * 1_000_000) // MINUTE_US * MINUTE_US + MINUTE_US
    since = _us(query.since) or until - round(DAY_S * 1_000_000)
    if since >= until:
        raise invalid("since", "must lie before `until`")
    return since, until


def _place(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    at, _, sequence = decode_cursor(cursor).partition(".")
    if not (at.isdigit() and sequence.isdigit() and len(at) < 19 and len(sequence) < 19):
        raise invalid("cursor", "not a cursor; send the `next` of the page before")
    return int(at), int(sequence)
