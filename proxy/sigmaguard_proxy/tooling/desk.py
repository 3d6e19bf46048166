"""Where people see the calls that wait in any worker, and decide them. Knows calls and lines, no database."""

import time
from collections.abc import Callable

import msgspec

from sigmaguard_proxy.tooling.approvals import Approvals, PendingCall, State

# the first bytes of what travels on the line between worker and supervisor; live events begin with `{`
NOTICE = b"\x01approval "
ORDER = b"approval "
KNOWN = 2_000  # calls of other workers kept; the oldest go first


class Order(msgspec.Struct, frozen=True):
    """A decision on its way to the worker in which the call waits."""

    id: str
    grant: bool
    by: str


_encode = msgspec.msgpack.Encoder().encode
_decode_call = msgspec.msgpack.Decoder(PendingCall).decode
_decode_order = msgspec.msgpack.Decoder(Order).decode


def notice_of(call: PendingCall) -> bytes:
    """A call as a worker tells its supervisor of it."""
    return NOTICE + _encode(call)


def obey(approvals: Approvals, command: bytes) -> None:
    """Carries out a decision in the worker where its call waits; others have nothing to do."""
    if command.startswith(ORDER):
        order = _decode_order(command[len(ORDER) :])
        approvals.decide(order.id, grant=order.grant, by=order.by)


class ApprovalDesk:
    """The calls of this process, or of all workers through `send`."""

    def __init__(self, local: Approvals | None, send: Callable[[bytes], None] | None = None) -> None:
        self._local = local
        self.send = send
        self._remote: dict[str, PendingCall] = {}

    def receive(self, data: bytes) -> bool:
        """Takes what came from a worker; False where it is no notice of a call."""
        if not data.startswith(NOTICE):
            return False
        call = _decode_call(data[len(NOTICE) :])
        self._remote.pop(call.id, None)
        self._remote[call.id] = call
        while len(self._remote) > KNOWN:
            del self._remote[next(iter(self._remote))]
        return True

    def list(self, tenant: str) -> list[PendingCall]:
        """A tenant's calls: those that wait, the oldest first, then settled ones, the latest first."""
        now = time.time()
        here = self._local.list() if self._local is not None else []
        everything = [*here, *(_aged(one, now) for one in self._remote.values())]
        mine = [one for one in everything if one.subject.tenant == tenant]
        waiting = sorted((one for one in mine if one.state is State.WAITING), key=lambda one: one.asked_at)
        settled = sorted((one for one in mine if one.state is not State.WAITING), key=lambda one: -one.settled_at)
        return waiting + settled

    def find(self, tenant: str, call_id: str) -> PendingCall | None:
        """One call of a tenant."""
        return next((one for one in self.list(tenant) if one.id == call_id), None)

    def decide(self, call: PendingCall, *, grant: bool, by: str) -> bool:
        """Decides a waiting call; False where it does not wait any more."""
        if call.state is not State.WAITING:
            return False
        if self._local is not None and self._local.decide(call.id, grant=grant, by=by):
            return True
        if call.id in self._remote and self.send is not None:
            state = State.GRANTED if grant else State.DENIED
            self._remote[call.id] = msgspec.structs.replace(
                call, state=state, by=by, arguments=None, settled_at=time.time()
            )
            self.send(ORDER + _encode(Order(call.id, grant, by)))
            return True
        return False


def _aged(call: PendingCall, now: float) -> PendingCall:
    """A call whose worker cannot have it waiting any more, though it never said so (it was killed)."""
    if call.state is State.WAITING and call.expires_at < now:
        return msgspec.structs.replace(call, state=State.EXPIRED, arguments=None, settled_at=call.expires_at)
    return call
