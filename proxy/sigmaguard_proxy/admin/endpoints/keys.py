"""Virtual keys, providers' keys, agents, limits in use and prices."""

from functools import partial
from typing import Annotated, Any

import msgspec

from sigmaguard_proxy.admin.endpoint import Answer, Call, Endpoint, NoQuery
from sigmaguard_proxy.admin.services import AdminServices
from sigmaguard_proxy.control.agents import Agent, AgentOrder
from sigmaguard_proxy.control.keys import KeyEdit, KeyOrder, NewVirtualKey, VirtualKey
from sigmaguard_proxy.control.ledger import Spending, spending
from sigmaguard_proxy.control.paging import Page, Paging
from sigmaguard_proxy.control.permissions import Permission
from sigmaguard_proxy.control.prices import Price
from sigmaguard_proxy.control.providers import ProviderKey, ProviderKeyOrder


class KeyQuery(Paging, frozen=True, forbid_unknown_fields=True):
    """Which keys: of one agent, revoked or not."""

    agent: Annotated[str, msgspec.Meta(max_length=64)] = ""
    revoked: bool | None = None


class PriceList(msgspec.Struct, frozen=True):
    """Prices in US dollars for a million tokens, as of a day."""

    as_of: str
    currency: str
    models: dict[str, Price]


