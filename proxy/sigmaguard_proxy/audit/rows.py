"""Entries to rows of the audit table and back to what they say. Knows which facts are personal.

A row's columns repeat what its `facts` and `personal` parts say, so that a database can search them;
`columns` computes them from those parts, and a verifier compares.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import msgspec

from sigmaguard.model import Fault, Finding, Mode, Outcome
from sigmaguard_proxy.audit.chain import digest
from sigmaguard_proxy.audit.entries import Act, Entry
from sigmaguard_proxy.ports import ExchangeRecord

Price = Callable[[str, int, int], float]  # model, input and output tokens (-1 unknown) -> US dollars, -1 unknown

EXCHANGE, ACT = "exchange", "act"
INTEGER_LIMIT = 2**53  # every JSON reader and both databases keep integers up to here exactly
TEXT_LIMIT = 512  # of one searched value; nothing legitimate is longer and indexes must stay small


class Facts(msgspec.Struct, frozen=True):
    """What happened in an exchange, naming nobody. Times in milliseconds, `cost_usd` -1 where unknown."""

    protocol: str
    endpoint: str
    model: str
    upstream: str
    agent: str
    policy: str
    policy_revision: str
    mode: Mode
    status: int
    streamed: bool
    action: str
    intended: str
    rule: str
    score: float
    rules: tuple[str, ...]
    faults: tuple[Fault, ...]
    outcomes: tuple[tuple[str, Outcome], ...]
    timings: dict[str, float]
    added_ms: float
    first_token_ms: float
    total_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    request_bytes: int
    response_bytes: int
    method: str = ""
    tool: str = ""
    trace: str = ""


class Personal(msgspec.Struct, frozen=True):
    """What may lead to a person; erasable. `salt` keeps its digest from being guessed once it is gone."""

    salt: str
    key: str
    remote: str
    input_findings: tuple[Finding, ...]
    output_findings: tuple[Finding, ...]


class ActFacts(msgspec.Struct, frozen=True):
    """An administrative act; never erased, since it is what keeps erasure honest."""

    actor: str
    action: str
    target: str
    details: dict[str, Any]


class Row(msgspec.Struct, frozen=True):
    """A record on its way into the chain: everything but its place. `content` is encrypted, empty where none.

    `columns` are those of `searched`.
    """

    tenant: str
    id: str
    kind: str
    at_us: int
    facts: bytes
    personal: bytes
    content: bytes
    columns: dict[str, Any]

    def digests(self) -> tuple[bytes, bytes, bytes]:
        """Of facts, personal part and content, as the chain wants them."""
        return digest(self.facts), digest(self.personal), digest(self.content)


class Content(msgspec.Struct, frozen=True):
    """Encrypted bodies of one exchange, empty where one was not kept."""

    request: bytes
    response: bytes


_facts_decoder = msgspec.json.Decoder(Facts)
_act_decoder = msgspec.json.Decoder(ActFacts)
_personal_decoder = msgspec.json.Decoder(Personal)
_content_decoder = msgspec.msgpack.Decoder(Content)


def entry_to_row(entry: Entry, price: Price) -> Row:
    """The row of an entry. Never raises for what a record holds: odd numbers and texts are made fit."""
    if isinstance(entry, Act):
        facts = ActFacts(_fit(entry.actor), _fit(entry.action), _fit(entry.target), entry.details)
        at_us, tenant = microseconds(entry.at), _fit(entry.tenant)
        return Row(tenant, _fit(entry.id), ACT, at_us, msgspec.json.encode(facts), b"", b"", searched(facts, ""))
    personal = Personal(
        salt=os.urandom(8).hex(),
        key=_fit(entry.subject.key),
        remote=_fit(entry.remote),
        input_findings=entry.input_findings,
        output_findings=entry.output_findings,
    )
    content = b""
    if entry.content is not None and any(entry.content):
        content = msgspec.msgpack.encode(Content(*entry.content))
    exchange_facts = _facts(entry, price)
    return Row(
        tenant=_fit(entry.subject.tenant),
        id=_fit(entry.exchange),
        kind=EXCHANGE,
        at_us=microseconds(entry.at),
        facts=msgspec.json.encode(exchange_facts),
        personal=msgspec.json.encode(personal),
        content=content,
        columns=searched(exchange_facts, personal.key),
    )


def _facts(record: ExchangeRecord, price: Price) -> Facts:
    findings = (*record.input_findings, *record.output_findings)
    cost = price(record.model, record.input_tokens, record.output_tokens)
    added, first, total = record.added_ms, record.first_token_ms, record.total_ms
    score, timings = record.score, record.timings
    # one sum finds out what would take a look at every number: almost always all are finite
    if not math.isfinite(sum(timings.values()) + added + first + total + score + cost):
        added, first, total, score, cost = map(_real, (added, first, total, score, cost))
        timings = {name: _real(value) for name, value in timings.items()}
    return Facts(
        protocol=_fit(record.protocol),
        endpoint=_fit(record.endpoint),
        model=_fit(record.model),
        upstream=_fit(record.upstream),
        agent=_fit(record.subject.agent),
        policy=_fit(record.policy),
        policy_revision=_fit(record.policy_revision),
        mode=record.mode,
        status=_whole(record.status),
        streamed=record.streamed,
        action=record.action,
        intended=record.intended,
        rule=_fit(record.rule),
        score=score,
        rules=tuple(sorted({finding.rule for finding in findings})) if findings else (),
        faults=record.faults,
        outcomes=record.outcomes,
        timings={name: round(value, 4) for name, value in timings.items()},
        added_ms=round(added, 3),
        first_token_ms=round(first, 3),
        total_ms=round(total, 3),
        input_tokens=_whole(record.input_tokens),
        output_tokens=_whole(record.output_tokens),
        cost_usd=float(cost),
        request_bytes=_whole(record.request_bytes),
        response_bytes=_whole(record.response_bytes),
        method=_fit(record.method),
        tool=_fit(record.tool),
        trace=_fit(record.trace),
    )


def decode_facts(kind: str, facts: bytes) -> Facts | ActFacts:
    """What a row's facts say. Raises msgspec.MsgspecError (or UnicodeDecodeError) where they are damaged."""
    return _facts_decoder.decode(facts) if kind == EXCHANGE else _act_decoder.decode(facts)


