"""The command line and its formats: what leaves the log is what is in it, in shapes other systems read."""

import asyncio
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sigmaguard.errors import ConfigError
from sigmaguard.model import Fault, FaultSource
from sigmaguard_proxy.audit.formats import FORMATS
from sigmaguard_proxy.audit.reading import Reader, Stored
from sigmaguard_proxy.cli import main
from sigmaguard_proxy.store.database import Database, open_database
from sigmaguard_proxy.store.location import locate
from sigmaguard_proxy.store.migrate import migrate
from tests.audit_records import exchange, open_recorder, record_all, ship_all
from tests.control_servers import until

CEF = re.compile(
    r"^CEF:0\|(?:[^|\\]|\\.)*\|(?:[^|\\]|\\.)*\|(?:[^|\\]|\\.)*\|(?:[^|\\]|\\.)*\|(?:[^|\\]|\\.)*\|\d+\|(.*)$"
)


async def _stored(data: Path, database: Database) -> list[Stored]:
    nasty = exchange(2, "acme", model="a|b=c\\d\ne", endpoint="/v1/x=y")
    record_all(data, [exchange(0, "acme"), exchange(1, "acme", action="allow", intended="allow", rule=""), nasty])
    recorder, wal = open_recorder(data)
    recorder.record_act("acme", "anna", "policy.promoted", "ba|sic", {"to": 2})
    wal.close()
    await ship_all(data, database)
    return [record async for page in Reader(database).records("acme") for record in page]


async def test_every_format_tells_every_record_on_one_line(tmp_path: Path, database: Database) -> None:
    stored = await _stored(tmp_path, database)
    assert len(stored) == 4
    for write in FORMATS.values():
        for record in stored:
            line = write(record).decode()
            assert "\n" not in line and record.id in line


async def test_cef_survives_its_own_special_characters(tmp_path: Path, database: Database) -> None:
    for record in await _stored(tmp_path, database):
        line = FORMATS["cef"](record).decode()
        found = CEF.match(line)
        assert found, line
        # an extension's value runs to the next ` key=`; unescaped `=` may only stand after a key
        fields = dict(
            (key, re.sub(r"\\(.)", lambda one: {"n": "\n", "r": "\r"}.get(one[1], one[1]), value))
            for key, value in re.findall(r"(\w+)=((?:[^=\\]|\\.)*?)(?= \w+=|$)", found[1])
        )
        assert fields["externalId"] == record.id
        if record.kind == "exchange":
            assert fields["cs3"] == record.searched["model"]
            assert fields["request"] == record.searched["endpoint"]


async def test_ecs_uses_the_fields_and_values_the_schema_allows(tmp_path: Path, database: Database) -> None:
    categories = {"intrusion_detection", "network", "configuration"}  # ECS 8.17, event.category
    for record in await _stored(tmp_path, database):
        document = json.loads(FORMATS["ecs"](record))
        assert document["@timestamp"].endswith("+00:00")
        assert document["event"]["kind"] in ("alert", "event")
        assert set(document["event"]["category"]) <= categories
        assert document["event"].get("outcome", "success") in ("success", "failure")
    blocked = [one for one in await _stored_again(database) if one.searched["action"] == "block"]
    document = json.loads(FORMATS["ecs"](blocked[0]))
    assert document["rule"]["id"] == "injection.override"
    assert document["event"]["kind"] == "alert" and document["event"]["outcome"] == "failure"
    assert document["http"]["response"]["status_code"] == 403


FAILED_UPSTREAM = Fault(FaultSource.UPSTREAM, "upstream_failed", "connection refused")
SLOW_DETECTOR = Fault(FaultSource.DETECTOR, "detector_timeout", "slow", True, "names")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "success"),
        ({"faults": (SLOW_DETECTOR,)}, "success"),  # the policy failed open and the caller got its answer
        ({"status": 503, "faults": (SLOW_DETECTOR,)}, "failure"),
        ({"status": 502, "faults": (FAILED_UPSTREAM,)}, "failure"),
        ({"status": 200, "streamed": True, "faults": (FAILED_UPSTREAM,)}, "failure"),  # the stream broke midway
        ({"status": 429}, "failure"),
        ({"status": 499}, "failure"),
        ({"status": 403, "action": "block", "intended": "block"}, "failure"),
        ({"status": 200, "action": "block", "intended": "block"}, "failure"),
    ],
)
async def test_an_exchange_that_failed_is_exported_as_a_failure(
    changes: dict[str, Any], outcome: str, tmp_path: Path, database: Database
) -> None:
    values = {"action": "allow", "intended": "allow", "rule": "", "status": 200, "faults": (), **changes}
    record_all(tmp_path, [exchange(1, "acme", **values)])
    await ship_all(tmp_path, database)
    (record,) = await _stored_again(database)
    assert f" outcome={outcome} " in FORMATS["cef"](record).decode()
    assert json.loads(FORMATS["ecs"](record))["event"]["outcome"] == outcome


