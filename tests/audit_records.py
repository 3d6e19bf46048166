"""Audit records for tests, and short ways to an audit log. Knows shapes, proves nothing."""

import os
import time
from pathlib import Path
from typing import Any

from sigmaguard.model import Fault, FaultSource, Finding, Mode, Outcome, Subject
from sigmaguard_proxy.audit.keys import load_cipher, load_trust
from sigmaguard_proxy.audit.recorder import AuditRecorder
from sigmaguard_proxy.audit.shipping import Shipping
from sigmaguard_proxy.audit.verify import Problem, Verifier
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.store.database import Database

EMAIL = Finding("pii.email", "pii", 3, 20, 0.9, "/messages/3/content", "EMAIL", "plain", ("LLM02",), "0123456789abcdef")
INJECTION = Finding("injection.override", "phrases", 0, 9, 0.99, "/messages/0/content", digest="fedcba9876543210")


def exchange(number: int = 0, tenant: str = "default", **changes: Any) -> ExchangeRecord:
    """A record like those the stages make; every third was blocked."""
    blocked = number % 3 == 2
    values: dict[str, Any] = {
        "exchange": f"exc_{number:012x}{os.urandom(10).hex()}",
        "at": time.time(),
        "subject": Subject(tenant, f"agent-{number % 2}", f"key_{number % 4}"),
        "protocol": "openai.chat",
        "endpoint": "/v1/chat/completions",
        "model": "model-a",
        "upstream": "openai",
        "policy": "basic",
        "policy_revision": "0123456789ab",
        "mode": Mode.ENFORCE,
        "status": 403 if blocked else 200,
        "streamed": False,
        "action": "block" if blocked else "mask",
        "intended": "block" if blocked else "mask",
        "rule": INJECTION.rule if blocked else EMAIL.rule,
        "score": 0.1 * (number % 10),
        "input_findings": (INJECTION,) if blocked else (EMAIL,),
        "faults": (Fault(FaultSource.DETECTOR, "detector_timeout", "slow", True, "names"),) if number % 5 == 0 else (),
        "outcomes": (("phrases", Outcome.FOUND), ("pii", Outcome.CLEAN)),
        "timings": {"decode": 0.1, "inspect": 1.25},
        "added_ms": 1.8 + number,
        "first_token_ms": 30.0,
        "total_ms": 200.0 + number,
        "input_tokens": 100,
        "output_tokens": 20,
        "request_bytes": 900,
        "response_bytes": 1200,
        "remote": "192.0.2.7",
    }
    return ExchangeRecord(**{**values, **changes})


def open_recorder(data: Path, name: str = "worker-0", **options: Any) -> tuple[AuditRecorder, Wal]:
    """A recorder over its own write-ahead folder."""
    wal = Wal(data / "audit" / "wal", name, sync_every_s=0, **options)
    return AuditRecorder(wal, load_cipher(data / "audit")), wal


def record_all(data: Path, records: list[ExchangeRecord], name: str = "worker-0") -> None:
    """Writes records and ends the writer."""
    recorder, wal = open_recorder(data, name)
    for record in records:
        recorder.record(record)
    wal.close()


async def ship_all(data: Path, database: Database) -> int:
    """Ships everything there is."""
    return await Shipping(data / "audit", database, Log("test")).ship_all()


async def problems(data: Path, database: Database) -> list[Problem]:
    """What a verification finds."""
    verifier = Verifier(database, data / "audit", load_trust(data / "audit"))
    return [problem async for problem in verifier.problems()]
