"""The control plane's tables. Knows columns, no rules. Times are Unix seconds; JSON columns hold checked values."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from sigmaguard_proxy.store.metadata import metadata


def _id(name: str = "id") -> Column[str]:
    return Column(name, String(64), primary_key=True)


def _tenant(*, key: bool = False) -> Column[str]:
    return Column("tenant", String(64), primary_key=key, nullable=False, index=not key)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _version() -> Column[int]:
    return Column("version", Integer, nullable=False, default=1)


# the number of the last change (`generation`) and the installation's own sealed secret
state = Table(
    "state", metadata, _id("name"), Column("number", BigInteger, nullable=False), Column("sealed", LargeBinary)
)

tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("keep_content", Boolean, nullable=False, default=False),
    Column("limits", JSON, nullable=False),
    _time("created_at"),
    _version(),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("email", String(320), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("password", String(200)),
    Column("identity", String(600), unique=True),  # issuer and subject of an OIDC identity
    Column("disabled", Boolean, nullable=False, default=False),
    _time("created_at"),
    _version(),
)

memberships = Table(
    "memberships",
    metadata,
    _tenant(key=True),  # a tenant's id or `*`
    Column("user", String(64), primary_key=True),
    Column("role", String(32), nullable=False),
    _time("created_at"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),
    _tenant(),
    Column("role", String(32), nullable=False),
    Column("email", String(320), nullable=False, default=""),
    Column("created_by", String(64), nullable=False),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user", String(64), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("remote", String(64), nullable=False),
    Column("client", String(200), nullable=False),
    _time("created_at"),
    _time("seen_at"),
    _time("expires_at"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    _id(),
    Column("user", String(64), nullable=False, index=True),
    Column("tenant", String(64), nullable=False),  # where it works, `*` for wherever its user may
    Column("role", String(32)),  # at most this; none: whatever its user has
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    _time("created_at"),
    _time("expires_at", nullable=True),
)

virtual_keys = Table(
    "virtual_keys",
    metadata,
    _id(),
    _tenant(),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("agent", String(64), nullable=False, default=""),
    Column("models", JSON, nullable=False),
    Column("endpoints", JSON, nullable=False),
    Column("tools", JSON, nullable=False),
    Column("networks", JSON, nullable=False),
    Column("policy", String(64)),
    Column("limits", JSON, nullable=False),
    Column("created_by", String(64), nullable=False),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("revoked_at", nullable=True),
    _version(),
)

provider_keys = Table(
    "provider_keys",
    metadata,
    _id(),
    _tenant(),
    Column("upstream", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("hint", String(16), nullable=False),
    Column("created_by", String(64), nullable=False),
    _time("created_at"),
    _time("rotated_at", nullable=True),
    _version(),
    UniqueConstraint("tenant", "upstream"),
)

agents = Table(
    "agents",
    metadata,
    _tenant(key=True),
    _id("name"),
    Column("description", Text, nullable=False),
    Column("firewall", Boolean, nullable=False),
    Column("policy", String(64)),  # a policy's name, `custom` for `pack`, none to inherit
    Column("pack", JSON),
    Column("rules", JSON, nullable=False),
    Column("trust_header", Boolean, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("created_by", String(64), nullable=False),
    _time("created_at"),
    _version(),
)

policies = Table(
    "policies",
    metadata,
    _tenant(key=True),
    _id("name"),
    Column("description", Text, nullable=False),
    Column("active", Integer),
    Column("staged", Integer),
    Column("latest", Integer, nullable=False),
    _time("created_at"),
    _version(),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    _tenant(key=True),
    _id("policy"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("pack", JSON, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("comment", Text, nullable=False),
    Column("author", String(64), nullable=False),
    _time("created_at"),
)

# every promotion, staging and roll-back, so that `back` has somewhere to go and people can see who did it
policy_moves = Table(
    "policy_moves",
    metadata,
    _id(),
    _tenant(),
    Column("policy", String(64), nullable=False),
    Column("move", String(32), nullable=False),
    Column("number", Integer),
    Column("previous", Integer),
    Column("reason", Text, nullable=False),
    Column("actor", String(64), nullable=False),
    _time("at"),
)

# what a staged version would have done beside what the one in force did
policy_trials = Table(
    "policy_trials",
    metadata,
    _tenant(key=True),
    _id("policy"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("acted", String(16), primary_key=True),
    Column("would", String(16), primary_key=True),
    Column("rule", String(128), primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
    Column("example", String(64), nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    _tenant(key=True),
    Column("kind", String(16), primary_key=True),  # tenant, route
    Column("target", String(200), primary_key=True),
    Column("policy", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    _time("at"),
)

toggles = Table(
    "toggles",
    metadata,
    _id("scope"),  # a tenant's id or `*`
    Column("mode", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(64), nullable=False),
    _time("at"),
    _version(),
)

toggle_changes = Table(
    "toggle_changes",
    metadata,
    _id(),
    Column("scope", String(64), nullable=False, index=True),
    Column("mode", String(16), nullable=False),
    Column("previous", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(64), nullable=False),
    _time("at"),
)

# what was spent against a budget in one period; `counter` names scope, period and unit
usage = Table(
    "usage",
    metadata,
    _tenant(key=True),
    Column("counter", String(200), primary_key=True),
    Column("value", BigInteger, nullable=False),
    _time("ends_at", nullable=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer),
    Column("headers", JSON, nullable=False),
    Column("sealed", LargeBinary),  # an answer may hold a key that is shown once: encrypted
    _time("created_at"),
)
