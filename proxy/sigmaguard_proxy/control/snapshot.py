"""One state of the control plane laid out for the hot path: dictionaries, compiled policies, opened keys. Immutable."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard.policy.compiled import Policy
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.keyring import Keyring, SealError, derive
from sigmaguard_proxy.control.limits import LimitSet
from sigmaguard_proxy.control.permissions import EVERYWHERE
from sigmaguard_proxy.control.rows import INSTALLATION, AgentRow, KeyRow, PolicyRow, Rows
from sigmaguard_proxy.ports import Secret

CUSTOM = "custom"


class KeyEntry(msgspec.Struct, frozen=True):
    """A virtual key. Empty sets restrict nothing."""

    id: str
    tenant: str
    agent: str
    models: frozenset[str]
    endpoints: frozenset[str]
    tools: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    policy: str | None
    limits: LimitSet
    expires_at: float | None


class Trial(msgspec.Struct, frozen=True):
    """A version that is staged: it looks on and changes nothing."""

    number: int
    policy: Policy


class AgentEntry(msgspec.Struct, frozen=True):
    """An agent; `policy` is None where it inherits, `name` says what it runs."""

    firewall: bool
    name: str
    policy: Policy | None
    trust_header: bool
    limits: LimitSet


class TenantEntry(msgspec.Struct, frozen=True):
    """A tenant with everything that belongs to it; `policy` names the tenant's own assignment."""

    id: str
    disabled: bool
    keep_content: bool
    limits: LimitSet
    mode: Mode | None
    policies: Mapping[str, Policy]
    trials: Mapping[str, Trial]
    agents: Mapping[str, AgentEntry]
    routes: Mapping[str, str]
    policy: str | None
    provider_keys: Mapping[str, Secret]


class Snapshot(msgspec.Struct, frozen=True):
    """Everything an exchange may need to know. `problems` names what could not be used, and what was used instead."""

    generation: int
    keys: Mapping[str, KeyEntry]
    tenants: Mapping[str, TenantEntry]
    mode: Mode | None
    default: Policy
    default_name: str
    digest_key: bytes
    mask_key: bytes
    problems: tuple[str, ...] = ()


def turned(snapshot: Snapshot, modes: Mapping[str, Mode]) -> Snapshot:
    """The same state under other toggles; its generation is still the old one."""
    tenants = {name: msgspec.structs.replace(tenant, mode=modes.get(name)) for name, tenant in snapshot.tenants.items()}
    return msgspec.structs.replace(snapshot, mode=modes.get(EVERYWHERE), tenants=tenants)


def narrowed(snapshot: Snapshot, rows: Rows) -> Snapshot:
    """The same state under newer rows' toggles and without what they take away; its generation is still the old one.

    Revoked and rotated keys are gone, narrower ones narrower, disabled tenants disabled; agents lose what spared
    them. What needs a policy that is not compiled yet waits: a key that does not know its policy would run under a
    weaker one.
    """
    keys = {}
    for row in rows.keys:
        old = snapshot.keys.get(row.digest)
        if old is not None:
            keys[row.digest] = _key(row) if row.policy == old.policy else old
    now = {row.id: row for row in rows.tenants}
    settings = {(row.tenant, row.name): row for row in rows.agents}
    tenants = {
        name: msgspec.structs.replace(
            tenant,
            disabled=now[name].disabled,
            limits=now[name].limits,
            agents={
                agent: _narrowed_agent(old, settings[name, agent])
                for agent, old in tenant.agents.items()
                if (name, agent) in settings
            },
        )
        for name, tenant in snapshot.tenants.items()
        if name in now
    }
    modes = {row.scope: row.mode for row in rows.toggles}
    return turned(msgspec.structs.replace(snapshot, keys=keys, tenants=tenants), modes)


