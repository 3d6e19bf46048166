"""Whatever is changed in the audit tables, the verifier finds it and names the record."""

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import LargeBinary, String, cast, delete, insert, literal, select, update

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.anchors import load_anchors
from sigmaguard_proxy.audit.append import Appender, signed_values
from sigmaguard_proxy.audit.chain import link
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection
from sigmaguard_proxy.audit.keys import Signer, load_signer, load_trust
from sigmaguard_proxy.audit.verify import Verifier
from sigmaguard_proxy.store.database import Database, open_database
from sigmaguard_proxy.store.migrate import migrate
from tests.audit_records import exchange, open_recorder, problems, record_all, ship_all

RECORDS = 12
TENANT = "acme"


class Log:
    """A small audit log of two tenants, with an act, a content and erased parts, and the loop it lives on."""

    def __init__(self, data: Path, url: str) -> None:
        self.data = data
        self.runner = asyncio.Runner()
        self.database: Database = self.runner.run(self._fill(url))

    async def _fill(self, url: str) -> Database:
        database = open_database(url)
        await migrate(database)
        recorder, wal = open_recorder(self.data)
        for number in range(RECORDS):
            content = (b"question", b"answer") if number in (1, 4) else None
            recorder.record(exchange(number, TENANT, content=content))
        recorder.record_act(TENANT, "anna", "policy.promoted", "basic", {"from": 1, "to": 2})
        recorder.record(exchange(99, "other"))
        wal.close()
        await ship_all(self.data, database)
        eraser = Eraser(database, Appender(load_signer(self.data / "audit")), "anna", "asked for it")
        first = (await self.rows(database))[0]["id"]
        await eraser.erase(Selection(TENANT, ids=(first,)), Part.PERSONAL)
        recorder, wal = open_recorder(self.data)
        recorder.record(exchange(13, TENANT))
        wal.close()
        await ship_all(self.data, database)
        return database

    async def rows(self, database: Database | None = None) -> list[dict[str, Any]]:
        table = tables.records
        async with (database or self.database).read() as connection:
            found = await connection.execute(select(table).where(table.c.tenant == TENANT).order_by(table.c.sequence))
            return [dict(row) for row in found.mappings()]

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.runner.run(problems(self.data, self.database))]

    def run(self, *statements: Any) -> None:
        async def execute() -> None:
            async with self.database.write() as connection:
                for statement in statements:
                    await connection.execute(statement)

        self.runner.run(execute())

    def close(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()


@pytest.fixture
def log(tmp_path: Path, database_url: str) -> Iterator[Log]:
    opened = Log(tmp_path, database_url)
    yield opened
    opened.close()


def _own(sequence: int) -> Any:
    return (tables.records.c.tenant == TENANT) & (tables.records.c.sequence == sequence)


def _flipped(value: Any, bit: int) -> Any:
    """A value with one bit the other way; None where that is no value of its type any more."""
    if isinstance(value, str):
        raw = bytearray(value.encode())
        raw[bit // 8 % len(raw)] ^= 1 << (bit % 8)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text
    if isinstance(value, bytes):
        raw = bytearray(value)
        raw[bit // 8 % len(raw)] ^= 1 << (bit % 8)
        return bytes(raw)
    if isinstance(value, float):
        (number,) = struct.unpack(
            "<d", (struct.unpack("<Q", struct.pack("<d", value))[0] ^ (1 << bit % 64)).to_bytes(8, "little")
        )
        return number if number == number and abs(number) != float("inf") else None
    return value ^ (1 << (bit % 31))


def test_a_sound_log_is_in_order(log: Log) -> None:
    assert log.problems() == []


def test_one_flipped_bit_anywhere_in_a_row_is_found_and_the_record_named(log: Log) -> None:
    rows = log.runner.run(log.rows())
    taken = {row["sequence"] for row in rows}

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(rows),
        st.sampled_from([column.name for column in tables.records.columns]),
        st.integers(0, 10_000),
    )
    def check(row: dict[str, Any], column: str, bit: int) -> None:
        assume(row[column] not in ("", b""))
        changed = _flipped(row[column], bit)
        assume(changed is not None and changed != row[column])
        assume(column != "sequence" or changed not in taken)
        log.run(update(tables.records).where(_own(row["sequence"])).values({column: changed}))
        try:
            found = log.problems()
        finally:
            moved_to = changed if column == "sequence" else row["sequence"]
            tenant = changed if column == "tenant" else TENANT
            there = (tables.records.c.tenant == tenant) & (tables.records.c.sequence == moved_to)
            log.run(update(tables.records).where(there).values({column: row[column]}))
        assert found
        named = f"#{row['sequence']}"
        assert any(named in line for line in found), found
        if column not in ("tenant", "sequence"):  # those move the record: its old and new place are both named
            may = {named, "#1"} if row["act"] == "records.erased" else {named}  # #1 is what that act erased
            assert {word.rstrip(":") for line in found for word in line.split()[1:2] if word[0] == "#"} <= may, found

    check()
    assert log.problems() == []


def test_bytes_that_are_no_text_any_more_are_found(log: Log) -> None:
    if not log.database.is_sqlite:
        pytest.skip("PostgreSQL keeps texts valid by itself")
    for column in ("model", "id", "kind", "rule"):
        row = log.runner.run(log.rows())[3]
        broken = bytes([row[column].encode()[0] ^ 0x80]) + row[column].encode()[1:]
        log.run(
            update(tables.records)
            .where(_own(row["sequence"]))
            .values({column: cast(literal(broken, LargeBinary), String)})
        )
        found = log.problems()
        log.run(update(tables.records).where(_own(row["sequence"])).values({column: row[column]}))
        assert found and all(f"{TENANT} #{row['sequence']} " in line for line in found), (column, found)


def test_a_deleted_row_is_found_and_named(log: Log) -> None:
    rows = log.runner.run(log.rows())
    for row in rows[:-1]:
        log.run(delete(tables.records).where(_own(row["sequence"])))
        found = log.problems()
        log.run(insert(tables.records).values(row))
        missing = [line for line in found if "missing" in line]
        assert len(missing) == 1 and missing[0].startswith(f"{TENANT} #{row['sequence']}:"), found


def test_a_swapped_pair_is_found_and_both_are_named(log: Log) -> None:
    rows = log.runner.run(log.rows())

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(rows) - 1), st.integers(0, len(rows) - 1))
    def check(one: int, two: int) -> None:
        assume(one != two)
        first, second = rows[one]["sequence"], rows[two]["sequence"]
        swap = [
            update(tables.records).where(_own(a)).values(sequence=b)
            for a, b in ((first, -1), (second, first), (-1, second))
        ]
        log.run(*swap)
        found = log.problems()
        log.run(*swap)
        assert any(line.startswith(f"{TENANT} #{first} ") for line in found), found
        assert any(line.startswith(f"{TENANT} #{second} ") for line in found), found

    check()
    assert log.problems() == []


