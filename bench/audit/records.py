"""Makes believable exchange records, spread over days. Knows shapes; opens nothing."""

import os
import random
from collections.abc import Iterator

from sigmaguard.model import Finding, Mode, Outcome, Subject
from sigmaguard_proxy.ports import ExchangeRecord

DETECTORS = ("phrases", "injection", "leaks", "pii", "urls", "unsafe_text")
MODELS = ("gpt-5", "gpt-5-mini", "claude-opus-4", "claude-haiku-4", "mistral-large")
RULES = ("injection.override", "jailbreak.persona", "leak.openai_key", "leak.github_token", "url.exfiltration")


def records(count: int, until: float, days: float, seed: int = 1) -> Iterator[ExchangeRecord]:
    """`count` records that end at `until` (Unix seconds): 92 % allowed, 6 % masked, 2 % blocked."""
    chance = random.Random(seed)
    step = days * 86_400 / count
    for number in range(count):
        kind = chance.random()
        action = "block" if kind < 0.02 else "mask" if kind < 0.08 else "allow"
        rule = {"block": chance.choice(RULES), "mask": "pii.email", "allow": ""}[action]
        findings = (
            (Finding(rule, "pii", 3, 20, 0.9, "/messages/3/content", "EMAIL", digest=f"{chance.getrandbits(64):016x}"),)
            if rule
            else ()
        )
        added = chance.lognormvariate(0.7, 0.8)
        yield ExchangeRecord(
            exchange=f"exc_{number:012x}{os.urandom(10).hex()}",
            at=until - (count - number) * step,
            subject=Subject("default", f"agent-{chance.randrange(40)}", f"key_{chance.randrange(200):06d}"),
            protocol="openai.chat",
            endpoint="/v1/chat/completions",
            model=chance.choice(MODELS),
            upstream="openai",
            policy="basic",
            policy_revision="0123456789ab",
            mode=Mode.ENFORCE,
            status=403 if action == "block" else 500 if chance.random() < 0.003 else 200,
            streamed=chance.random() < 0.5,
            action=action,
            intended=action,
            rule=rule,
            score=round(chance.random() * 0.3, 4),
            input_findings=findings,
            outcomes=tuple((name, Outcome.CLEAN) for name in DETECTORS),
            timings={"decode": 0.08, "inspect": round(added, 3), "act": 0.02, "relay": 0.3},
            added_ms=added,
            first_token_ms=chance.lognormvariate(5.5, 0.5),
            total_ms=chance.lognormvariate(7.0, 0.7),
            input_tokens=chance.randrange(50, 8_000),
            output_tokens=chance.randrange(10, 900),
            request_bytes=chance.randrange(400, 40_000),
            response_bytes=chance.randrange(300, 6_000),
            remote=f"192.0.2.{chance.randrange(255)}",
        )
