"""A record as other systems read it: our JSON, ArcSight's CEF, Elastic's ECS. Pure; opens nothing.

CEF: Micro Focus, `ArcSight Common Event Format` rev. 26. ECS: Elastic Common Schema 8.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec
import orjson

from sigmaguard.model import FaultSource
from sigmaguard_proxy.audit.reading import Stored
from sigmaguard_proxy.audit.rows import ActFacts, Facts, Personal, decode_facts, decode_personal

Format = Callable[[Stored], bytes]

_QUIET = ("allow", "refuse")  # no policy found anything
# ours -> CEF's 0 (low) to 10 (very high)
_SEVERITY = {"block": 8, "mask": 5, "refuse": 4, "flag": 3, "allow": 1}


def jsonl(record: Stored) -> bytes:
    """Everything a record says, one JSON object a line; `exchange` is empty for an administrative act."""
    facts, personal = _said(record)
    line: dict[str, Any] = {
        "exchange": record.id if record.kind == "exchange" else "",
        "id": record.id,
        "kind": record.kind,
        "tenant": record.tenant,
        "sequence": record.sequence,
        "at": _time(record.at_us),
        **msgspec.to_builtins(facts),
    }
    if isinstance(facts, Facts):
        line["personal_erased"] = bool(record.personal_erased_by)
        line |= {name: value for name, value in msgspec.to_builtins(personal).items() if name != "salt"}
    line |= {"previous": record.previous.hex(), "hash": record.hash.hex()}
    return orjson.dumps(line)


def cef(record: Stored) -> bytes:
    """One CEF line."""
    facts, personal = _said(record)
    if isinstance(facts, Facts):
        name, identity, severity = f"LLM exchange {facts.intended}", facts.rule or facts.action, _severity(facts)
        extension = {
            "rt": record.at_us // 1000,
            "externalId": record.id,
            "act": facts.action,
            "outcome": _outcome(facts),
            "app": facts.protocol,
            "request": facts.endpoint,
            "src": personal.remote,
            "suser": personal.key,
            "dhost": facts.upstream,
            "in": facts.request_bytes,
            "out": facts.response_bytes,
            "reason": facts.rule,
            "cs1Label": "tenant",
            "cs1": record.tenant,
            "cs2Label": "agent",
            "cs2": facts.agent,
            "cs3Label": "model",
            "cs3": facts.model,
            "cs4Label": "policy",
            "cs4": f"{facts.policy}@{facts.policy_revision}",
            "cs5Label": "mode",
            "cs5": facts.mode.value,
            "cs6Label": "rules",
            "cs6": ",".join(facts.rules),
            "cn1Label": "status",
            "cn1": facts.status,
            "cn2Label": "sequence",
            "cn2": record.sequence,
            "cfp1Label": "score",
            "cfp1": facts.score,
        }
    else:
        name, identity, severity = "Administrative act", facts.action, 3
        extension = {
            "rt": record.at_us // 1000,
            "externalId": record.id,
            "act": facts.action,
            "suser": facts.actor,
            "duser": facts.target,
            "cs1Label": "tenant",
            "cs1": record.tenant,
            "cn2Label": "sequence",
            "cn2": record.sequence,
        }
    head = "|".join(_header(part) for part in ("Sigmaguard", "Sigmaguard", version("sigmaguard"), identity, name))
    fields = " ".join(f"{key}={_extension(str(value))}" for key, value in extension.items() if value not in ("", -1))
    return f"CEF:0|{head}|{severity}|{fields}".encode()


def ecs(record: Stored) -> bytes:
    """One ECS document a line, ready for Elasticsearch's bulk API or Filebeat."""
    facts, personal = _said(record)
    document: dict[str, Any] = {
        "@timestamp": _time(record.at_us),
        "ecs": {"version": "8.17.0"},
        "event": {"id": record.id, "sequence": record.sequence, "hash": record.hash.hex(), "module": "sigmaguard"},
        "observer": {"vendor": "Sigmaguard", "product": "Sigmaguard", "type": "ai-firewall"},
        "organization": {"id": record.tenant},
    }
    event = document["event"]
    if isinstance(facts, ActFacts):
        event |= {"kind": "event", "category": ["configuration"], "type": ["change"], "action": facts.action}
        document["user"] = {"name": facts.actor}
        document["sigmaguard"] = {"target": facts.target, "details": orjson.dumps(facts.details).decode()}
        return orjson.dumps(document)
    event |= {
        "kind": "event" if facts.intended in _QUIET else "alert",
        "category": ["network" if facts.intended in _QUIET else "intrusion_detection"],
        "type": ["denied" if facts.action in ("block", "refuse") else "allowed"],
        "action": facts.action,
        "outcome": _outcome(facts),
        "duration": round(facts.total_ms * 1e6),
        "severity": _severity(facts),
        "risk_score": round(facts.score * 100, 2),
    }
    document |= {
        "http": {
            "request": {"body": {"bytes": facts.request_bytes}},
            "response": {"status_code": facts.status, "body": {"bytes": facts.response_bytes}},
        },
        "url": {"path": facts.endpoint},
        "gen_ai": {
            "system": facts.upstream,
            "request": {"model": facts.model},
            "usage": _known({"input_tokens": facts.input_tokens, "output_tokens": facts.output_tokens}),
        },
        "sigmaguard": {
            "protocol": facts.protocol,
            "agent": facts.agent,
            "policy": {"name": facts.policy, "revision": facts.policy_revision},
            "mode": facts.mode.value,
            "intended": facts.intended,
            "added_ms": facts.added_ms,
            "findings": [
                {"rule": one.rule, "detector": one.detector, "direction": direction, "path": one.path, "tags": one.tags}
                for direction, found in (("input", personal.input_findings), ("output", personal.output_findings))
                for one in found
            ],
        },
    }
    if facts.rule:
        document["rule"] = {"id": facts.rule, "ruleset": facts.policy}
    if personal.remote:
        document["source"] = {"ip": personal.remote, "address": personal.remote}
    if personal.key:
        document["user"] = {"id": personal.key}
    return orjson.dumps(document)


FORMATS: dict[str, Format] = {"jsonl": jsonl, "cef": cef, "ecs": ecs}
_ERASED = Personal("", "", "", (), ())


def _said(record: Stored) -> tuple[Facts | ActFacts, Personal]:
    """What a record says. Raises ValueError naming the record where it cannot be read."""
    try:
        facts = decode_facts(record.kind, record.facts)
        return facts, decode_personal(record.personal) if record.personal else _ERASED
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{record.tenant} #{record.sequence} cannot be read; run `sigmaguard audit verify`") from error


def _severity(facts: Facts) -> int:
    return _SEVERITY.get(facts.intended, 1)


def _outcome(facts: Facts) -> str:
    """Whether the caller got its answer: not where it was blocked, refused, or cut off after a good status.

    A detector's fault alone is no failure: where the policy fails closed, the status says so.
    """
    is_broken = any(fault.source is not FaultSource.DETECTOR for fault in facts.faults)
    return "failure" if facts.action == "block" or facts.status >= 400 or is_broken else "success"


def _known(numbers: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number >= 0}


def _time(at_us: int) -> str:
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return ""


def _header(value: str) -> str:
    return _one_line(value).replace("\\", "\\\\").replace("|", "\\|")


def _extension(value: str) -> str:
    return value.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
