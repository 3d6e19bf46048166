"""What the admin API's endpoints work with, built once by `node.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sigmaguard_proxy.admin.events import EventHub
from sigmaguard_proxy.admin.oidc import OidcClient
from sigmaguard_proxy.control.agents import Agents
from sigmaguard_proxy.control.change import Changes
from sigmaguard_proxy.control.compiling import Compiler
from sigmaguard_proxy.control.keyring import Keyring
from sigmaguard_proxy.control.keys import VirtualKeys
from sigmaguard_proxy.control.people import Members, Tenants
from sigmaguard_proxy.control.policies import Policies
from sigmaguard_proxy.control.prices import PriceTable
from sigmaguard_proxy.control.providers import ProviderKeys
from sigmaguard_proxy.control.signin import SignIn
from sigmaguard_proxy.control.toggles import Toggles
from sigmaguard_proxy.mcp.pins import PinBook
from sigmaguard_proxy.tooling.desk import ApprovalDesk


@dataclass(frozen=True, slots=True)
class AdminServices:
    """The control plane's parts as the admin API needs them. `degraded` tells what is not working right now.

    `is_ready` whether every worker has come up since the start.
    """

    changes: Changes
    signin: SignIn
    tenants: Tenants
    members: Members
    keys: VirtualKeys
    provider_keys: ProviderKeys
    agents: Agents
    policies: Policies
    toggles: Toggles
    compiler: Compiler
    keyring: Keyring
    prices: PriceTable
    hub: EventHub
    audit_folder: Path
    degraded: Callable[[], list[str]]
    is_ready: Callable[[], bool]
    problems: Callable[[], Sequence[str]]
    workers: Callable[[], int]
    oidc: OidcClient | None
    public_url: Callable[[], str]
    approvals: ApprovalDesk
    pins: PinBook
