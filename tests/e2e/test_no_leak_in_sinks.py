"""A planted marker of every kind of value is searched for wherever the server writes: it is found nowhere."""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import zstandard

from tests.control_site import provider, site
from tests.e2e.test_serve_process import scraped, serving
from tests.otlp import collector

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


async def exercise(client: aiohttp.ClientSession, base: str, text: str) -> list[tuple[str, bytes]]:
    """Sends everything that could go wrong with the text in it; what came back of errors and headers."""
    seen: list[tuple[str, bytes]] = []
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    headers = {"x-sigmaguard-agent": "planter"}
    async with client.post(f"{base}/v1/chat/completions", json=chat, headers=headers) as answer:
        assert answer.status == 200
        await answer.read()
        seen.append(("headers of an answer", repr(answer.headers).encode()))
    refused = {**chat, "messages": [{"role": "user", "content": f"{text} {REFUSED[0]}"}]}
    async with client.post(f"{base}/v1/chat/completions", json=refused, headers=headers) as answer:
        assert answer.status == 403
        seen.append(("a refusal", await answer.read() + repr(answer.headers).encode()))
    async with client.post(f"{base}/v1/chat/completions", data=f'{{"broken": "{text}'.encode()) as answer:
        assert answer.status == 400
        seen.append(("a client's error", await answer.read()))
    async with client.get(f"{base}/v1/customers/{text}", params={"q": text}) as answer:
        assert answer.status >= 400
        seen.append(("an unknown path", await answer.read()))
    return seen


def leaks(seen: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Where which marker stands."""
    markers = [*PLANTED.values(), REFUSED[1]]
    return [(name, marker) for name, content in seen for marker in markers if marker.encode() in content]


def planted(folder: Path) -> tuple[str, str]:
    """The policy's file and a text with every value in it."""
    policy = folder / "planted.yaml"
    policy.write_text(POLICY)
    return str(policy), "Please note: " + ". Also ".join(PLANTED) + "."


async def test_no_planted_value_is_written_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # what a server at its most talkative would write
    policy, text = planted(tmp_path)
    data = tmp_path / "data"
    async with collector() as sink, site(data, policy=policy, log_exchanges=True, otlp_endpoint=sink.url) as running:
        seen = await exercise(running.client, f"http://127.0.0.1:{running.node.port}", text)
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
    assert leaks(seen) == []


async def test_no_planted_value_is_traced_or_printed_by_a_real_process(tmp_path: Path) -> None:
    policy, text = planted(tmp_path)
    async with collector() as sink, provider() as upstream, aiohttp.ClientSession() as client:
        (tmp_path / "sigmaguard.yaml").write_text(f"otlp_endpoint: {sink.url}\nlog_exchanges: true\n")
        async with serving(tmp_path, "--policy", policy, "--upstream", f"openai={upstream.url}") as served:
            seen = await exercise(client, served.url, text)
            await scraped(served.admin, "sigmaguard_exchanges_total", 3)
            seen.append(("metrics", await fetched(client, f"{served.admin}/metrics")))
    # both have told of what they saw, so that there was something to look through
    assert {"chat gpt-4o"} <= {span.name for span in sink.spans} and sink.metrics
    assert served.errors.count("exchange_recorded") >= 3
    seen += [("standard error", served.errors.encode()), ("standard output", served.banner.encode())]
    seen += [("traces and metrics sent", sink.raw), ("spans", repr(sink.spans).encode())]
    seen += [("metrics sent", repr(sink.metrics).encode()), *written(tmp_path / "data")]
    assert leaks(seen) == []
