"""What Prometheus scrapes: exact counts, bounded labels, no content, workers added up."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from sigmaguard.model import Fault, FaultSource, Finding, Mode, Outcome, Subject
from sigmaguard_proxy.metrics import BUCKETS_S, LABEL_VALUES, Metrics, Vitals
from sigmaguard_proxy.ports import ExchangeRecord

RECORD = ExchangeRecord(
    exchange="exc_1",
    at=time.time(),
    subject=Subject(agent="buyer"),
    protocol="openai.chat",
    endpoint="/v1/chat/completions",
    model="gpt-test",
    upstream="openai",
    policy="basic",
    policy_revision="abc",
    mode=Mode.ENFORCE,
    status=200,
    streamed=False,
    action="mask",
    intended="mask",
    rule="leak.token",
    score=0.0,
    input_findings=(Finding("leak.token", "leaks", 0, 5, 1.0),),
    outcomes=(("leaks", Outcome.FOUND), ("pii", Outcome.NOT_RUN)),
    timings={"inspect": 2.0, "decode": 0.04},
    added_ms=3.0,
    first_token_ms=10.0,
    total_ms=11.0,
    input_tokens=10,
    output_tokens=4,
    request_bytes=100,
    response_bytes=200,
)
VITALS = Vitals("0", "basic", "abc", "enforce", 5, 7, 0, 1, 2, 3, 4.5, {"glance": 9}, {"database": True}, 6)


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    lines = metrics.expose().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_an_exchange_is_counted_once_everywhere() -> None:
    metrics = Metrics(lambda model, given, made: given * 0.5 + made)
    for _ in range(3):
        metrics.observe(RECORD)
    assert values(metrics) == values(metrics), "asking twice counts nothing twice"
    found = values(metrics)
    labels = 'action="mask",intended="mask",mode="enforce",protocol="openai.chat",status="200"'
    assert found[f"sigmaguard_exchanges_total{{{labels}}}"] == 3
    assert found['sigmaguard_subject_exchanges_total{action="mask",agent="buyer",tenant="default"}'] == 3
    assert found['sigmaguard_findings_total{detector="leaks",direction="input",rule="leak.token"}'] == 3
    assert found['sigmaguard_detector_runs_total{detector="leaks",outcome="found"}'] == 3
    assert not any('detector="pii"' in name for name in found), "a detector that was not run did not run"
    assert found['sigmaguard_tokens_total{kind="input",model="gpt-test"}'] == 30
    assert found['sigmaguard_cost_usd_total{model="gpt-test"}'] == pytest.approx(27.0)
    assert found['sigmaguard_stage_seconds_count{stage="inspect"}'] == 3
    assert found['sigmaguard_stage_seconds_sum{stage="inspect"}'] == pytest.approx(0.006)
    assert found['sigmaguard_request_bytes_total{protocol="openai.chat"}'] == 300


@pytest.mark.parametrize("milliseconds", [0.0, 0.05, 0.051, 1.0, 2.9, 10_000.0, 99_000.0])
def test_a_duration_falls_into_the_bucket_that_a_histogram_would_choose(milliseconds: float) -> None:
    metrics = Metrics()
    metrics.observe(msgspec.structs.replace(RECORD, timings={"act": milliseconds}))
    found = values(metrics)
    for bound in BUCKETS_S:
        expected = float(milliseconds / 1000.0 <= bound)
        assert found[f'sigmaguard_stage_seconds_bucket{{le="{bound}",stage="act"}}'] == expected
    assert found['sigmaguard_stage_seconds_bucket{le="+Inf",stage="act"}'] == 1


def test_failures_are_counted_by_their_source() -> None:
    metrics = Metrics()
    faults = (Fault(FaultSource.UPSTREAM, "upstream_reset", "it broke off"),)
    metrics.observe(msgspec.structs.replace(RECORD, status=502, faults=faults))
    metrics.observe(msgspec.structs.replace(RECORD, status=500))
    found = values(metrics)
    assert found['sigmaguard_faults_total{kind="upstream_reset",source="upstream"}'] == 1
    assert found['sigmaguard_upstream_errors_total{kind="upstream_reset",upstream="openai"}'] == 1
    assert found['sigmaguard_upstream_errors_total{kind="status_5xx",upstream="openai"}'] == 1


def test_what_callers_choose_never_makes_more_series_than_allowed() -> None:
    metrics = Metrics()
    for number in range(LABEL_VALUES + 50):
        subject = Subject(tenant=f"tenant{number}", agent=f"agent{number}")
        metrics.observe(msgspec.structs.replace(RECORD, subject=subject, model=f"model{number}"))
    text = metrics.expose().decode()
    for label in ("tenant", "agent", "model"):
        assert len(set(re.findall(rf'{label}="([^"]*)"', text))) <= LABEL_VALUES + 1
        assert f'{label}="other"' in text


def test_vitals_show_totals_and_only_the_policy_in_force() -> None:
    metrics = Metrics()
    metrics.sample(VITALS)
    metrics.sample(msgspec.structs.replace(VITALS, revision="def", memory_found=8, audit_lost_heads=2))
    found = values(metrics)
    assert found["sigmaguard_memory_found_total"] == 8 and found["sigmaguard_memory_missed_total"] == 7
    assert found['sigmaguard_policy_info{policy="basic",revision="abc",worker="0"}'] == 0
    assert found['sigmaguard_policy_info{policy="basic",revision="def",worker="0"}'] == 1
    assert found["sigmaguard_audit_lag_seconds"] == 4.5
    assert found["sigmaguard_audit_lost_heads"] == 2
    assert found["sigmaguard_event_loop_tasks"] == 6
    assert found['sigmaguard_degraded{part="database"}'] == 1
    assert found['sigmaguard_model_windows_total{tier="glance"}'] == 9


def test_workers_are_added_up(tmp_path: Path) -> None:
    script = (
        "import sys, msgspec\n"
        "from sigmaguard_proxy.metrics import Metrics\n"
        "from sigmaguard_proxy.ports import ExchangeRecord\n"
        "record = msgspec.json.decode(sys.stdin.buffer.read(), type=ExchangeRecord)\n"
        "metrics = Metrics()\n"
        "for _ in range(int(sys.argv[1])):\n"
        "    metrics.observe(record)\n"
        "metrics.flush()\n"
        "sys.stdout.write(metrics.expose().decode())\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    text = ""
    for count in (2, 3, 4):
        done = subprocess.run(
            [sys.executable, "-c", script, str(count)],
            input=msgspec.json.encode(RECORD),
            env=environment,
            capture_output=True,
            timeout=60,
            check=True,
        )
        text = done.stdout.decode()
    assert re.search(r'sigmaguard_exchanges_total\{.*status="200".*\} 9\.0', text)
    assert re.search(r'sigmaguard_stage_seconds_count\{stage="inspect"\} 9\.0', text)
