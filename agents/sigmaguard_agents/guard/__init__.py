"""Ask the firewall from Python: over HTTP, in-process, by decorator, as a LangChain step or a NeMo action."""

from sigmaguard_agents.guard.answer import Answer, Blocked, GuardError
from sigmaguard_agents.guard.client import AsyncClient, Client
from sigmaguard_agents.guard.decorators import guarded
from sigmaguard_agents.guard.local import LocalGuard
from sigmaguard_agents.guard.steps import GuardAround, GuardStep, nemo_action

__all__ = [
    "Answer",
    "AsyncClient",
    "Blocked",
    "Client",
    "GuardAround",
    "GuardError",
    "GuardStep",
    "LocalGuard",
    "guarded",
    "nemo_action",
]
