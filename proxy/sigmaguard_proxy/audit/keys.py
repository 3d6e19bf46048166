"""The audit log's keys, shared by `SIGMAGUARD_AUDIT_KEY` or a node's own: one signs, others are trusted, one encrypts.

Those of a node are made once, with mode 0600. Knows files and key shapes; signs and encrypts on request.
"""

import base64
import os
from hashlib import sha256
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from sigmaguard.errors import ConfigError

VARIABLE = "SIGMAGUARD_AUDIT_KEY"
CONTENT_KEY = b"sigmaguard audit content key 1"
FORMAT = b"\x01"
NONCE_BYTES = 12
KEY_ID_BYTES = 8


class Signer:
    """Signs checkpoints (Ed25519, RFC 8032)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = _public_id(key.public_key())

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._key.sign(message)


class Trust:
    """The public keys whose signatures count, by id."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    def knows(self, key_id: str) -> bool:
        """Whether the key is one of ours."""
        return key_id in self._keys

    def is_signed(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether a trusted key of this id signed this message."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class ContentCipher:
    """Encrypts content a tenant opted into keeping: zstd, then AES-256-GCM bound to tenant and exchange.

    Every ciphertext names its key, so that a new `current` key does not make older content unreadable.
    """

    def __init__(self, keys: dict[str, bytes], current: str) -> None:
        self._ciphers = {bytes.fromhex(name): AESGCM(key) for name, key in keys.items()}
        self._current = bytes.fromhex(current)
        self._compressor = zstandard.ZstdCompressor(level=1)

    def encrypt(self, tenant: str, exchange: str, part: str, plain: bytes) -> bytes:
        """Ciphertext of `plain`; `part` is `request` or `response`."""
        nonce = os.urandom(NONCE_BYTES)
        head = FORMAT + self._current + nonce
        packed = self._compressor.compress(plain)
        return head + self._ciphers[self._current].encrypt(nonce, packed, _bound(tenant, exchange, part))

    def decrypt(self, tenant: str, exchange: str, part: str, sealed: bytes, limit_bytes: int = 64 * 2**20) -> bytes:
        """What was encrypted. Raises ValueError where the key is unknown or the bytes were changed."""
        key_id, rest = sealed[1 : 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES :]
        cipher = self._ciphers.get(key_id)
        if sealed[:1] != FORMAT or cipher is None:
            raise ValueError(f"the content of {exchange} is encrypted with a key that is not here ({key_id.hex()})")
        try:
            packed = cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound(tenant, exchange, part))
        except InvalidTag as error:
            raise ValueError(f"the content of {exchange} was changed") from error
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=limit_bytes)


def load_signer(folder: Path) -> Signer:
    """The key all nodes share by `SIGMAGUARD_AUDIT_KEY`, else that under `DATA/audit`, made at first use.

    Its public half lies beside it: `shared.pub`, or `signing.pub`. Raises ConfigError.
    """
    shared = _shared_keys()
    if shared:
        key = _signing(shared[0])
        half = _public_pem(key)
        path = folder / "shared.pub"
        if not path.exists() or path.read_bytes() != half:
            path.unlink(missing_ok=True)
            _create(path, half)
        return Signer(key)
    path = folder / "signing.key"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        _create(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    loaded = _private_key(path)
    public = folder / "signing.pub"
    if not public.exists():
        _create(public, _public_pem(loaded))
    return Signer(loaded)


def load_trust(folder: Path) -> Trust:
    """Our own public key, those shared by `SIGMAGUARD_AUDIT_KEY`, and those copied to `DATA/audit/trusted/*.pub`.

    The private key, where it is here, says what our public key is: `signing.pub` is only a copy to hand out.
    Raises ConfigError.
    """
    keys: dict[str, Ed25519PublicKey] = {}
    private = folder / "signing.key"
    if private.exists():
        own = _private_key(private).public_key()
        keys[_public_id(own)] = own
    for path in sorted((folder / "trusted").glob("*.pub")) + ([] if keys else sorted(folder.glob("signing.pub"))):
        try:
            public = load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f"audit/trusted/{path.name} is damaged; copy it anew from its node") from error
        if not isinstance(public, Ed25519PublicKey):
            raise ConfigError(f"{path.name} is not an Ed25519 public key")
        keys[_public_id(public)] = public
    for secret in _shared_keys():
        half = _signing(secret).public_key()
        keys[_public_id(half)] = half
    return Trust(keys)


def _shared_keys() -> list[bytes]:
    """The secrets all nodes share: the first is in use, those after it are of before. Raises ConfigError."""
    found: list[bytes] = []
    for value in os.environ.get(VARIABLE, "").split():
        try:
            found.append(base64.b64decode(value, validate=True))
        except ValueError:
            found.append(b"")
        if len(found[-1]) != 32:
            raise ConfigError(
                f"{VARIABLE}: 32 random bytes in base64 are needed (openssl rand -base64 32), "
                "those of before after it with a space between"
            )
    return found


def _signing(secret: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret)


def _content_key(secret: bytes) -> bytes:
    """A key of its own for contents: whoever is given it cannot make the signing key of it (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=CONTENT_KEY).derive(secret)


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"audit/{path.name} is damaged; put your backup of it back, or put it away: a new one is made, and "
            "signing.pub of before belongs into audit/trusted"
        ) from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigError(f"audit/{path.name} is not an Ed25519 key")
    return loaded


def load_cipher(folder: Path) -> ContentCipher:
    """The key derived from `SIGMAGUARD_AUDIT_KEY`, shared by all nodes, else the newest of `DATA/audit/content-keys`.

    Those in the folder decrypt either way; one is made at first use where no key is shared. Raises ConfigError.
    """
    where = folder / "content-keys"
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared = _shared_keys()
    if not shared and not any(where.glob("*.key")):
        _create(where / "0001.key", base64.b64encode(os.urandom(32)) + b"\n")
    keys = [_file_key(path) for path in sorted(where.glob("*.key"))]
    keys += [_content_key(secret) for secret in reversed(shared)]
    return ContentCipher({_content_id(key): key for key in keys}, _content_id(keys[-1]))


def _content_id(key: bytes) -> str:
    return sha256(b"sigmaguard content key" + key).hexdigest()[: 2 * KEY_ID_BYTES]


def _file_key(path: Path) -> bytes:
    try:
        key = base64.b64decode(path.read_bytes())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError(f"content-keys/{path.name}: 32 bytes in base64 are needed; put your backup of it back")
    return key


def _create(path: Path, content: bytes) -> None:
    """Writes a file that appears whole or not at all; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first; its key is the key
    finally:
        draft.unlink()


def _public_id(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _bound(tenant: str, exchange: str, part: str) -> bytes:
    return "\n".join((tenant, exchange, part)).encode()
