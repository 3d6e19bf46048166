"""The smallest control plane: one policy, one mode, no keys, no store. For tests and in-process use."""

from sigmaguard.model import Mode, Subject
from sigmaguard.policy.compiled import Policy
from sigmaguard.wire.codec import Refusal
from sigmaguard_proxy.ports import Caller, ExchangeRecord, Identity, Ticket


class FixedDirectory:
    """Everyone is the same subject under the same policy; `mode` may be changed at any time."""

    def __init__(self, policy: Policy, mode: Mode) -> None:
        self.policy = policy
        self.mode = mode

    def identify(self, caller: Caller, exchange: str) -> Identity | Refusal:
        """The one identity there is."""
        return Identity(Subject(agent=caller.agent), self.policy, self.mode)

    def in_force(self) -> tuple[Policy, Mode]:
        """The one policy and the mode as it is now."""
        return self.policy, self.mode


class NoLimits:
    """Admits everything; never asked, because its identities carry no limits."""

    async def admit(self, identity: Identity, model: str, estimated_tokens: int, exchange: str) -> Ticket | Refusal:
        """A ticket that books nothing."""
        return FreeTicket()


class FreeTicket:
    """Leave that costs nothing."""

    def settle(self, input_tokens: int, output_tokens: int) -> None:
        """Nothing to give back."""


class ListRecorder:
    """Keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[ExchangeRecord] = []

    def record(self, record: ExchangeRecord) -> None:
        """Appends the record."""
        self.records.append(record)


class Healthy:
    """Nothing is ever degraded."""

    def degraded(self) -> list[str]:
        """An empty list."""
        return []
