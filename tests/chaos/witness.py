"""What chaos tests look at: answers with their exchange ids, records, descriptors, tasks. Breaks nothing itself."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from sigmaguard_proxy.ports import ExchangeRecord
from tests.proxy.scripted import DEADLINE_S, Gateway, chat

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@dataclass
class Seen:
    """One exchange as its client saw it; `error` names what broke where the answer did not arrive whole."""

    status: int = 0
    exchange: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def code(self) -> str:
        """The code of an error, whole or as the last frames of a stream; empty where there is none."""
        for line in (self.body, *(line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {"))):
            try:
                error = orjson.loads(line).get("error")
            except (orjson.JSONDecodeError, AttributeError):
                continue
            if error:
                return str(error["code"])
        return ""

    @property
    def is_finished_stream(self) -> bool:
        """Whether a stream ended as its protocol ends one that is complete."""
        return self.body.rstrip().endswith(b"data: [DONE]")


async def see(gate: Gateway, body: Any = None, path: str = CHAT, session: aiohttp.ClientSession | None = None) -> Seen:
    """One exchange, whatever becomes of it."""
    return await see_at(session or gate.session, gate.url + path, chat("hello there") if body is None else body)


async def see_at(session: aiohttp.ClientSession, url: str, body: Any) -> Seen:
    """The same at a URL."""
    seen = Seen()
    sent = orjson.dumps(body)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-test"}
    try:
        async with session.post(url, data=sent, headers=headers) as answer:
            seen.status = answer.status
            seen.exchange = answer.headers.get("x-sigmaguard-exchange", "")
            seen.headers = {name.lower(): value for name, value in answer.headers.items()}
            async for piece in answer.content.iter_any():
                seen.body += piece
    except (aiohttp.ClientError, ConnectionError) as error:
        seen.error = type(error).__name__
    return seen


def recorded_once(records: Iterable[ExchangeRecord], seen: Iterable[Seen]) -> None:
    """Every answered exchange is recorded, none of them twice, and with the status its client saw."""
    records = list(records)
    times = Counter(record.exchange for record in records)
    assert [name for name, count in times.items() if count != 1] == []
    status = {record.exchange: record.status for record in records}
    for one in seen:
        if one.status:
            assert status.get(one.exchange) == one.status, one


async def until(condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Lets the loop run until a condition holds that raises no event. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  somebody else's state
            await asyncio.sleep(0.005)


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


async def at_rest(gate: Gateway) -> None:
    """Waits until the proxy has nothing under way and nothing left over of it."""
    await until(lambda: gate.plane.proxy.active == 0 and len(gate.plane.services.tasks) == 0)
