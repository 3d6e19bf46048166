"""Tenants and their members; members of the whole installation."""

from functools import partial

import msgspec

from sigmaguard_proxy.admin.checks import check_grant
from sigmaguard_proxy.admin.endpoint import Answer, Call, Endpoint, NoQuery, Where
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.change import EVERYWHERE
from sigmaguard_proxy.control.paging import Page, Paging
from sigmaguard_proxy.control.people import (
    Invited,
    Member,
    MemberOrder,
    RoleOrder,
    Tenant,
    TenantEdit,
    TenantOrder,
)
from sigmaguard_proxy.control.permissions import Permission


class TenantEndpoints:
    """Handlers of tenants and members."""

    def __init__(self, services: AdminServices) -> None:
        self._tenants = services.tenants
        self._members = services.members
        self._public_url = services.public_url

    async def many(self, call: Call[None, Paging]) -> Page[Tenant]:
        """The tenants one belongs to."""
        return await self._tenants.many(call.query, call.who.tenants())

    async def make(self, call: Call[TenantOrder, NoQuery]) -> Tenant:
        """A new tenant."""
        return await self._tenants.make(call.body, call.actor)

    async def get(self, call: Call[None, NoQuery]) -> Tenant:
        """One tenant."""
        return await self._tenants.get(call.tenant)

    async def edit(self, call: Call[TenantEdit, NoQuery]) -> Tenant:
        """Changes a tenant."""
        return await self._tenants.edit(call.tenant, call.body, call.actor, call.expected)

    async def delete(self, call: Call[None, NoQuery]) -> Answer:
        """Deletes a tenant."""
        await self._tenants.delete(call.tenant, call.actor, call.expected)
        return Answer(None, 204)

    async def members(self, call: Call[None, Paging]) -> Page[Member]:
        """A tenant's members, or the installation's."""
        return await self._members.many(call.tenant or EVERYWHERE, call.query)

    async def invite(self, call: Call[MemberOrder, NoQuery]) -> Invited:
        """Asks somebody in."""
        scope = call.tenant or EVERYWHERE
        check_grant(call, scope, call.body.role)
        invited = await self._members.invite(scope, call.body, call.actor)
        link = f"{self._public_url()}/claim#{invited.token}" if invited.token else ""
        return msgspec.structs.replace(invited, link=link)

    async def set_role(self, call: Call[RoleOrder, NoQuery]) -> Member:
        """Gives a member another role; the old one may not be more than one's own either."""
        scope, user = call.tenant or EVERYWHERE, call.path["user"]
        check_grant(call, scope, (await self._members.get(scope, user)).role)
        check_grant(call, scope, call.body.role)
        return await self._members.set_role(scope, user, call.body, call.actor)

    async def remove(self, call: Call[None, NoQuery]) -> Answer:
        """Ends a membership."""
        scope, user = call.tenant or EVERYWHERE, call.path["user"]
        check_grant(call, scope, (await self._members.get(scope, user)).role)
        await self._members.remove(scope, user, call.actor)
        return Answer(None, 204)

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        one = partial(Endpoint, tag="Tenants")
        tenant = "/tenants/{tenant}"
        found = [
            one(
                method="GET",
                path="/tenants",
                name="listTenants",
                summary="The tenants one belongs to",
                where="self",
                handler=self.many,
                query=Paging,
                answer=Page[Tenant],
            ),
            one(
                method="POST",
                path="/tenants",
                name="makeTenant",
                summary="Make a tenant",
                where="installation",
                permission=Permission.SYSTEM_WRITE,
                handler=self.make,
                body=TenantOrder,
                answer=Tenant,
                status=201,
            ),
            one(
                method="GET",
                path=tenant,
                name="getTenant",
                summary="One tenant",
                permission=Permission.TENANT_READ,
                handler=self.get,
                answer=Tenant,
            ),
            one(
                method="PATCH",
                path=tenant,
                name="editTenant",
                summary="Change a tenant",
                permission=Permission.TENANT_WRITE,
                handler=self.edit,
                body=TenantEdit,
                answer=Tenant,
                versioned=True,
            ),
            one(
                method="DELETE",
                path=tenant,
                name="deleteTenant",
                summary="Delete a tenant with everything but its audit log",
                where="installation",
                permission=Permission.SYSTEM_WRITE,
                handler=self.delete,
                status=204,
                versioned=True,
            ),
        ]
        places: tuple[tuple[str, str, Where], ...] = ((tenant, "Member", "tenant"), ("", "Operator", "installation"))
        for path, label, where in places:
            members = partial(one, tag="Members", where=where)
            what = "of a tenant" if where == "tenant" else "of the whole installation"
            found += [
                members(
                    method="GET",
                    path=f"{path}/members",
                    name=f"list{label}s",
                    summary=f"Members {what}",
                    permission=Permission.MEMBER_READ,
                    handler=self.members,
                    query=Paging,
                    answer=Page[Member],
                ),
                members(
                    method="POST",
                    path=f"{path}/members",
                    name=f"invite{label}",
                    summary=f"Ask somebody in as a member {what}",
                    permission=Permission.MEMBER_WRITE,
                    handler=self.invite,
                    body=MemberOrder,
                    answer=Invited,
                    status=201,
                ),
                members(
                    method="PUT",
                    path=f"{path}/members/{{user}}",
                    name=f"set{label}Role",
                    summary=f"Give a member {what} another role",
                    permission=Permission.MEMBER_WRITE,
                    handler=self.set_role,
                    body=RoleOrder,
                    answer=Member,
                ),
                members(
                    method="DELETE",
                    path=f"{path}/members/{{user}}",
                    name=f"remove{label}",
                    summary=f"End a membership {what}",
                    permission=Permission.MEMBER_WRITE,
                    handler=self.remove,
                    status=204,
                ),
            ]
        return found
