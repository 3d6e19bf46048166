"""A person's request names values; the log, which holds none, finds her exchanges by their digests."""

import asyncio
import io
import json
from pathlib import Path

import msgspec
import pytest

from sigmaguard.errors import ConfigError
from sigmaguard.inspection import value_digest
from sigmaguard_proxy.audit.subjects import open_keyring, spellings, value_digests
from sigmaguard_proxy.cli import main
from sigmaguard_proxy.control.installing import install
from sigmaguard_proxy.control.keyring import FileKeys, Keyring, derive
from sigmaguard_proxy.control.rows import INSTALLATION, load_rows
from sigmaguard_proxy.store.database import Database, open_database
from sigmaguard_proxy.store.location import locate
from sigmaguard_proxy.store.migrate import migrate
from tests.audit_records import EMAIL, exchange, record_all, ship_all

ANNA, OTTO = "anna.schmidt@example.org", "otto@example.org"


async def _install(data: Path, database: Database) -> bytes:
    """An installation's first rows; the key its findings are digested with."""
    await migrate(database)
    keyring = Keyring(FileKeys(data / "vault.key", create=True))
    await install(database, keyring)
    async with database.read() as connection:
        rows = await load_rows(connection)
    return derive(keyring.unseal(rows.secret, INSTALLATION), "digest")


async def _fill(data: Path) -> None:
    """Four exchanges of tenant acme: two with Anna's address in two spellings, two with Otto's."""
    database = open_database(locate(data, ""))
    key = await _install(data, database)
    written = [ANNA, ANNA.title(), OTTO, OTTO]
    seen = [msgspec.structs.replace(EMAIL, digest=value_digest(value, key)) for value in written]
    record_all(data, [exchange(number, "acme", input_findings=(one,)) for number, one in enumerate(seen)])
    await ship_all(data, database)
    await database.close()


def _lines(capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]


def test_a_person_is_told_what_is_kept_of_her_and_forgotten_by_her_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    asyncio.run(_fill(tmp_path))
    at = ["--data", str(tmp_path), "--tenant", "acme"]
    values = tmp_path / "request.txt"
    values.write_text(f"{ANNA}\n\n", encoding="utf-8")
    assert main(["audit", "export", *at, "--value-from", str(values)]) == 0
    assert [line["sequence"] for line in _lines(capfdbinary)] == [1, 2]
    monkeypatch.setattr("sys.stdin", io.StringIO(ANNA))
    assert main(["audit", "erase", *at, "--value-from", "-", "--reason", "Art. 17"]) == 0
    assert b"2 records erased" in capfdbinary.readouterr().out
    assert main(["audit", "export", *at, "--value-from", str(values)]) == 0
    assert _lines(capfdbinary) == []
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 0
    values.write_text(OTTO, encoding="utf-8")
    capfdbinary.readouterr()
    assert main(["audit", "export", *at, "--value-from", str(values)]) == 0
    assert [line["sequence"] for line in _lines(capfdbinary)] == [3, 4]
    # the act says who asked for what, but never the value
    assert main(["audit", "export", *at]) == 0
    assert ANNA.encode() not in capfdbinary.readouterr().out


def test_an_export_takes_the_selections_of_an_erasure(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    asyncio.run(_fill(tmp_path))
    for selected, expected in (
        (["--key", "key_1"], [2]),
        (["--agent", "agent-0"], [1, 3]),
        (["--agent", "agent-0", "--key", "key_2"], [3]),
        (["--remote", "192.0.2.7"], [1, 2, 3, 4]),
        (["--remote", "192.0.2.8"], []),
        (["--older-than-days", "1"], []),
    ):
        assert main(["audit", "export", "--data", str(tmp_path), "--tenant", "acme", *selected]) == 0
        assert [line["sequence"] for line in _lines(capfdbinary)] == expected, selected


def test_nothing_is_selected_by_what_cannot_be_looked_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_fill(tmp_path))
    empty, values = tmp_path / "empty.txt", tmp_path / "values.txt"
    empty.write_text(" \n", encoding="utf-8")
    values.write_text(ANNA, encoding="utf-8")
    erase = ["audit", "erase", "--data", str(tmp_path), "--tenant", "acme", "--reason", "r", "--value-from"]
    assert main([*erase, str(empty)]) == 2
    assert main([*erase, str(tmp_path / "none.txt")]) == 2
    (tmp_path / "vault.key").rename(tmp_path / "away")
    assert main([*erase, str(values)]) == 2
    assert "SIGMAGUARD_VAULT_KEY" in capsys.readouterr().err
    assert not (tmp_path / "vault.key").exists()  # none is made: it would open nothing and hide the loss
    Keyring(FileKeys(tmp_path / "vault.key", create=True))
    assert main([*erase, str(values)]) == 2
    assert "does not open" in capsys.readouterr().err


async def test_digests_are_those_of_findings_on_both_databases(tmp_path: Path, database: Database) -> None:
    key = await _install(tmp_path, database)
    found = await value_digests(database, open_keyring(tmp_path), [ANNA])
    assert value_digest(ANNA, key) in found and value_digest(OTTO, key) not in found
    other = Keyring(FileKeys(tmp_path / "other.key", create=True))
    with pytest.raises(ConfigError):
        await value_digests(database, other, [ANNA])


def test_spellings_of_a_value() -> None:
    assert spellings(" anna Schmidt ") == ["anna Schmidt", "anna schmidt", "ANNA SCHMIDT", "Anna Schmidt"]
    assert spellings("4711") == ["4711"]
    assert spellings("  ") == []