class SnapshotBuilder:
    """Lays rows out. Keeps what it compiled; a policy that no longer compiles is replaced by what ran before."""

    def __init__(self, compiler: Compiler, keyring: Keyring, default_policy: str, upstreams: frozenset[str]) -> None:
        self._compiler = compiler
        self._keyring = keyring
        self._default = default_policy
        self._upstreams = upstreams
        self._last: dict[tuple[str, str, str], Policy] = {}
        self._problems: list[str] = []

    def build(self, rows: Rows) -> Snapshot:
        """The snapshot of these rows. Raises ConfigError only where the default policy itself is broken."""
        self._problems = []
        default = self._compiler.named(self._default)
        secret = self._unseal(rows.secret, INSTALLATION) if rows.secret else b""
        if rows.secret and not secret:
            raise ConfigError(
                "the encryption key of this node does not open the installation's secrets; "
                "give every node the same SIGMAGUARD_VAULT_KEY_FILE (or SIGMAGUARD_VAULT_KEY)"
            )
        modes = {row.scope: row.mode for row in rows.toggles}
        tenants = {row.id: self._tenant(row.id, rows, modes, default) for row in rows.tenants}
        self._compiler.forget_unused()
        return Snapshot(
            generation=rows.generation,
            keys={row.digest: _key(row) for row in rows.keys},
            tenants=tenants,
            mode=modes.get(EVERYWHERE),
            default=default,
            default_name=default.name,
            digest_key=derive(secret, "digest"),
            mask_key=derive(secret, "mask"),
            problems=tuple(self._problems),
        )

    def _tenant(self, tenant: str, rows: Rows, modes: Mapping[str, Mode], default: Policy) -> TenantEntry:
        row = next(one for one in rows.tenants if one.id == tenant)
        policies = {name: self._compiler.named(name) for name in _shipped(rows, self._compiler)}
        trials: dict[str, Trial] = {}
        for version in rows.policies:
            if version.tenant == tenant:
                self._place(version, policies, trials, default)
        assigned = [one for one in rows.assignments if one.tenant == tenant]
        own = next((one.policy for one in assigned if one.kind == "tenant"), None)
        base = policies.get(own or "", default)
        return TenantEntry(
            id=tenant,
            disabled=row.disabled,
            keep_content=row.keep_content,
            limits=row.limits,
            mode=modes.get(tenant),
            policies=policies,
            trials=trials,
            agents={one.name: self._agent(one, policies, base) for one in rows.agents if one.tenant == tenant},
            routes={one.target: one.policy for one in assigned if one.kind == "route"},
            policy=own,
            provider_keys=self._provider_keys(tenant, rows),
        )

    def _place(
        self, version: PolicyRow, policies: dict[str, Policy], trials: dict[str, Trial], default: Policy
    ) -> None:
        place = "staged" if version.staged else "policy"
        compiled = self._compiled(
            version.tenant, place, version.name, lambda: self._compiler.custom(version.pack, version.name)
        )
        if not version.staged:
            policies[version.name] = compiled or default
        elif compiled is not None:
            trials[version.name] = Trial(version.number, compiled)

    def _agent(self, row: AgentRow, policies: Mapping[str, Policy], base: Policy) -> AgentEntry:
        name = row.policy or ""
        label = f"agent-{row.name}"
        policy: Policy | None = None
        if row.policy == CUSTOM:
            policy = self._compiled(
                row.tenant, "agent", row.name, lambda: self._compiler.custom(row.pack or {}, label, row.rules)
            )
        elif row.rules:
            under = policies.get(name, base)
            policy = self._compiled(
                row.tenant, "agent", row.name, lambda: self._compiler.with_rules(under, label, row.rules)
            )
        elif row.policy is not None:
            policy = policies.get(name)
        if policy is None and (row.policy is not None or row.rules):
            self._problems.append(f"agent:{row.tenant}/{row.name}")
            policy = base
        return AgentEntry(row.firewall, name, policy, row.trust_header, row.limits)

    def _compiled(self, tenant: str, kind: str, name: str, make: Callable[[], Policy]) -> Policy | None:
        place = (tenant, kind, name)
        try:
            policy = self._last[place] = make()
        except ConfigError:
            self._problems.append(f"{kind}:{tenant}/{name}")
            return self._last.get(place)
        return policy

    def _provider_keys(self, tenant: str, rows: Rows) -> Mapping[str, Secret]:
        found: dict[str, Secret] = {}
        for row in rows.provider_keys:
            if row.tenant == tenant:
                plain = self._unseal(row.sealed, provider_place(tenant, row.id))
                if plain:
                    found[row.upstream] = Secret(plain.decode())
                else:
                    self._problems.append(f"provider_key:{tenant}/{row.upstream}")
        return found

    def _unseal(self, sealed: bytes, bound: str) -> bytes:
        try:
            return self._keyring.unseal(sealed, bound)
        except SealError:
            pass
        try:  # perhaps the key was rotated by another process
            self._keyring.reload()
            return self._keyring.unseal(sealed, bound)
        except (SealError, ConfigError):
            return b""


def _shipped(rows: Rows, compiler: Compiler) -> set[str]:
    """The shipped packs that anybody asks for; the others are not compiled."""
    asked = {key.policy for key in rows.keys} | {one.policy for one in rows.agents}
    asked |= {one.policy for one in rows.assignments}
    return {name for name in compiler.shipped_names() if name in asked}


def provider_place(tenant: str, key: str) -> str:
    """What a provider key's ciphertext is bound to."""
    return f"provider_key/{tenant}/{key}"


def _narrowed_agent(old: AgentEntry, row: AgentRow) -> AgentEntry:
    """An agent under newer settings: its firewall may come back and its header lose trust; what eases it waits."""
    inherits = row.policy is None and not row.rules
    return AgentEntry(
        firewall=old.firewall or row.firewall,
        name="" if inherits else old.name,
        policy=None if inherits else old.policy,
        trust_header=old.trust_header and row.trust_header,
        limits=row.limits,
    )


def _key(row: KeyRow) -> KeyEntry:
    return KeyEntry(
        row.id,
        row.tenant,
        row.agent,
        frozenset(row.models),
        frozenset(row.endpoints),
        frozenset(row.tools),
        tuple(ip_network(one) for one in row.networks),
        row.policy,
        row.limits,
        row.expires_at,
    )
