"""Whether a policy may be named: a shipped one, or one of the tenant's that is in force. Changes nothing."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table

from sigmaguard_proxy.control.errors import ConflictError, invalid
from sigmaguard_proxy.control.tables import agents, assignments, policies, virtual_keys
from sigmaguard_proxy.store.scope import Scope


async def check_policy(scope: Scope, name: str, shipped: Sequence[str], where: str = "policy") -> None:
    """Raises InvalidError where nothing of that name could run."""
    if name in shipped:
        return
    row = await scope.one(policies, policies.c.name == name)
    if row is None:
        raise invalid(where, f"there is no policy `{name}`; shipped are {', '.join(shipped)}")
    if row["active"] is None:
        raise invalid(where, f"policy `{name}` has no version in force; promote one first")


async def check_unused(scope: Scope, name: str) -> None:
    """Raises ConflictError where something runs the policy."""
    users: tuple[tuple[str, Table, ColumnElement[bool]], ...] = (
        ("a key", virtual_keys, (virtual_keys.c.policy == name) & virtual_keys.c.revoked_at.is_(None)),
        ("an agent", agents, agents.c.policy == name),
        ("an assignment", assignments, assignments.c.policy == name),
    )
    for who, table, where in users:
        if await scope.count(table, where):
            raise ConflictError(f"{who} still runs policy `{name}`", "in_use")
