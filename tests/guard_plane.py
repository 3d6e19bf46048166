"""A data plane for tests of the guard: real server, real client, a policy of three rules."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import aiohttp

from sigmaguard.model import Mode
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.load import convert, raw_yaml
from sigmaguard.policy.pack import Pack
from sigmaguard_policies import policies_root
from sigmaguard_proxy.app import DataPlane, Plane
from sigmaguard_proxy.embedded import FixedDirectory, Healthy, ListRecorder, NoLimits
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.settings import Settings

PACK = r"""
name: guard-test
on_fault: {on_fault}
unknown_endpoints: {unknown}
detectors:
  leaks: {{action: mask}}
rules:
  leak.launch_code: {{action: block}}
  leak.rumour: {{action: flag}}
custom_rules:
  - detector: leaks
    rules:
      - id: leak.ticket
        description: a ticket number
        entity: TICKET
        pattern: 'TICKET-(?P<value>\d{{6}})'
        keywords: [TICKET-]
        match: ["see TICKET-123456", "TICKET-654321 is open"]
        miss: ["see TICKET-12", "no ticket"]
      - id: leak.launch_code
        description: what must never pass
        pattern: 'LAUNCH-(?P<value>[A-Z]{{6}})'
        keywords: [LAUNCH-]
        match: ["use LAUNCH-ABCDEF", "LAUNCH-QWERTZ now"]
        miss: ["use LAUNCH-12", "no launch"]
      - id: leak.rumour
        description: only reported
        pattern: 'RUMOUR-(?P<value>\d{{3}})'
        keywords: [RUMOUR-]
        match: ["a RUMOUR-123", "RUMOUR-321 again"]
        miss: ["a rumour", "RUMOUR-x"]
"""
TICKET, CODE, RUMOUR = "please close TICKET-123456 today", "fire with LAUNCH-ABCDEF now", "heard of RUMOUR-123"


@cache
def guard_policy(*, on_fault: str = "closed", unknown: str = "pass") -> Policy:
    """Masks tickets, blocks launch codes, flags rumours. Compiled once: every shipped rule is read for it."""
    raw = raw_yaml(PACK.format(on_fault=on_fault, unknown=unknown), "guard-test")
    return PolicyLoader(policies_root()).compile(convert(raw, Pack, "guard-test"))


class GuardPlane:
    """A running data plane and a client of it."""

    def __init__(self, plane: DataPlane, directory: FixedDirectory, recorder: ListRecorder) -> None:
        self.plane = plane
        self.directory = directory
        self.recorder = recorder
        self.base = f"http://127.0.0.1:{plane.port}"
        self.session: aiohttp.ClientSession

    async def ask(
        self, path: str, body: Any, *, method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, parsed body and headers of one answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(method, self.base + path, data=data, headers=headers) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None, answer.headers

    def last(self) -> ExchangeRecord:
        """The newest record."""
        return self.recorder.records[-1]


@asynccontextmanager
async def guard_plane(
    policy: Policy, mode: Mode = Mode.ENFORCE, directory: FixedDirectory | None = None
) -> AsyncIterator[GuardPlane]:
    """Starts one and stops it."""
    directory, recorder = directory or FixedDirectory(policy, mode), ListRecorder()
    settings = Settings(listen="127.0.0.1:0", upstreams={"openai": "http://127.0.0.1:9"})
    data = DataPlane(settings, Plane(directory, NoLimits(), recorder, Healthy()))
    await data.start()
    try:
        running = GuardPlane(data, directory, recorder)
        async with aiohttp.ClientSession() as running.session:
            yield running
    finally:
        await data.stop()
