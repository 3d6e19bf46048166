"""What the recorder writes to disk: everything a record says, nothing a tenant did not opt into, no plain content."""

import base64
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import ConfigError
from sigmaguard.model import Subject
from sigmaguard_proxy.audit.entries import Act, EntryError, bytes_to_entry, entry_to_bytes
from sigmaguard_proxy.audit.keys import ContentCipher, load_cipher, load_signer, load_trust
from sigmaguard_proxy.audit.reading import Reader
from sigmaguard_proxy.audit.rows import decode_content
from sigmaguard_proxy.ports import ExchangeRecord
from sigmaguard_proxy.store.database import Database
from tests.audit_records import exchange, open_recorder, problems, ship_all

CANARY = b"canary-7f3a9c-never-in-plain"


def test_records_and_acts_come_back_as_they_went() -> None:
    record = exchange(5)
    assert bytes_to_entry(entry_to_bytes(record)) == record
    act = Act("act_1", 1.5, "acme", "anna", "key.revoked", "key_7", {"why": ["leaked", 1, None]})
    assert bytes_to_entry(entry_to_bytes(act)) == act


@given(st.binary(max_size=60))
def test_bytes_of_no_entry_are_refused_in_one_way(data: bytes) -> None:
    with contextlib.suppress(EntryError):
        assert isinstance(bytes_to_entry(data), Act | ExchangeRecord)


@given(st.text(st.characters(), max_size=20))
def test_any_text_at_all_can_be_recorded(text: str) -> None:
    entry = bytes_to_entry(entry_to_bytes(exchange(1, model=text, subject=Subject(text or "default", text, text))))
    assert not isinstance(entry, Act)
    assert entry.model == text.encode("utf-8", "replace").decode()


async def test_content_is_encrypted_before_it_touches_a_disk_and_bound_to_its_exchange(
    tmp_path: Path, database: Database
) -> None:
    recorder, wal = open_recorder(tmp_path)
    record = exchange(1, "acme", content=(b"question " + CANARY, CANARY * 1_000))
    recorder.record(record)
    recorder.record(exchange(2, "acme", content=(b"x" * 2_000_000, b"small")))
    recorder.record(exchange(3, "acme"))
    wal.close()
    await ship_all(tmp_path, database)
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(everything) >= 4
    for path in everything:
        data = path.read_bytes()
        assert CANARY not in data and base64.b64encode(CANARY)[:16] not in data, path
    cipher, reader = load_cipher(tmp_path / "audit"), Reader(database)
    sealed = await reader.content("acme", record.exchange)
    assert sealed is not None
    content = decode_content(sealed)
    assert len(content.response) < 2_000  # compressed
    assert cipher.decrypt("acme", record.exchange, "request", content.request) == b"question " + CANARY
    assert cipher.decrypt("acme", record.exchange, "response", content.response) == CANARY * 1_000
    for tenant, exchange_id, part in (
        ("other", record.exchange, "request"),
        ("acme", "exc_other", "request"),
        ("acme", record.exchange, "response"),
    ):
        with pytest.raises(ValueError, match="changed"):
            cipher.decrypt(tenant, exchange_id, part, content.request)
    assert await reader.content("acme", exchange(3).exchange) is None
    assert await problems(tmp_path, database) == []


def test_a_new_content_key_leaves_older_content_readable(tmp_path: Path) -> None:
    old = load_cipher(tmp_path)
    sealed = old.encrypt("acme", "exc_1", "request", b"hello")
    (tmp_path / "content-keys" / "0002.key").write_bytes(base64.b64encode(b"k" * 32))
    new = load_cipher(tmp_path)
    assert new.decrypt("acme", "exc_1", "request", sealed) == b"hello"
    again = new.encrypt("acme", "exc_1", "request", b"hello")
    with pytest.raises(ValueError, match="key that is not here"):
        old.decrypt("acme", "exc_1", "request", again)


def test_nodes_that_share_a_key_read_each_others_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", base64.b64encode(b"s" * 32).decode()
    own = load_cipher(tmp_path / "one").encrypt("acme", "exc_1", "request", b"of before")
    monkeypatch.setenv("SIGMAGUARD_AUDIT_KEY", first)
    one, two = load_cipher(tmp_path / "one"), load_cipher(tmp_path / "two")
    sealed = one.encrypt("acme", "exc_1", "request", b"hello")
    assert two.decrypt("acme", "exc_1", "request", sealed) == b"hello"
    assert one.decrypt("acme", "exc_1", "request", own) == b"of before"  # the node's own keys go on decrypting
    with pytest.raises(ValueError, match="key that is not here"):
        two.decrypt("acme", "exc_1", "request", own)
    assert not any((tmp_path / "two" / "content-keys").iterdir())  # nothing of the shared key lies on a pod's disk
    monkeypatch.setenv("SIGMAGUARD_AUDIT_KEY", f"{second} {first}")  # changed: the one of before still reads
    changed = load_cipher(tmp_path / "two")
    assert changed.decrypt("acme", "exc_1", "request", sealed) == b"hello"
    with pytest.raises(ValueError, match="key that is not here"):
        two.decrypt("acme", "exc_1", "request", changed.encrypt("acme", "exc_1", "request", b"hello"))
    signer = load_signer(tmp_path / "two")
    assert load_trust(tmp_path / "one").knows(signer.key_id)
    monkeypatch.setenv("SIGMAGUARD_AUDIT_KEY", first)
    assert load_trust(tmp_path / "one").knows(load_signer(tmp_path / "one").key_id)
    assert not load_trust(tmp_path / "one").knows(signer.key_id)


def test_a_damaged_content_key_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "content-keys").mkdir()
    (tmp_path / "content-keys" / "0001.key").write_bytes(b"abc")
    with pytest.raises(ConfigError, match=r"content-keys/0001\.key: .*put your backup"):
        load_cipher(tmp_path)


def test_keys_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    first, again = load_signer(tmp_path), load_signer(tmp_path)
    assert first.key_id == again.key_id
    assert load_trust(tmp_path).is_signed(first.key_id, b"m", first.sign(b"m"))
    assert not load_trust(tmp_path).is_signed(first.key_id, b"n", first.sign(b"m"))
    load_cipher(tmp_path)
    for path in [*tmp_path.glob("*.key"), *tmp_path.glob("content-keys/*.key")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert isinstance(load_cipher(tmp_path), ContentCipher)