def test_neighbours_swapped_blame_nobody_else(log: Log) -> None:
    log.run(
        *(update(tables.records).where(_own(a)).values(sequence=b) for a, b in ((4, -1), (5, 4), (-1, 5))),
    )
    assert {line.split()[1] for line in log.problems()} == {"#4", "#5"}


def test_an_end_cut_off_is_found_even_with_the_head_set_back(log: Log) -> None:
    rows = log.runner.run(log.rows())
    last, before = rows[-1], rows[-2]
    log.run(delete(tables.records).where(_own(last["sequence"])))
    assert any("cut off" in line and f"#{last['sequence']}" in line for line in log.problems())
    # whoever saw an older head could put it back, with its true signature, and remove the checkpoints since
    signer = load_signer(log.data / "audit")
    appender = Appender(signer)
    old = appender._sign(_head(before), 1)
    log.run(
        update(tables.chains).where(tables.chains.c.tenant == TENANT).values(signed_values(old)),
        delete(tables.checkpoints).where(tables.checkpoints.c.tenant == TENANT),
    )
    assert any("anchor" in line and "cut off or set back" in line for line in log.problems())


def _head(row: dict[str, Any]) -> Any:
    from sigmaguard_proxy.audit.chain import Head

    return Head(TENANT, row["sequence"], row["hash"])