class KeyEndpoints:
    """Handlers of keys, agents and limits."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._keys = services.keys
        self._providers = services.provider_keys
        self._agents = services.agents

    async def keys(self, call: Call[None, KeyQuery]) -> Page[VirtualKey]:
        """A tenant's keys."""
        return await self._keys.many(call.tenant, call.query, agent=call.query.agent, revoked=call.query.revoked)

    async def make_key(self, call: Call[KeyOrder, NoQuery]) -> NewVirtualKey:
        """A new key, its secret shown this once."""
        return await self._keys.make(call.tenant, call.body, call.actor, _may(call))

    async def key(self, call: Call[None, NoQuery]) -> VirtualKey:
        """One key."""
        return await self._keys.get(call.tenant, call.path["key"])

    async def edit_key(self, call: Call[KeyEdit, NoQuery]) -> VirtualKey:
        """Changes a key."""
        key, may = call.path["key"], _may(call)
        return await self._keys.edit(call.tenant, key, call.body, call.actor, call.expected, may=may)

    async def rotate_key(self, call: Call[None, NoQuery]) -> NewVirtualKey:
        """A new secret for a key."""
        return await self._keys.rotate(call.tenant, call.path["key"], call.actor, call.expected, may=_may(call))

    async def revoke_key(self, call: Call[None, NoQuery]) -> VirtualKey:
        """Ends a key."""
        return await self._keys.revoke(call.tenant, call.path["key"], call.actor, call.expected)

    async def provider_keys(self, call: Call[None, Paging]) -> Page[ProviderKey]:
        """A tenant's keys towards providers."""
        return await self._providers.many(call.tenant, call.query)

    async def provider_key(self, call: Call[None, NoQuery]) -> ProviderKey:
        """The key for one upstream."""
        return await self._providers.get(call.tenant, call.path["upstream"])

    async def put_provider_key(self, call: Call[ProviderKeyOrder, NoQuery]) -> ProviderKey:
        """Stores or replaces a provider's key."""
        return await self._providers.put(call.tenant, call.path["upstream"], call.body, call.actor, call.expected)

    async def delete_provider_key(self, call: Call[None, NoQuery]) -> Answer:
        """Forgets a provider's key."""
        await self._providers.delete(call.tenant, call.path["upstream"], call.actor, call.expected)
        return Answer(None, 204)

    async def agents(self, call: Call[None, Paging]) -> Page[Agent]:
        """A tenant's agents."""
        return await self._agents.many(call.tenant, call.query)

    async def agent(self, call: Call[None, NoQuery]) -> Agent:
        """One agent."""
        return await self._agents.get(call.tenant, call.path["agent"])

    async def put_agent(self, call: Call[AgentOrder, NoQuery]) -> Agent:
        """Makes or replaces an agent's settings."""
        return await self._agents.put(call.tenant, call.path["agent"], call.body, call.actor, call.expected)

    async def delete_agent(self, call: Call[None, NoQuery]) -> Answer:
        """Forgets an agent's settings."""
        await self._agents.delete(call.tenant, call.path["agent"], call.actor, call.expected)
        return Answer(None, 204)

    async def spending(self, call: Call[None, NoQuery]) -> Page[Spending]:
        """What was spent of each budget in the periods under way."""
        async with self._services.changes.read(call.tenant) as scope:
            return Page(await spending(scope))

    async def prices(self, call: Call[None, NoQuery]) -> PriceList:
        """The price table in use."""
        file = self._services.prices.file
        return PriceList(file.as_of, file.currency, dict(file.models))

    def endpoints(self) -> list[Endpoint]:
        """This part of the table."""
        return [*self._key_endpoints(), *self._provider_endpoints(), *self._agent_endpoints()]

    def _key_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Keys"), "/tenants/{tenant}/keys"
        read, write = Permission.KEY_READ, Permission.KEY_WRITE
        return [
            one(
                method="GET",
                path=path,
                name="listKeys",
                summary="Virtual keys",
                permission=read,
                handler=self.keys,
                query=KeyQuery,
                answer=Page[VirtualKey],
            ),
            one(
                method="POST",
                path=path,
                name="makeKey",
                summary="Make a virtual key; its secret is shown once",
                permission=write,
                handler=self.make_key,
                body=KeyOrder,
                answer=NewVirtualKey,
                status=201,
            ),
            one(
                method="GET",
                path=f"{path}/{{key}}",
                name="getKey",
                summary="One virtual key",
                permission=read,
                handler=self.key,
                answer=VirtualKey,
            ),
            one(
                method="PATCH",
                path=f"{path}/{{key}}",
                name="editKey",
                summary="Change a virtual key",
                permission=write,
                handler=self.edit_key,
                body=KeyEdit,
                answer=VirtualKey,
                versioned=True,
            ),
            one(
                method="POST",
                path=f"{path}/{{key}}/rotate",
                name="rotateKey",
                summary="Give a virtual key a new secret",
                permission=write,
                handler=self.rotate_key,
                answer=NewVirtualKey,
                versioned=True,
            ),
            one(
                method="DELETE",
                path=f"{path}/{{key}}",
                name="revokeKey",
                summary="Revoke a virtual key",
                permission=write,
                handler=self.revoke_key,
                answer=VirtualKey,
                versioned=True,
            ),
        ]

    def _provider_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Keys"), "/tenants/{tenant}/provider-keys"
        read, write = Permission.PROVIDER_KEY_READ, Permission.PROVIDER_KEY_WRITE
        return [
            one(
                method="GET",
                path=path,
                name="listProviderKeys",
                summary="Keys towards providers",
                permission=read,
                handler=self.provider_keys,
                query=Paging,
                answer=Page[ProviderKey],
            ),
            one(
                method="GET",
                path=f"{path}/{{upstream}}",
                name="getProviderKey",
                summary="The key for one upstream",
                permission=read,
                handler=self.provider_key,
                answer=ProviderKey,
            ),
            one(
                method="PUT",
                path=f"{path}/{{upstream}}",
                name="putProviderKey",
                summary="Store or replace the key for an upstream",
                permission=write,
                handler=self.put_provider_key,
                body=ProviderKeyOrder,
                answer=ProviderKey,
                versioned=True,
            ),
            one(
                method="DELETE",
                path=f"{path}/{{upstream}}",
                name="deleteProviderKey",
                summary="Forget the key for an upstream",
                permission=write,
                handler=self.delete_provider_key,
                status=204,
                versioned=True,
            ),
        ]

    def _agent_endpoints(self) -> list[Endpoint]:
        one, path = partial(Endpoint, tag="Agents"), "/tenants/{tenant}/agents"
        read, write = Permission.AGENT_READ, Permission.AGENT_WRITE
        return [
            one(
                method="GET",
                path=path,
                name="listAgents",
                summary="Agents with settings of their own",
                permission=read,
                handler=self.agents,
                query=Paging,
                answer=Page[Agent],
            ),
            one(
                method="GET",
                path=f"{path}/{{agent}}",
                name="getAgent",
                summary="One agent's settings",
                permission=read,
                handler=self.agent,
                answer=Agent,
            ),
            one(
                method="PUT",
                path=f"{path}/{{agent}}",
                name="putAgent",
                summary="Make or replace an agent's settings",
                permission=write,
                handler=self.put_agent,
                body=AgentOrder,
                answer=Agent,
                versioned=True,
            ),
            one(
                method="DELETE",
                path=f"{path}/{{agent}}",
                name="deleteAgent",
                summary="Forget an agent's settings",
                permission=write,
                handler=self.delete_agent,
                status=204,
                versioned=True,
            ),
            one(
                method="GET",
                path="/tenants/{tenant}/spending",
                name="listSpending",
                summary="What was spent of each budget",
                tag="Limits",
                permission=Permission.LIMIT_READ,
                handler=self.spending,
                answer=Page[Spending],
            ),
            one(
                method="GET",
                path="/prices",
                name="getPrices",
                summary="The price table in use",
                tag="Limits",
                where="self",
                handler=self.prices,
                answer=PriceList,
            ),
        ]


def _may(call: Call[Any, Any]) -> frozenset[Permission]:
    return call.who.permissions(call.tenant)
