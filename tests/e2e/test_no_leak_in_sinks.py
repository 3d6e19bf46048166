"""A planted marker of every kind of value is searched for wherever the server writes: it is found nowhere."""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import zstandard

from tests.control_site import Site, site

POLICY = """
name: planted
on_fault: closed
detectors:
  leaks: {action: mask}
  pii: {action: {input: mask, output: flag}, threshold: 0.3}
  names: {action: {input: mask, output: flag}, options: {entities: [PERSON, LOCATION, ORGANIZATION]}}
masks:
  US_SSN: {operator: hash}
  PHONE: {operator: partial}
  MAC_ADDRESS: {operator: synthetic}
  DE_TAX_ID: {operator: block}
"""
# what is searched for is the part of each value that nothing else would write
PLANTED = {
    "zebrafink.quittung@example.org": "zebrafink",
    "DE89 3704 0044 0532 0130 00": "0532 0130",
    "4111 1111 1111 1111": "4111 1111",
    "+49 151 23498761": "23498761",
    "Musterquastenstraße 12a, 10115 Berlin": "Musterquasten",
    "geboren am 12.03.1983": "12.03.1983",
    "219-09-9998": "219-09-9998",
    "15 070649 C 103": "070649",
    "00:1A:2B:3C:4D:5E": "1A:2B:3C",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa": "GefiDMPTf",
    "8.8.244.17": "8.8.244.17",
    "Frau Zwirnemann-Obst": "Zwirnemann",
    "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": "0lR8acRY",
}
LISTED = "/tenants/default/exchanges?limit=10"
EXPORTED = "/tenants/default/audit/export"
REFUSED = ("Steuer-ID 86095742719", "86095742719")


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file under the data folder, also as what it says where it is compressed."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        raw = path.read_bytes()
        yield path.name, raw
        for unpack in (lambda data: zlib.decompress(data, 47), zstandard.ZstdDecompressor().decompress):
            try:
                yield f"{path.name} unpacked", unpack(raw)
            except (zlib.error, zstandard.ZstdError):
                continue


async def fetched(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        return await answer.read()


async def exercise(running: Site, text: str) -> list[tuple[str, bytes]]:
    """Sends everything that could go wrong with the text in it; what came back of errors and headers."""
    seen: list[tuple[str, bytes]] = []
    base = f"http://127.0.0.1:{running.node.port}"
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    headers = {"x-sigmaguard-agent": "planter"}
    async with running.client.post(f"{base}/v1/chat/completions", json=chat, headers=headers) as answer:
        assert answer.status == 200
        await answer.read()
        seen.append(("headers of an answer", repr(answer.headers).encode()))
    refused = {**chat, "messages": [{"role": "user", "content": f"{text} {REFUSED[0]}"}]}
    async with running.client.post(f"{base}/v1/chat/completions", json=refused, headers=headers) as answer:
        assert answer.status == 403
        seen.append(("a refusal", await answer.read() + repr(answer.headers).encode()))
    async with running.client.post(f"{base}/v1/chat/completions", data=f'{{"broken": "{text}'.encode()) as answer:
        assert answer.status == 400
        seen.append(("a client's error", await answer.read()))
    return seen


async def test_no_planted_value_is_written_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # what a server at its most talkative would write
    policy = tmp_path / "planted.yaml"
    policy.write_text(POLICY)
    text = "Please note: " + ". Also ".join(PLANTED) + "."
    data = tmp_path / "data"
    async with site(data, policy=str(policy), log_exchanges=True) as running:
        seen = await exercise(running, text)
        seen.append(("metrics", await fetched(running.client, f"{running.admin}/metrics")))
        owner = await running.claim_owner()
        audit = running.node._audit
        assert audit is not None
        await audit.flush(10.0)
        rows = (await owner.do("GET", LISTED))["items"]
        assert {row["action"] for row in rows} >= {"mask", "block"}
        seen.append(("the admin API", repr(rows).encode()))
        seen.append(("the audit export", repr((await owner.ask("GET", EXPORTED)).body).encode()))
        seen.append(("the log", running.log.getvalue().encode()))
    seen.append(("the log at its end", running.log.getvalue().encode()))
    seen.append(("other logs", caplog.text.encode()))
    seen += written(data)
    sinks = {name for name, _ in seen}
    assert {"metrics", "the log", "a refusal"} < sinks
    assert any("sqlite" in name or name.endswith(".db") for name in sinks)
    markers = [*PLANTED.values(), REFUSED[1]]
    leaks = [(name, marker) for name, content in seen for marker in markers if marker.encode() in content]
    assert leaks == []
