"""Checks that several endpoints make about who asks. Knows permissions, no table."""

from sigmaguard_proxy.admin.endpoint import Call
from sigmaguard_proxy.control.errors import ForbiddenError
from sigmaguard_proxy.control.permissions import ROLES, Role


def check_grant(call: Call, tenant: str, role: Role) -> None:  # type: ignore[type-arg]
    """Raises ForbiddenError where someone would hand out more than they have."""
    if not ROLES[role] <= call.who.permissions(tenant):
        raise ForbiddenError(f"role `{role}` may do more than you may: you cannot give or take it")
