"""Captured exchanges for a replay: from a file of JSON lines, or from content a tenant opted into keeping.

A line of a file is one object: `request` (the body as JSON) and, where wanted, `endpoint` (default
`/v1/chat/completions`), `response` (the answer's body as JSON, or a text of server-sent events) and
`exchange` (a name for it). Other fields are ignored.
"""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.audit.keys import ContentCipher
from sigmaguard_proxy.audit.reading import Reader
from sigmaguard_proxy.audit.rows import Facts, decode_content, decode_facts


class Captured(msgspec.Struct, frozen=True):
    """One exchange: raw bodies, `response` empty where there is none."""

    exchange: str
    endpoint: str
    request: bytes
    response: bytes


class _Line(msgspec.Struct, frozen=True):
    request: msgspec.Raw
    endpoint: str = "/v1/chat/completions"
    response: msgspec.Raw = msgspec.Raw(b"")
    exchange: str = ""


def from_file(path: Path) -> Iterator[Captured]:
    """The exchanges of a file, one by one. Raises ConfigError naming the line that is wrong."""
    decoder = msgspec.json.Decoder(_Line)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"--file {path}: {error.strerror}") from error
    with file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                line = decoder.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                example = '{"endpoint": "/v1/chat/completions", "request": {...}}'
                raise ConfigError(f"{path.name} line {number}: {error}; write {example}") from error
            response = bytes(line.response)
            if response.startswith(b'"'):
                response = msgspec.json.decode(response, type=str).encode()
            elif response == b"null":
                response = b""
            yield Captured(line.exchange or f"line {number}", line.endpoint, bytes(line.request), response)


async def from_store(reader: Reader, cipher: ContentCipher, tenant: str, days: float) -> AsyncIterator[Captured]:
    """The tenant's exchanges of the last days whose content was kept. Raises ValueError where one was changed."""
    since_us = round((time.time() - days * 86_400) * 1e6)
    async for page in reader.records(tenant):
        for record in page:
            if not record.content_digest or record.content_erased_by or record.at_us < since_us:
                continue
            sealed = await reader.content(tenant, record.id)
            facts = decode_facts(record.kind, record.facts)
            if sealed is None or not isinstance(facts, Facts):
                continue
            kept = decode_content(sealed)
            request, response = (
                cipher.decrypt(tenant, record.id, part, body) if body else b""
                for part, body in (("request", kept.request), ("response", kept.response))
            )
            yield Captured(record.id, facts.endpoint, request, response)
