"""Encryption keys: from a file, the environment and HashiCorp Vault; rotated without losing what was sealed."""

import asyncio
import base64
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.control.hashicorp import HashicorpKeys
from sigmaguard_proxy.control.keyring import EnvironmentKeys, FileKeys, Keyring, SealError, find_source

TOKEN = "root-token"


def fresh() -> str:
    return base64.b64encode(os.urandom(32)).decode()


class Vault:
    """HashiCorp Vault's KV version 2 and AppRole login, as far as its documentation says what hvac uses."""

    def __init__(self) -> None:
        self.secrets: dict[str, list[dict[str, str]]] = {}
        self.is_sealed = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                versions = outer.secrets.get(self.path.partition("/v1/")[2].partition("?")[0])
                if outer.is_sealed:
                    self.reply(503, {"errors": ["Vault is sealed"]})
                elif self.headers.get("X-Vault-Token") != TOKEN:
                    self.reply(403, {"errors": ["permission denied"]})
                elif not versions:
                    self.reply(404, {"errors": []})
                else:
                    self.reply(200, {"data": {"data": versions[-1], "metadata": {"version": len(versions)}}})

            def do_POST(self) -> None:
                body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/auth/approle/login":
                    right = body == {"role_id": "role", "secret_id": "secret"}
                    self.reply(*((200, {"auth": {"client_token": TOKEN}}) if right else (400, {"errors": ["no"]})))
                    return
                versions = outer.secrets.setdefault(self.path.partition("/v1/")[2], [])
                if body["options"]["cas"] != len(versions):
                    self.reply(400, {"errors": ["check-and-set parameter did not match the current version"]})
                    return
                versions.append(body["data"])
                self.reply(200, {"data": {"version": len(versions)}})

            do_PUT = do_POST

            def reply(self, status: int, body: dict[str, Any]) -> None:
                raw = msgspec.json.encode(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def vault() -> Iterator[Vault]:
    server = Vault()
    server.secrets["kv/data/team/sigmaguard"] = [{"keys": fresh(), "other": "kept"}]
    yield server
    server.stop()


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40), st.integers(0, 2**16))
def test_what_is_sealed_opens_only_whole_and_in_its_place(plain: bytes, place: str, flip: int) -> None:
    ring = Keyring(EnvironmentKeys(fresh()))
    sealed = ring.seal(plain, place)
    assert ring.unseal(sealed, place) == plain
    assert plain not in sealed or len(plain) < 4
    with pytest.raises(SealError):
        ring.unseal(sealed, place + "x")
    changed = bytearray(sealed)
    changed[flip % len(changed)] ^= 1 << flip % 8
    with pytest.raises(SealError):
        ring.unseal(bytes(changed), place)
    with pytest.raises(SealError):
        Keyring(EnvironmentKeys(fresh())).unseal(sealed, place)


def test_a_file_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    first, second = Keyring(FileKeys(path, create=True)), Keyring(FileKeys(path, create=True))
    assert first.key_id == second.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError):
        Keyring(FileKeys(tmp_path / "none.key", create=False))


def test_rotation_keeps_what_was_sealed(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    ring, other = Keyring(FileKeys(path, create=True)), Keyring(FileKeys(path, create=True))
    old = ring.seal(b"secret", "x")
    ring.rotate()
    new = ring.seal(b"secret", "x")
    assert ring.unseal(old, "x") == ring.unseal(new, "x") == b"secret"
    assert (ring.is_current(old), ring.is_current(new)) == (False, True)
    with pytest.raises(SealError):
        other.unseal(new, "x")
    other.reload()
    assert other.unseal(new, "x") == b"secret"


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_bad_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Keyring(EnvironmentKeys(text))
    assert not text or text not in str(raised.value)


def test_sources_in_order(tmp_path: Path, vault: Vault) -> None:
    key, file = fresh(), tmp_path / "keys"
    file.write_text(fresh())
    environ = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": TOKEN, "SIGMAGUARD_VAULT_PATH": "kv/team/sigmaguard"}

    def found(**more: str) -> str:
        whole = {**environ, **more}
        return find_source(whole, tmp_path, lambda path: HashicorpKeys(path, whole)).name

    assert found().startswith("HashiCorp Vault")
    assert found(SIGMAGUARD_VAULT_KEY_FILE=str(file)) == "encryption keys in keys"
    assert found(SIGMAGUARD_VAULT_KEY_FILE=str(file), SIGMAGUARD_VAULT_KEY=key) == "SIGMAGUARD_VAULT_KEY"
    assert find_source({}, tmp_path, lambda path: HashicorpKeys(path, {})).name == "encryption keys in vault.key"


@pytest.mark.parametrize("login", [{"VAULT_TOKEN": TOKEN}, {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "secret"}])
async def test_hashicorp_vault(vault: Vault, login: dict[str, str]) -> None:
    source = HashicorpKeys("kv/team/sigmaguard", {"VAULT_ADDR": vault.url, **login})
    ring = await asyncio.to_thread(Keyring, source)
    sealed = ring.seal(b"secret", "x")
    await asyncio.to_thread(ring.rotate)
    assert ring.unseal(sealed, "x") == b"secret"
    assert not ring.is_current(sealed)
    stored = vault.secrets["kv/data/team/sigmaguard"][-1]
    assert (len(stored["keys"].split()), stored["other"]) == (2, "kept")


@pytest.mark.parametrize(
    ("path", "environ", "sealed"),
    [
        ("kv/team/sigmaguard", {"VAULT_TOKEN": "wrong"}, False),
        ("kv/team/sigmaguard", {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "wrong"}, False),
        ("kv/team/none", {"VAULT_TOKEN": TOKEN}, False),
        ("kv/team/sigmaguard#other", {"VAULT_TOKEN": TOKEN}, False),
        ("kv/team/sigmaguard", {"VAULT_TOKEN": TOKEN}, True),
    ],
)
def test_a_vault_that_refuses(vault: Vault, path: str, environ: dict[str, str], sealed: bool) -> None:
    vault.is_sealed = sealed
    with pytest.raises(ConfigError):
        Keyring(HashicorpKeys(path, {"VAULT_ADDR": vault.url, **environ}))


def test_a_vault_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Keyring(HashicorpKeys("kv/a", {"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": TOKEN}))
    with pytest.raises(ConfigError, match="VAULT_ADDR"):
        HashicorpKeys("kv/a", {})
