"""Large bodies, through a real proxy: whatever takes long for them is done beside the event loop."""

import gzip
import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import sigmaguard_proxy.relay as relay
import sigmaguard_proxy.server as server
from sigmaguard.memory import VerdictMemory
from sigmaguard_proxy.accepting import decode, is_heavy
from sigmaguard_proxy.acting import mask_request, restore_edits
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import Connection, Received, chat, completion, gateway, whole

CHAT = "/v1/chat/completions"
POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
MANY = 2_000


def noting(places: list[tuple[str, bool]], what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, noting whether it ran on the event loop."""

    def noted(*args: Any, **more: Any) -> Any:
        places.append((what, threading.current_thread() is threading.main_thread()))
        return function(*args, **more)

    return noted


@pytest.mark.parametrize("count", [2, MANY])
async def test_a_large_body_is_handled_beside_the_loop(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[tuple[str, bool]] = []
    monkeypatch.setattr(server, "decode", noting(places, "decode", decode))
    monkeypatch.setattr(server, "mask_request", noting(places, "mask", mask_request))
    monkeypatch.setattr(relay, "restore_edits", noting(places, "restore", restore_edits))
    monkeypatch.setattr(VerdictMemory, "get", noting(places, "look up", VerdictMemory.get))
    monkeypatch.setattr(VerdictMemory, "put", noting(places, "remember", VerdictMemory.put))

    async def echo(request: Received, connection: Connection) -> None:
        await whole(completion(*(one["content"] for one in request.json["messages"])))(request, connection)

    texts = [f"swordfish {at} is in the sea" for at in range(count)]
    async with gateway(POLICY, script=echo) as gate, gate.call(CHAT, chat(*texts)) as answer:
        assert [one["message"]["content"] for one in (await answer.json())["choices"]] == texts  # restored
        assert answer.headers["x-sigmaguard-verdict"] == "mask"
    assert {what for what, _ in places} == {"decode", "mask", "restore", "look up", "remember"}
    assert {is_on_loop for _, is_on_loop in places} == {count < MANY}


def test_fields_make_a_body_heavy_not_the_length_of_its_texts() -> None:
    said = json.dumps({"messages": [{"role": "user", "content": "def f(x):\n    return x\n" * 8_000}]}).encode()
    keyed = json.dumps({"metadata": dict.fromkeys(map(str, range(8_000)), "v")}).encode()

    assert not is_heavy(said)
    assert is_heavy(keyed)
    assert is_heavy(gzip.compress(random.Random(1).randbytes(100_000)))
    assert is_heavy(b'{"x": "' + b"x" * 2_000_000 + b'"}')


async def test_what_is_bad_in_a_large_body_is_blocked_and_what_cannot_be_read_refused() -> None:
    texts = ["harmless"] * MANY
    async with gateway(POLICY) as gate:
        async with gate.call(CHAT, chat(*texts, "a forbidden thing")) as answer:
            assert answer.status == 403
        async with gate.call(CHAT, b'{"messages": [' + b'"a", ' * 40_000) as answer:
            assert answer.status == 400
        metadata = {f"a key {at}": "v" for at in range(25_000)}
        async with gate.call(CHAT, chat("hello", metadata=metadata)) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "too_many_texts"
        assert gate.provider.received == []