def decode_personal(personal: bytes) -> Personal:
    """What a row's personal part says. Raises msgspec.MsgspecError where it is damaged."""
    return _personal_decoder.decode(personal)


def decode_content(content: bytes) -> Content:
    """The two encrypted bodies of a content row. Raises msgspec.MsgspecError where they are damaged."""
    return _content_decoder.decode(content)


def columns(kind: str, facts: bytes, personal: bytes) -> dict[str, Any]:
    """The searched columns of a row. Raises like `decode_facts`."""
    return searched(decode_facts(kind, facts), decode_personal(personal).key if personal and kind == EXCHANGE else "")


def searched(said: Facts | ActFacts, key: str) -> dict[str, Any]:
    """The columns that repeat what a record's facts and its personal part say."""
    if isinstance(said, ActFacts):
        return {**EMPTY, "actor": said.actor, "act": said.action, "target": said.target}
    return {
        "protocol": said.protocol,
        "endpoint": said.endpoint,
        "model": said.model,
        "agent": said.agent,
        "key": key,
        "policy": said.policy,
        "mode": said.mode.value,
        "status": said.status,
        "action": said.action,
        "intended": said.intended,
        "rule": said.rule,
        "score": said.score,
        "added_us": _us(said.added_ms),
        "first_token_us": _us(said.first_token_ms),
        "total_us": _us(said.total_ms),
        "input_tokens": said.input_tokens,
        "output_tokens": said.output_tokens,
        "cost_micros": round(said.cost_usd * 1e6) if said.cost_usd >= 0 else -1,
        "actor": "",
        "act": "",
        "target": "",
    }


EMPTY: dict[str, Any] = {
    **dict.fromkeys(("protocol", "endpoint", "model", "agent", "key", "policy", "mode"), ""),
    **dict.fromkeys(("action", "intended", "rule"), ""),
    **dict.fromkeys(("status", "added_us", "total_us"), 0),
    **dict.fromkeys(("first_token_us", "input_tokens", "output_tokens", "cost_micros"), -1),
    "score": 0.0,
    **dict.fromkeys(("actor", "act", "target"), ""),
}


def microseconds(at: float) -> int:
    """Unix seconds as whole microseconds."""
    return _whole(round(_real(at) * 1e6))


def _us(milliseconds: float) -> int:
    return round(milliseconds * 1000) if milliseconds >= 0 else -1


def _fit(text: str) -> str:
    """A text any database column takes: no NUL (PostgreSQL), not endless."""
    return text.replace("\0", "\ufffd")[:TEXT_LIMIT] if "\0" in text or len(text) > TEXT_LIMIT else text


def _whole(number: int) -> int:
    return max(-INTEGER_LIMIT, min(INTEGER_LIMIT, int(number)))


def _real(number: float) -> float:
    return float(number) if math.isfinite(number) else 0.0
