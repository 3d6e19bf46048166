"""What the stages share in one worker: built once by `app.py`, never changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from sigmaguard.model import Mode
from sigmaguard.wire.codec import Registry
from sigmaguard_proxy.inspecting import Inspecting
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.outbound import Outbound
from sigmaguard_proxy.ports import Authority, Directory, ExchangeRecord, Identity, Limiter, Recorder, Tracer, Trials
from sigmaguard_proxy.tasks import Tasks
from sigmaguard_proxy.tooling.tooling import Tooling
from sigmaguard_proxy.upstreams import Upstreams


@dataclass(frozen=True, slots=True)
class Services:
    """The stages' surroundings. `observers` hear of every record (metrics, traces, live events)."""

    directory: Directory
    limiter: Limiter
    recorder: Recorder
    authority: Authority
    registry: Registry
    upstreams: Upstreams
    outbound: Outbound
    session: aiohttp.ClientSession
    inspecting: Inspecting
    tasks: Tasks
    log: Log
    mask_key: bytes
    observers: Sequence[Callable[[ExchangeRecord], None]] = ()
    tracer: Tracer | None = None
    trials: Trials | None = None
    tooling: Tooling | None = None

    def mode_for(self, identity: Identity | None) -> Mode:
        """The mode of who asks; where that is not known, the one in force for everybody."""
        return self.directory.in_force()[1] if identity is None else identity.mode
