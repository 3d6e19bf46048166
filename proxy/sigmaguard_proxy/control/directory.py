"""Stage 2's directory: who a caller is and what holds for it, from a snapshot in memory. Never waits.

A caller can make what holds for it stricter, never weaker: an agent that is only named by a header gets that
agent's settings where they weaken nothing, or where the agent was told to trust the header.
"""

import re
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from sigmaguard.model import Mode, Subject
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.control.ids import VIRTUAL_KEY, digest
from sigmaguard_proxy.control.limits import ScopedLimits, SubjectLimits
from sigmaguard_proxy.control.snapshot import AgentEntry, KeyEntry, Snapshot, TenantEntry
from sigmaguard_proxy.control.words import AGENT_NAME
from sigmaguard_proxy.ports import Caller, Identity, Secret

DEFAULT_TENANT = "default"
_AGENT_NAME = re.compile(AGENT_NAME)
REMEMBERED = 20_000  # identities; agents' names come from callers, so they are bounded
STRICTNESS = {"off": 0, "basic": 1, "strict": 2}
MODES = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)
NO_KEY = Secret("")  # a virtual key must not reach a provider, even where there is no key to put in its place

Memo = tuple[str, str, str, str]


class SnapshotDirectory:
    """Implements `ports.Directory`. `snapshot` is swapped as a whole; an exchange keeps what it got."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        start_mode: Mode,
        require_keys: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._snapshot = snapshot
        self._start_mode = start_mode
        self._require_keys = require_keys
        self._clock = clock
        self._known: dict[Memo, Identity] = {}

    @property
    def snapshot(self) -> Snapshot:
        """What is in force."""
        return self._snapshot

    def swap(self, snapshot: Snapshot) -> None:
        """Puts a new state in force."""
        self._snapshot = snapshot
        self._known = {}

    def in_force(self) -> tuple[Policy, Mode]:
        """The policy and mode of a caller of whom nothing is known."""
        tenant = self._snapshot.tenants.get(DEFAULT_TENANT)
        if tenant is None:
            return self._snapshot.default, self._snapshot.mode or self._start_mode
        return self._policy(tenant, None, None, "")[1], self._mode(tenant)

    def identify(self, caller: Caller, exchange: str) -> Identity | Refusal:
        """The identity of a caller, or why it is refused: 400, 401, 403."""
        snapshot = self._snapshot
        key: KeyEntry | None = None
        if caller.credential.startswith(VIRTUAL_KEY):
            key = snapshot.keys.get(digest(caller.credential))
            if key is None:
                return _refused(exchange, 401, "invalid_api_key", "this virtual key is not known, or was revoked")
            if key.expires_at is not None and key.expires_at <= self._clock():
                return _refused(exchange, 401, "key_expired", "this virtual key has expired")
        elif self._require_keys:
            return _refused(exchange, 401, "missing_api_key", "a virtual key (`sg-...`) is needed here")
        known = self._known.get((caller.credential if key else "", caller.agent, caller.endpoint, caller.upstream))
        if known is None:
            answer = self._resolve(caller, key, exchange)
            if isinstance(answer, Refusal):
                return answer
            known = answer
        if key is not None and key.networks and not _is_inside(caller.remote, key):
            return _refused(exchange, 403, "address_not_allowed", "this virtual key may not be used from this address")
        return known

    def _resolve(self, caller: Caller, key: KeyEntry | None, exchange: str) -> Identity | Refusal:
        snapshot = self._snapshot
        tenant = snapshot.tenants.get(key.tenant if key else DEFAULT_TENANT)
        if tenant is None or tenant.disabled:
            return _refused(exchange, 403, "tenant_disabled", "this tenant is disabled")
        if caller.agent and not _AGENT_NAME.fullmatch(caller.agent):
            return _refused(
                exchange, 400, "invalid_agent", "`x-sigmaguard-agent` is a name of up to 64 letters, digits and `_.:@-`"
            )
        if key and key.agent and caller.agent not in ("", key.agent):
            return _refused(exchange, 403, "agent_not_allowed", f"this virtual key belongs to agent `{key.agent}`")
        name = key.agent if key and key.agent else caller.agent
        agent = tenant.agents.get(name) if name else None
        bound = key is not None and key.agent == name
        identity = self._identity(caller, tenant, key, name, agent, bound=bound)
        if len(self._known) >= REMEMBERED:
            self._known = {}
        self._known[caller.credential if key else "", caller.agent, caller.endpoint, caller.upstream] = identity
        return identity

    def _identity(
        self,
        caller: Caller,
        tenant: TenantEntry,
        key: KeyEntry | None,
        name: str,
        agent: AgentEntry | None,
        *,
        bound: bool,
    ) -> Identity:
        trusted = agent is not None and (bound or agent.trust_header)
        mode = self._mode(tenant)
        if agent is not None and trusted and not agent.firewall:
            mode = Mode.OFF
        chosen, policy = self._policy(tenant, key, agent if trusted else _stricter(agent, tenant), caller.endpoint)
        trial = tenant.trials.get(chosen)
        return Identity(
            subject=Subject(tenant.id, name, key.id if key else ""),
            policy=policy,
            mode=mode,
            upstream_key=tenant.provider_keys.get(caller.upstream, NO_KEY) if key else None,
            models=key.models if key else frozenset(),
            endpoints=key.endpoints if key else frozenset(),
            tools=key.tools if key else frozenset(),
            limits=_limits(tenant, key, name, agent),
            keep_content=tenant.keep_content,
            trial=(trial.number, trial.policy) if trial else None,
        )

    def _policy(
        self, tenant: TenantEntry, key: KeyEntry | None, agent: AgentEntry | None, endpoint: str
    ) -> tuple[str, Policy]:
        """The most specific policy there is: the key's, the agent's, the route's, the tenant's, the default."""
        if key is not None and key.policy is not None and key.policy in tenant.policies:
            return key.policy, tenant.policies[key.policy]
        if agent is not None and agent.policy is not None:
            return agent.name, agent.policy
        for name in (tenant.routes.get(endpoint), tenant.policy):
            if name is not None and name in tenant.policies:
                return name, tenant.policies[name]
        return self._snapshot.default_name, self._snapshot.default

    def _mode(self, tenant: TenantEntry) -> Mode:
        """The weaker of the installation's mode and the tenant's: whoever says `off` means it."""
        everywhere = self._snapshot.mode or self._start_mode
        return everywhere if tenant.mode is None else min(everywhere, tenant.mode, key=MODES.index)


def _stricter(agent: AgentEntry | None, tenant: TenantEntry) -> AgentEntry | None:
    """The agent where its shipped policy is no weaker than the tenant's; else None."""
    if agent is None:
        return None
    theirs, ours = STRICTNESS.get(agent.name), STRICTNESS.get(tenant.policy or "basic")
    return agent if theirs is not None and ours is not None and theirs >= ours else None


def _limits(tenant: TenantEntry, key: KeyEntry | None, name: str, agent: AgentEntry | None) -> SubjectLimits | None:
    scopes = [
        ScopedLimits(scope, limits)
        for scope, limits in (
            (f"key:{key.id}" if key else "", key.limits if key else None),
            (f"agent:{name}", agent.limits if agent else None),
            ("tenant", tenant.limits),
        )
        if limits is not None and not limits.is_empty
    ]
    return SubjectLimits(tenant.id, tuple(scopes)) if scopes else None


def _is_inside(remote: str, key: KeyEntry) -> bool:
    try:
        address = ip_address(remote)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in key.networks)


def _refused(exchange: str, status: int, code: str, message: str) -> Refusal:
    kind = {400: "invalid_request_error", 401: "authentication_error"}.get(status, "permission_error")
    return Refusal(status, kind, code, message, exchange)
