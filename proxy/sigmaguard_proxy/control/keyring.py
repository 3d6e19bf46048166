"""Keys that encrypt what the database must not show: AES-256-GCM, several keys, one in use. Knows no table.

A ciphertext names its key, so a new key can be put in use while older ones still open what they sealed, and
is bound to a place (`provider_key/TENANT/ID`), so that it cannot be moved to another row.
"""

import base64
import binascii
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sigmaguard.errors import ConfigError

FORMAT = b"\x01"
KEY_BYTES = 32
ID_BYTES = 8
NONCE_BYTES = 12
VARIABLE = "SIGMAGUARD_VAULT_KEY"
FILE_VARIABLE = "SIGMAGUARD_VAULT_KEY_FILE"
PATH_VARIABLE = "SIGMAGUARD_VAULT_PATH"


class SealError(ValueError):
    """A ciphertext cannot be opened: its key is not here, or it was changed or moved."""


class KeySource(Protocol):
    """Where keys come from: the first is in use, the rest only open."""

    name: str

    def load(self) -> Sequence[bytes]:
        """The keys, 32 bytes each. Raises ConfigError. May block: call it in a thread."""
        ...

    def add(self, key: bytes) -> None:
        """Puts a new key in front. Raises ConfigError where this source cannot be written."""
        ...


class Keyring:
    """Seals with the key in use, opens with any."""

    def __init__(self, source: KeySource) -> None:
        self.source = source
        self._ciphers: Mapping[bytes, AESGCM] = {}
        self._current = b""
        self.reload()

    def reload(self) -> None:
        """Reads the source again. Raises ConfigError, and keeps the keys it had."""
        keys = self.source.load()
        if not keys:
            raise ConfigError(f"{self.source.name}: holds no key")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def rotate(self) -> None:
        """Makes a new key and puts it in use; what was sealed before still opens. Raises ConfigError."""
        self.source.add(os.urandom(KEY_BYTES))
        self.reload()

    @property
    def key_id(self) -> str:
        """The id of the key in use (hex); says nothing about the key."""
        return self._current.hex()

    def seal(self, plain: bytes, bound: str) -> bytes:
        """A ciphertext that opens only with the same `bound`."""
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + self._current + nonce + self._ciphers[self._current].encrypt(nonce, plain, bound.encode())

    def unseal(self, sealed: bytes, bound: str) -> bytes:
        """What was sealed. Raises SealError."""
        head = len(FORMAT)
        cipher = self._ciphers.get(sealed[head : head + ID_BYTES])
        if sealed[:head] != FORMAT or cipher is None:
            raise SealError(f"{bound}: sealed with a key that is not here")
        nonce, rest = sealed[head + ID_BYTES :][:NONCE_BYTES], sealed[head + ID_BYTES + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, bound.encode())
        except InvalidTag as error:
            raise SealError(f"{bound}: changed, or moved from another place") from error

    def is_current(self, sealed: bytes) -> bool:
        """Whether the key in use sealed this."""
        return sealed[len(FORMAT) :][:ID_BYTES] == self._current


class FileKeys:
    """Keys in a file of ours: one base64 line each, made at first use with mode 0600."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.name = f"encryption keys in {path.name}"
        self._path = path
        self._create = create

    def load(self) -> Sequence[bytes]:
        """The keys of the file."""
        if not self._path.exists() and self._create:
            self._write([os.urandom(KEY_BYTES)], exclusive=True)
        try:
            return parse_keys(self._path.read_text(encoding="ascii"), self.name)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.name}: cannot be read") from error

    def add(self, key: bytes) -> None:
        """Writes the file anew with the key in front; readers see the old file or the new one."""
        self._write([key, *self.load()], exclusive=False)

    def _write(self, keys: Sequence[bytes], *, exclusive: bool) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        try:
            if not exclusive:
                draft.replace(self._path)
                return
            os.link(draft, self._path)
        except FileExistsError:
            return  # another process was first; its key is the key
        finally:
            draft.unlink(missing_ok=True)


class EnvironmentKeys:
    """Keys in a variable, separated by commas; the first is in use."""

    def __init__(self, value: str) -> None:
        self.name = VARIABLE
        self._keys = parse_keys(value.replace(",", "\n"), VARIABLE)

    def load(self) -> Sequence[bytes]:
        """The keys as they were at start."""
        return self._keys

    def add(self, key: bytes) -> None:
        """Not possible from inside. Raises ConfigError with what to do."""
        raise ConfigError(f"{VARIABLE}: put the new key in front, separated by a comma, and restart one node at a time")


def parse_keys(text: str, where: str) -> list[bytes]:
    """Base64 lines as keys. Raises ConfigError."""
    keys: list[bytes] = []
    for number, line in enumerate(text.split(), 1):
        try:
            key = base64.b64decode(line, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{where}: key {number} is not base64") from error
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{where}: key {number} has {len(key)} bytes; {KEY_BYTES} random bytes are needed")
        keys.append(key)
    return keys


def find_source(environ: Mapping[str, str], data: Path, vault: Callable[[str], KeySource]) -> KeySource:
    """Where this installation's keys are: the variable, the file, HashiCorp Vault, else `DATA/vault.key`."""
    if environ.get(VARIABLE):
        return EnvironmentKeys(environ[VARIABLE])
    if environ.get(FILE_VARIABLE):
        return FileKeys(Path(environ[FILE_VARIABLE]), create=False)
    if environ.get(PATH_VARIABLE):
        return vault(environ[PATH_VARIABLE])
    return FileKeys(data / "vault.key", create=True)


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose from the installation's secret (HKDF-SHA-256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


def _key_id(key: bytes) -> bytes:
    return sha256(b"sigmaguard keyring" + key).digest()[:ID_BYTES]