async def _stored_again(database: Database) -> list[Stored]:
    return [record async for page in Reader(database).records("acme") for record in page]


def _run(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sigmaguard_proxy.cli", "audit", *words, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_no_server_shipped_is_shipped_verified_exported_and_erased(tmp_path: Path) -> None:
    records = [exchange(number) for number in range(30)]
    record_all(tmp_path, records)  # a server that was killed before it even had a database
    exported = _run(tmp_path, "export")
    assert exported.returncode == 0, exported.stderr
    assert [json.loads(line)["exchange"] for line in exported.stdout.splitlines()] == [one.exchange for one in records]
    assert "30 records were still waiting" in exported.stderr
    verified = _run(tmp_path, "verify")
    assert (verified.returncode, "all in order" in verified.stdout) == (0, True)
    erased = _run(tmp_path, "erase", "--key", "key_1", "--reason", "she asked")
    assert (erased.returncode, erased.stdout) == (0, "8 records erased; the chain still verifies\n")
    again = _run(tmp_path, "export")
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert {line["exchange"] for line in lines if line.get("personal_erased")} == {
        one.exchange for one in records if one.subject.key == "key_1"
    }
    assert "key_1" not in again.stdout
    assert _run(tmp_path, "verify").returncode == 0


def test_a_tampered_log_ends_in_one_and_says_which_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [exchange(number) for number in range(10)]
    record_all(tmp_path, records)
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 0
    asyncio.run(_tamper(tmp_path, records[3].exchange))
    capsys.readouterr()
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"default #4 {records[3].exchange}" in out and "PROBLEM" in out
    assert "injection" not in out and "192.0.2" not in out  # says where, not what


async def _tamper(data: Path, exchange_id: str) -> None:
    from sqlalchemy import text

    database = open_database(locate(data, ""))
    async with database.write() as connection:
        await connection.execute(text("UPDATE audit_records SET action = 'allow' WHERE id = :id"), {"id": exchange_id})
    await database.close()


def test_wrong_use_is_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "--data", str(tmp_path / "nothing")]) == 2
    assert "there is no audit log" in capsys.readouterr().err
    record_all(tmp_path, [exchange(1)])
    assert main(["audit", "erase", "--data", str(tmp_path), "--reason", "r"]) == 2
    assert "nothing is selected" in capsys.readouterr().err
    unreachable = f"postgresql://postgres@/nothing?host={tmp_path}"
    assert main(["audit", "verify", "--data", str(tmp_path), "--database-url", unreachable]) == 2
    assert "start it" in capsys.readouterr().err


def test_long_runs_tell_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from sigmaguard_proxy.audit.cli import _Progress

    progress = _Progress("verified")
    progress(10)
    assert capsys.readouterr().err == ""
    progress._told -= 10
    progress(5_000)
    assert "5,000 records verified" in capsys.readouterr().err


async def test_a_database_that_is_down_loses_nothing(tmp_path: Path, database_url: str) -> None:
    """Shipping begins against a database without tables, fails, and goes on once they are there."""
    from sigmaguard_proxy.audit.audit_log import AuditLog
    from sigmaguard_proxy.logs import Log

    errors = io.StringIO()
    log = AuditLog(tmp_path, database_url, 0, Log("test", errors))
    log.start()
    records = [exchange(number) for number in range(25)]
    for record in records:
        log.recorder.record(record)
    with pytest.raises(TimeoutError):
        await log.flush(0.5)
    await until(log.degraded)  # a slow machine's shipper may only now have tried
    assert log.degraded() == ["audit"]
    waiting, lag_s, _ = log.backlog()
    assert waiting > 0 and lag_s > 0
    database = open_database(database_url)
    await migrate(database)
    await log.flush(20)
    await log.stop()
    assert log.degraded() == [] and log.backlog() == (0, 0.0, 0)
    found = [record.id async for page in Reader(database).records("default") for record in page]
    assert found == [record.exchange for record in records]
    assert records[0].exchange not in errors.getvalue()
    await database.close()


def test_unknown_databases_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    record_all(tmp_path, [exchange(1)])
    with pytest.raises(ConfigError, match="not supported"):
        main_raising(["audit", "verify", "--data", str(tmp_path), "--database-url", "mysql://x/y"])


def main_raising(words: list[str]) -> None:
    from sigmaguard_proxy.audit.cli import verify_command
    from sigmaguard_proxy.cli import build_parser

    verify_command(build_parser().parse_args(words))


def test_verify_tells_a_damaged_database_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_all(tmp_path, [exchange(1)])
    (tmp_path / "sigmaguard.sqlite").write_bytes(b"this is no database" * 500)
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "sigmaguard.sqlite is damaged" in said and "restore your backup" in said and "start it" not in said
