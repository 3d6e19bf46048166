"""Who may do what: roles and permissions as one table. Knows words, no user and no endpoint."""

from collections.abc import Mapping
from enum import StrEnum

EVERYWHERE = "*"  # a membership in every tenant, present and future, and in the installation itself


class Role(StrEnum):
    """What a person is to a tenant."""

    OWNER = "owner"
    ADMIN = "admin"
    SECURITY = "security"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    VIEWER = "viewer"


class Permission(StrEnum):
    """One thing a role may do. `noun.read` sees, `noun.write` changes."""

    TENANT_READ = "tenant.read"
    TENANT_WRITE = "tenant.write"
    MEMBER_READ = "member.read"
    MEMBER_WRITE = "member.write"
    KEY_READ = "key.read"
    KEY_WRITE = "key.write"
    PROVIDER_KEY_READ = "provider_key.read"
    PROVIDER_KEY_WRITE = "provider_key.write"
    AGENT_READ = "agent.read"
    AGENT_WRITE = "agent.write"
    POLICY_READ = "policy.read"
    POLICY_WRITE = "policy.write"
    POLICY_PROMOTE = "policy.promote"
    TOGGLE_READ = "toggle.read"
    TOGGLE_WRITE = "toggle.write"
    LIMIT_READ = "limit.read"
    LIMIT_WRITE = "limit.write"
    EXCHANGE_READ = "exchange.read"
    CONTENT_READ = "content.read"
    AUDIT_READ = "audit.read"
    AUDIT_WRITE = "audit.write"
    STATISTICS_READ = "statistics.read"
    APPROVAL_READ = "approval.read"
    APPROVAL_WRITE = "approval.write"
    SYSTEM_READ = "system.read"
    SYSTEM_WRITE = "system.write"


_P = Permission
_LOOK = frozenset(
    {
        *(_P.TENANT_READ, _P.AGENT_READ, _P.POLICY_READ, _P.TOGGLE_READ, _P.LIMIT_READ),
        *(_P.STATISTICS_READ, _P.APPROVAL_READ),
    }
)
_EVERYTHING = frozenset(Permission)

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: _EVERYTHING,
    # an admin runs the place but cannot read what people wrote
    Role.ADMIN: _EVERYTHING - {_P.CONTENT_READ},
    Role.SECURITY: _LOOK
    | {
        *(_P.MEMBER_READ, _P.KEY_READ, _P.PROVIDER_KEY_READ, _P.AGENT_WRITE, _P.POLICY_WRITE, _P.POLICY_PROMOTE),
        *(_P.TOGGLE_WRITE, _P.LIMIT_WRITE, _P.EXCHANGE_READ, _P.CONTENT_READ, _P.AUDIT_READ, _P.APPROVAL_WRITE),
        _P.SYSTEM_READ,
    },
    # a developer makes keys and drafts policies; putting one in force is another's decision
    Role.DEVELOPER: _LOOK | {_P.KEY_READ, _P.KEY_WRITE, _P.PROVIDER_KEY_READ, _P.POLICY_WRITE, _P.EXCHANGE_READ},
    Role.AUDITOR: _LOOK
    | {_P.MEMBER_READ, _P.KEY_READ, _P.PROVIDER_KEY_READ, _P.EXCHANGE_READ, _P.AUDIT_READ, _P.SYSTEM_READ},
    Role.VIEWER: _LOOK,
}


def is_allowed(role: Role, permission: Permission) -> bool:
    """Whether a role carries a permission."""
    return permission in ROLES[role]


def covers(granting: Role, granted: Role) -> bool:
    """Whether someone in one role may hand out another: only what they have themselves."""
    return ROLES[granted] <= ROLES[granting]