def test_a_chain_rewritten_without_the_key_is_found(log: Log) -> None:
    """Everything is recomputed as if record 3 had never blocked, but nobody trusted signs it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from sigmaguard_proxy.audit.chain import Head, digest
    from sigmaguard_proxy.audit.rows import columns

    rows = log.runner.run(log.rows())
    statements: list[Any] = []
    previous = rows[1]["hash"]
    for row in rows[2:]:
        facts = row["facts"].replace(b'"action":"block"', b'"action":"allow"')
        digests = (digest(facts), row["personal_digest"], row["content_digest"])
        now = link(previous, TENANT, row["sequence"], row["id"], row["kind"], row["at_us"], digests)
        said = columns(row["kind"], facts, row["personal"])
        values = {**said, "facts": facts, "previous": previous, "hash": now}
        statements.append(update(tables.records).where(_own(row["sequence"])).values(values))
        previous = now
    thief = Appender(Signer(Ed25519PrivateKey.generate()))
    forged = thief._sign(Head(TENANT, rows[-1]["sequence"], previous), 1)
    own = tables.checkpoints.c.tenant == TENANT
    log.run(*statements, delete(tables.checkpoints).where(own))
    assert any("head is of another record" in line for line in log.problems())
    log.run(update(tables.chains).where(tables.chains.c.tenant == TENANT).values(signed_values(forged)))
    assert any("not signed by a known key" in line for line in log.problems())


def test_erasing_without_an_act_is_found(log: Log) -> None:
    row = log.runner.run(log.rows())[2]
    log.run(update(tables.records).where(_own(row["sequence"])).values(personal=b"", key=""))
    assert any("personal part is gone" in line and f"#{row['sequence']} " in line for line in log.problems())
    # blaming an act that erased another record does not help
    act = next(one["sequence"] for one in log.runner.run(log.rows()) if one["act"] == "records.erased")
    log.run(update(tables.records).where(_own(row["sequence"])).values(personal_erased_by=act))
    assert any("personal part is gone" in line and f"#{row['sequence']} " in line for line in log.problems())


def test_content_changed_or_gone_is_found(log: Log) -> None:
    row = log.runner.run(log.rows())[4]
    contents = tables.contents
    own = (contents.c.tenant == TENANT) & (contents.c.id == row["id"])
    log.run(update(contents).where(own).values(content=b"another"))
    assert [line for line in log.problems() if "content was changed" in line and row["id"] in line]
    log.run(delete(contents).where(own))
    assert [line for line in log.problems() if "content is missing" in line and row["id"] in line]


def test_anchors_are_kept_outside_the_database(log: Log) -> None:
    rows = log.runner.run(log.rows())
    anchor = load_anchors(log.data / "audit")[TENANT]
    assert (anchor.sequence, anchor.hash) == (rows[-1]["sequence"], rows[-1]["hash"])
    log.run(
        delete(tables.records).where(tables.records.c.tenant == TENANT),
        delete(tables.chains).where(tables.chains.c.tenant == TENANT),
        delete(tables.checkpoints).where(tables.checkpoints.c.tenant == TENANT),
        delete(tables.contents).where(tables.contents.c.tenant == TENANT),
    )
    assert any(line.startswith(TENANT) and "anchor" in line for line in log.problems())


def test_a_copy_of_the_anchors_finds_what_a_backup_of_everything_hides(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "anchors-of-tuesday.json"
    copy.write_bytes((log.data / "audit" / "anchors.json").read_bytes())

    async def found() -> list[str]:
        verifier = Verifier(log.database, log.data / "audit", load_trust(log.data / "audit"), copies=[copy])
        return [str(one) async for one in verifier.problems()]

    assert log.runner.run(found()) == []
    # database and data folder are set back together: nothing on this machine remembers better
    (log.data / "audit" / "anchors.json").unlink()
    log.run(*(delete(table) for table in (tables.records, tables.chains, tables.checkpoints, tables.contents)))
    assert log.problems() == []
    assert any("the anchor in anchors-of-tuesday.json" in line for line in log.runner.run(found()))


async def test_nodes_that_share_a_key_verify_each_others_records(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [tmp_path / name for name in ("own", "first", "second")]
    for node in nodes:
        if node.name == "first":
            monkeypatch.setenv("SIGMAGUARD_AUDIT_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        record_all(node, [exchange(number) for number in range(3)])
        await ship_all(node, database)
    assert [str(one) for one in await problems(nodes[0], database)] == []  # trusts what it signed before as well
    strangers = [str(one) for one in await problems(nodes[2], database)]
    assert strangers and all("not signed by a known key" in one for one in strangers)
    trusted = nodes[2] / "audit" / "trusted"
    trusted.mkdir()
    (trusted / "own.pub").write_bytes((nodes[0] / "audit" / "signing.pub").read_bytes())
    assert [str(one) for one in await problems(nodes[2], database)] == []
    assert (nodes[1] / "audit" / "shared.pub").read_bytes() == (nodes[2] / "audit" / "shared.pub").read_bytes()
    monkeypatch.setenv("SIGMAGUARD_AUDIT_KEY", "c2hvcnQ=")
    with pytest.raises(ConfigError, match="openssl rand -base64 32"):
        load_signer(nodes[1] / "audit")
