"""Calls that wait for a person, and tool definitions that wait to be looked at."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from sigmaguard_proxy.admin.endpoint import Call, Endpoint, NoQuery
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.errors import ConflictError, NotFoundError
from sigmaguard_proxy.control.paging import Page
from sigmaguard_proxy.control.permissions import Permission
from sigmaguard_proxy.control.words import Reason
from sigmaguard_proxy.mcp.pins import Pin
from sigmaguard_proxy.tooling.approvals import PendingCall, State

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]


class WaitingCall(msgspec.Struct, frozen=True):
    """A tool call that waits, or did. `arguments` only while it waits, and only for who may decide it."""

    id: str
    exchange: str
    agent: str
    key: str
    server: str
    tool: str
    rule: str
    state: State
    asked_at: datetime
    expires_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    arguments: Any = None


class CallDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lets a call through, or not."""

    decision: Literal["grant", "deny"]
    reason: Reason


class ToolDefinition(msgspec.Struct, frozen=True):
    """What is known of a tool. `held` rules say why a definition waits; `held_description` is the server's text."""

    server: str
    tool: str
    pinned_digest: str
    held_digest: str = ""
    held: tuple[str, ...] = ()
    held_description: str = ""
    held_at: datetime | None = None


class DefinitionDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Approves the held definition of a tool, or keeps the pinned one."""

    server: Name
    tool: Name
    decision: Literal["approve", "reject"]
    reason: Reason


class ToolEndpoints:
    """Handlers of approvals and tool definitions."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services

    async def approvals(self, call: Call[None, NoQuery]) -> Page[WaitingCall]:
        """Those that wait first."""
        may_decide = Permission.APPROVAL_WRITE in call.who.permissions(call.tenant)
        found = self._services.approvals.list(call.tenant)
        return Page(tuple(_shown(one, may_decide=may_decide) for one in found))

    async def decide(self, call: Call[CallDecision, NoQuery]) -> WaitingCall:
        """The decision is written down before the call goes on."""
        desk = self._services.approvals
        pending = desk.find(call.tenant, call.path["call"])
        if pending is None:
            raise NotFoundError("no such call waits here")
        if pending.state is not State.WAITING:
            raise ConflictError(f"this call is {pending.state.value} already")
        grant = call.body.decision == "grant"
        async with self._services.changes.change(call.tenant, call.actor) as change:
            change.act(
                "approval.granted" if grant else "approval.denied",
                pending.id,
                exchange=pending.exchange,
                tool=f"{pending.server}/{pending.tool}" if pending.server else pending.tool,
                rule=pending.rule,
                reason=call.body.reason,
            )
        if not desk.decide(pending, grant=grant, by=call.actor.label):
            raise ConflictError("this call does not wait any more")
        settled = desk.find(call.tenant, pending.id) or pending
        state = State.GRANTED if grant else State.DENIED
        return _shown(
            msgspec.structs.replace(settled, state=state, by=call.actor.label, arguments=None), may_decide=False
        )

    async def definitions(self, call: Call[None, NoQuery]) -> Page[ToolDefinition]:
        """Those that are held first."""
        book = self._services.pins
        await book.refresh()
        found = [_definition(server, tool, pin) for server, tool, pin in book.entries()]
        return Page(tuple(sorted(found, key=lambda one: (not one.held, one.server, one.tool))))

    async def decide_definition(self, call: Call[DefinitionDecision, NoQuery]) -> ToolDefinition:
        """Every worker follows with its next tool list."""
        book, body = self._services.pins, call.body
        await book.refresh()
        pin = book.get(body.server, body.tool)
        if pin.held is None:
            raise NotFoundError("no definition of that tool is held")
        async with self._services.changes.change(EVERYWHERE, call.actor) as change:
            change.act(
                f"tool_definition.{'approved' if body.decision == 'approve' else 'rejected'}",
                f"{body.server}/{body.tool}",
                digest=pin.held.digest,
                rules=list(pin.held.rules),
                reason=body.reason,
            )
        settle = book.approve if body.decision == "approve" else book.reject
        await settle(body.server, body.tool)
        return _definition(body.server, body.tool, book.get(body.server, body.tool))

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        calls = partial(Endpoint, tag="Approvals")
        tools = partial(Endpoint, tag="Tool definitions", where="installation", path="/tool-definitions")
        return [
            calls(
                method="GET",
                path="/tenants/{tenant}/approvals",
                name="listApprovals",
                summary="Tool calls that wait for a person",
                permission=Permission.APPROVAL_READ,
                handler=self.approvals,
                answer=Page[WaitingCall],
            ),
            calls(
                method="POST",
                path="/tenants/{tenant}/approvals/{call}/decision",
                name="decideApproval",
                summary="Grant or deny a waiting call",
                permission=Permission.APPROVAL_WRITE,
                handler=self.decide,
                body=CallDecision,
                answer=WaitingCall,
            ),
            tools(
                method="GET",
                name="listToolDefinitions",
                summary="Pinned and held tool definitions",
                permission=Permission.SYSTEM_READ,
                handler=self.definitions,
                answer=Page[ToolDefinition],
            ),
            tools(
                method="POST",
                name="decideToolDefinition",
                summary="Approve or reject a held definition",
                permission=Permission.SYSTEM_WRITE,
                handler=self.decide_definition,
                body=DefinitionDecision,
                answer=ToolDefinition,
            ),
        ]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _shown(call: PendingCall, *, may_decide: bool) -> WaitingCall:
    return WaitingCall(
        call.id,
        call.exchange,
        call.subject.agent,
        call.subject.key,
        call.server,
        call.tool,
        call.rule,
        call.state,
        _moment(call.asked_at),
        _moment(call.expires_at),
        call.by,
        _moment(call.settled_at) if call.settled_at else None,
        call.arguments if may_decide and call.state is State.WAITING else None,
    )


def _definition(server: str, tool: str, pin: Pin) -> ToolDefinition:
    if pin.held is None:
        return ToolDefinition(server, tool, pin.digest)
    held = pin.held
    return ToolDefinition(server, tool, pin.digest, held.digest, held.rules, held.description, _moment(held.at))
