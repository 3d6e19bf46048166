"""Policies and their versions, what runs them, and the master toggle."""

import asyncio
from functools import partial
from typing import Annotated, Literal

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.admin.endpoint import Answer, Call, Endpoint, NoQuery, Where
from sigmaguard_proxy.admin.endpoints.policy_tests import (
    Reference,
    TestOrder,
    TestReport,
    run_test,
)
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.errors import NotFoundError, invalid
from sigmaguard_proxy.control.paging import Page, Paging
from sigmaguard_proxy.control.permissions import Permission
from sigmaguard_proxy.control.policy_shapes import (
    Assignment,
    AssignmentOrder,
    MoveOrder,
    PolicyDiff,
    PolicyMove,
    PolicyOrder,
    PolicySummary,
    PolicyVersion,
    Trials,
    VersionOrder,
)
from sigmaguard_proxy.control.toggles import Toggle, ToggleChange, ToggleOrder


class DiffQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two versions, each `NAME@NUMBER`, `NAME` (the one in force) or a shipped name."""

    before: Reference
    after: Reference


class AssignmentQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which assignment."""

    kind: Literal["tenant", "route"]
    target: Annotated[str, msgspec.Meta(max_length=200)] = ""


class PolicyEndpoints:
    """Handlers of policies and toggles."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._policies = services.policies
        self._toggles = services.toggles
        self._testing = asyncio.Semaphore(1)  # a test may load a model; one at a time leaves room for the rest

    async def many(self, call: Call[None, Paging]) -> Page[PolicySummary]:
        """A tenant's policies."""
        return await self._policies.many(call.tenant, call.query)

    async def make(self, call: Call[PolicyOrder, NoQuery]) -> PolicySummary:
        """A new policy."""
        return await self._policies.make(call.tenant, call.body, call.actor)

    async def get(self, call: Call[None, NoQuery]) -> PolicySummary:
        """One policy."""
        return await self._policies.get(call.tenant, call.path["policy"])

    async def delete(self, call: Call[None, NoQuery]) -> Answer:
        """Deletes a policy that nobody runs."""
        await self._policies.delete(call.tenant, call.path["policy"], call.actor, call.expected)
        return Answer(None, 204)

    async def versions(self, call: Call[None, Paging]) -> Page[PolicyVersion]:
        """A policy's versions."""
        return await self._policies.versions(call.tenant, call.path["policy"], call.query)

    async def edit(self, call: Call[VersionOrder, NoQuery]) -> PolicyVersion:
        """A new version."""
        return await self._policies.edit(call.tenant, call.path["policy"], call.body, call.actor, call.expected)

    async def version(self, call: Call[None, NoQuery]) -> PolicyVersion:
        """One version."""
        return await self._policies.version(call.tenant, call.path["policy"], int(call.path["number"]))

    async def diff(self, call: Call[None, DiffQuery]) -> PolicyDiff:
        """What changes from one version to another."""
        return await self._policies.diff(call.tenant, call.query.before, call.query.after)

    async def stage(self, call: Call[MoveOrder, NoQuery]) -> PolicySummary:
        """Lets a version look on."""
        name, number = call.path["policy"], int(call.path["number"])
        return await self._policies.stage(call.tenant, name, number, call.body.reason, call.actor, call.expected)

    async def unstage(self, call: Call[MoveOrder, NoQuery]) -> PolicySummary:
        """Ends a trial."""
        name = call.path["policy"]
        return await self._policies.unstage(call.tenant, name, call.body.reason, call.actor, call.expected)

    async def promote(self, call: Call[MoveOrder, NoQuery]) -> PolicySummary:
        """Puts a version in force."""
        name, number = call.path["policy"], int(call.path["number"])
        return await self._policies.promote(call.tenant, name, number, call.body.reason, call.actor, call.expected)

    async def roll_back(self, call: Call[MoveOrder, NoQuery]) -> PolicySummary:
        """Puts the version before in force again."""
        name = call.path["policy"]
        return await self._policies.roll_back(call.tenant, name, call.body.reason, call.actor, call.expected)

    async def moves(self, call: Call[None, Paging]) -> Page[PolicyMove]:
        """What was in force when, and why."""
        return await self._policies.moves(call.tenant, call.path["policy"], call.query)

    async def trials(self, call: Call[None, NoQuery]) -> Page[Trials]:
        """What a staged version would have done."""
        return await self._policies.trials(call.tenant, call.path["policy"])

    async def test(self, call: Call[TestOrder, NoQuery]) -> TestReport:
        """Tries a policy on texts and on its own cases."""
        order = call.body
        if (order.policy is None) == (order.pack is None):
            raise invalid("policy", "give either `policy` or `pack`")
        async with self._testing:
            policy = await self._compiled(call.tenant, order)
            return await asyncio.to_thread(run_test, policy, order.texts)

    async def _compiled(self, tenant: str, order: TestOrder) -> Policy:
        if order.pack is not None:
            return await self._policies.compiled(order.pack, "draft")
        assert order.policy is not None
        if order.policy in self._services.compiler.shipped_names():
            try:
                return await asyncio.to_thread(self._services.compiler.named, order.policy)
            except ConfigError as error:
                raise NotFoundError(str(error)) from error
        raw, name = await self._policies.source(tenant, order.policy)
        return await self._policies.compiled(raw, name)

    async def assignments(self, call: Call[None, NoQuery]) -> Page[Assignment]:
        """What runs which policy."""
        return await self._policies.assignments(call.tenant)

    async def assign(self, call: Call[AssignmentOrder, NoQuery]) -> Assignment:
        """Gives the tenant or a route a policy."""
        return await self._policies.assign(call.tenant, call.body, call.actor)

    async def unassign(self, call: Call[None, AssignmentQuery]) -> Answer:
        """Takes an assignment away."""
        await self._policies.unassign(call.tenant, call.query.kind, call.query.target, call.actor)
        return Answer(None, 204)

    async def toggle(self, call: Call[None, NoQuery]) -> Toggle:
        """The mode of a tenant, or of everything."""
        return await self._toggles.get(call.tenant or EVERYWHERE)

    async def turn(self, call: Call[ToggleOrder, NoQuery]) -> Toggle:
        """Turns the toggle."""
        return await self._toggles.turn(call.tenant or EVERYWHERE, call.body, call.actor, call.expected)

    async def toggle_history(self, call: Call[None, Paging]) -> Page[ToggleChange]:
        """Who turned the toggle when, and why."""
        return await self._toggles.history(call.tenant or EVERYWHERE, call.query)

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        return [*self._policy_endpoints(), *self._move_endpoints(), *self._toggle_endpoints()]

    def _policy_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Policies"), "/tenants/{tenant}/policies"
        read, write = Permission.POLICY_READ, Permission.POLICY_WRITE
        versions = f"{path}/{{policy}}/versions"
        return [
            one(
                method="GET",
                path=path,
                name="listPolicies",
                summary="Policies, shipped ones first",
                permission=read,
                handler=self.many,
                query=Paging,
                answer=Page[PolicySummary],
            ),
            one(
                method="POST",
                path=path,
                name="makePolicy",
                summary="Make a policy; nothing runs it yet",
                permission=write,
                handler=self.make,
                body=PolicyOrder,
                answer=PolicySummary,
                status=201,
            ),
            one(
                method="GET",
                path=f"{path}/{{policy}}",
                name="getPolicy",
                summary="One policy",
                permission=read,
                handler=self.get,
                answer=PolicySummary,
            ),
            one(
                method="DELETE",
                path=f"{path}/{{policy}}",
                name="deletePolicy",
                summary="Delete a policy nobody runs",
                permission=write,
                handler=self.delete,
                status=204,
                versioned=True,
            ),
            one(
                method="GET",
                path=versions,
                name="listPolicyVersions",
                summary="A policy's versions",
                permission=read,
                handler=self.versions,
                query=Paging,
                answer=Page[PolicyVersion],
            ),
            one(
                method="POST",
                path=versions,
                name="editPolicy",
                summary="Write a new version",
                permission=write,
                handler=self.edit,
                body=VersionOrder,
                answer=PolicyVersion,
                status=201,
                versioned=True,
            ),
            one(
                method="GET",
                path=f"{versions}/{{number}}",
                name="getPolicyVersion",
                summary="One version",
                permission=read,
                handler=self.version,
                answer=PolicyVersion,
            ),
            one(
                method="GET",
                path="/tenants/{tenant}/policy-diff",
                name="diffPolicies",
                summary="What changes from one version to another",
                permission=read,
                handler=self.diff,
                query=DiffQuery,
                answer=PolicyDiff,
            ),
            one(
                method="POST",
                path="/tenants/{tenant}/policy-test",
                name="testPolicy",
                summary="Try a policy on texts and on its own cases",
                permission=read,
                handler=self.test,
                body=TestOrder,
                answer=TestReport,
            ),
        ]

    def _move_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Policies"), "/tenants/{tenant}/policies/{policy}"
        read, promote = Permission.POLICY_READ, Permission.POLICY_PROMOTE
        move = partial(one, method="POST", body=MoveOrder, answer=PolicySummary, versioned=True, permission=promote)
        assigned = "/tenants/{tenant}/policy-assignments"
        return [
            move(
                path=f"{path}/versions/{{number}}/stage",
                name="stagePolicy",
                summary="Let a version look on beside the one in force",
                handler=self.stage,
            ),
            move(
                path=f"{path}/versions/{{number}}/promote",
                name="promotePolicy",
                summary="Put a version in force",
                handler=self.promote,
            ),
            move(path=f"{path}/unstage", name="unstagePolicy", summary="End a trial", handler=self.unstage),
            move(
                path=f"{path}/rollback",
                name="rollBackPolicy",
                summary="Put the version before in force again",
                handler=self.roll_back,
            ),
            one(
                method="GET",
                path=f"{path}/moves",
                name="listPolicyMoves",
                summary="What was in force when, and why",
                permission=read,
                handler=self.moves,
                query=Paging,
                answer=Page[PolicyMove],
            ),
            one(
                method="GET",
                path=f"{path}/trials",
                name="listPolicyTrials",
                summary="What a staged version would have done",
                permission=read,
                handler=self.trials,
                answer=Page[Trials],
            ),
            one(
                method="GET",
                path=assigned,
                name="listAssignments",
                summary="What runs which policy",
                permission=read,
                handler=self.assignments,
                answer=Page[Assignment],
            ),
            one(
                method="PUT",
                path=assigned,
                name="assignPolicy",
                summary="Give the tenant or a route a policy",
                permission=promote,
                handler=self.assign,
                body=AssignmentOrder,
                answer=Assignment,
            ),
            one(
                method="DELETE",
                path=assigned,
                name="unassignPolicy",
                summary="Take an assignment away",
                permission=promote,
                handler=self.unassign,
                query=AssignmentQuery,
                status=204,
            ),
        ]

    def _toggle_endpoints(self) -> list[Endpoint]:
        found: list[Endpoint] = []
        places: tuple[tuple[str, str, Where, str], ...] = (
            ("/toggle", "Toggle", "installation", "everything"),
            ("/tenants/{tenant}/toggle", "TenantToggle", "tenant", "a tenant"),
        )
        for path, label, where, whose in places:
            one = partial(Endpoint, tag="Toggle", where=where)
            read, write = Permission.TOGGLE_READ, Permission.TOGGLE_WRITE
            found += [
                one(
                    method="GET",
                    path=path,
                    name=f"get{label}",
                    summary=f"The mode of {whose}: enforce, shadow or off",
                    permission=read,
                    handler=self.toggle,
                    answer=Toggle,
                ),
                one(
                    method="PUT",
                    path=path,
                    name=f"turn{label}",
                    summary=f"Turn the toggle of {whose}; every worker obeys within a second",
                    permission=write,
                    handler=self.turn,
                    body=ToggleOrder,
                    answer=Toggle,
                    versioned=True,
                ),
                one(
                    method="GET",
                    path=f"{path}/history",
                    name=f"list{label}Changes",
                    summary=f"Who turned the toggle of {whose}, when and why",
                    permission=read,
                    handler=self.toggle_history,
                    query=Paging,
                    answer=Page[ToggleChange],
                ),
            ]
        return found
