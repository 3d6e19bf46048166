"""Whether a credential-shaped value can be a real one. Knows formats and checksums, no rule and no text around."""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping

from sigmaguard.check_digits import passes_luhn
from sigmaguard.detectors.entropy import case_changes, classes, is_wordlike

Check = Callable[[str], bool]

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|change[-_]?me|\byour|your[-_ ]|dein[-_ ]|ihr[-_ ]|redacted|dummy|\binsert|\btodo|xxxx"
    r"|\*{3}|\.\.\.|0{6}|1234567890|0123456|abcdefg|deadbeef|\btest\b"
    r"|<[^>]*>|\$\{|\{\{|\$\(|^\$[a-z_]|%\(|^\{.*\}$"
)
_CODE = re.compile(  # a call, an index, a dotted or dashed name, a path, a YAML tag: code, not a value
    r"[A-Za-z_][\w.]*[(\[]|[A-Za-z_][\w-]*(?:(?:\.|->|::)[A-Za-z_][\w-]*)+\W*\Z|[A-Za-z]+(?:[_-][A-Za-z]+)*\Z|(?:\.{0,2}/[\w.-]+)+/?\Z"
    r"|![a-z][\w-]*\Z"
)
_MARKS = frozenset("!@#$%^&*?~+=")
_DOCUMENTED = frozenset({
    "password", "passwort", "passwd", "pass", "pwd", "secret", "postgres", "mysql", "root", "admin", "guest", "user",
    "username", "mongo", "mongodb", "redis", "rabbitmq", "default", "foo", "bar", "baz", "abc", "123", "1234", "12345",
    "token", "x-oauth-basic", "x-access-token", "pw", "tiger", "pass123", "mypassword", "mypass", "test", "sa", "port",
})  # fmt: skip
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{40}\Z")  # of a blockchain: public, and what one calls a token there
_UUID = re.compile(r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=]{16,}")


def base62_crc(text: str, width: int = 6) -> str:
    """CRC-32 of `text` in base 62, zeros to its left (GitHub, "Behind GitHub's new authentication token formats")."""
    number = zlib.crc32(text.encode())
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits.rjust(width, "0")


def github_crc(value: str) -> bool:
    """`ghp_` and 36 characters whose last six are the CRC-32 of the other thirty; npm tokens are built alike."""
    body = value.partition("_")[2]
    return len(body) == 36 and base62_crc(body[:-6]) == body[-6:]


def grafana_crc(value: str) -> bool:
    """A value that ends in `_` and the CRC-32 of all before it, low byte first, in hex (Grafana `satokengen`)."""
    head, _, tail = value.rpartition("_")
    return zlib.crc32(head.encode()).to_bytes(4, "little").hex() == tail.lower()


def jwt(value: str) -> bool:
    """A JSON Web Token whose header is a JSON object that names its algorithm (RFC 7519, section 5)."""
    header = _json_of(value.partition(".")[0])
    return isinstance(header, dict) and ("alg" in header or "enc" in header)


def base64_json(value: str) -> bool:
    """Base64 of a JSON object, after any prefix that ends in `_`."""
    start = value.find("eyJ")
    return start >= 0 and isinstance(_json_of(value[start:].partition(".")[0]), dict)


def pem(value: str) -> bool:
    """A key block whose body is base64 of something that starts as DER, OpenSSH or OpenPGP data does."""
    body = value.replace("\\n", "\n").replace("\\r", "").partition("-----")[2].partition("-----")[2]
    runs = _PEM_BODY.findall(body.partition("-----")[0])
    if not runs:
        return False
    if "Proc-Type" in body or "PGP PRIVATE" in value[:60]:
        return len("".join(runs)) >= 64
    head = _base64_of(runs[0][:64])
    return head is not None and (head[:1] == b"\x30" or head.startswith(b"openssh-key-v1"))


def aws_key_id(value: str) -> bool:
    """An AWS access key id: base32 after its prefix, not all of one kind (IAM, "Unique identifiers")."""
    body = value[4:]
    return len(value) == 20 and re.fullmatch(r"[A-Z2-7]{16}", body) is not None and len(set(body)) > 6


def pypi(value: str) -> bool:
    """A macaroon (version 2) whose location names the package index (PyPI docs, "API tokens")."""
    raw = _base64_of(value.removeprefix("pypi-")[:64])
    return raw is not None and raw[:2] == b"\x02\x01" and b"pypi." in raw[:24]


def luhn(value: str) -> bool:
    """A number whose last digit is its Luhn check digit (ISO/IEC 7812-1, annex B)."""
    digits = "".join(filter(str.isdigit, value))
    return len(digits) >= 2 and len(set(digits)) > 1 and passes_luhn(digits)


def base58check(value: str) -> bool:
    """Base 58 whose last four bytes are the start of the double SHA-256 of the rest (Bitcoin)."""
    number = 0
    for char in value:
        digit = BASE58.find(char)
        if digit < 0:
            return False
        number = number * 58 + digit
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    digest = hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()
    return len(raw) > 4 and digest[:4] == raw[-4:]


def bech32(value: str) -> bool:
    """Bech32 with a good checksum (BIP 173), as in age secret keys."""
    charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    text = value.lower()
    human, _, data = text.rpartition("1")
    if not human or any(char not in charset for char in data):
        return False
    values = [ord(char) >> 5 for char in human] + [0] + [ord(char) & 31 for char in human]
    values += [charset.index(char) for char in data]
    total = 1
    for one in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ one
        for at, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            total ^= part if top >> at & 1 else 0
    return total == 1


def basic_auth(value: str) -> bool:
    """Base64 of `user:password` in printable characters (RFC 7617)."""
    raw = _base64_of(value)
    if raw is None or b":" not in raw[:-1]:
        return False
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False


def not_placeholder(value: str) -> bool:
    """Not a stand-in such as `<password>`, `${TOKEN}`, `changeme` or one character repeated."""
    return len(set(value)) > 3 and _PLACEHOLDER.search(value) is None


def random_token(value: str) -> bool:
    """A generated token rather than a name, a path, a call or a stand-in."""
    if not not_placeholder(value) or _UUID.fullmatch(value) or _ADDRESS.match(value):
        return False
    is_mixed = any(char.isdigit() for char in value) or classes(value) >= 3 or case_changes(value) >= len(value) // 4
    return is_mixed and not value.isdigit() and not is_wordlike(value)


def password(value: str) -> bool:
    """What a person would set as a password: letters with a digit or a mark, no stand-in, call, path or address."""
    if not not_placeholder(value) or _CODE.match(value) or "://" in value:
        return False
    letters = any(char.isalpha() for char in value)
    return letters and (any(char.isdigit() for char in value) or (len(value) >= 8 and not _MARKS.isdisjoint(value)))


def generated(value: str) -> bool:
    """A password or key as generators make them: both cases and digits, no words. For places where nothing says `=`."""
    return (
        any(map(str.islower, value))
        and any(map(str.isupper, value))
        and any(map(str.isdigit, value))
        and not value[-1].isspace()
        and password(value)
        and not is_wordlike(value)
        and _UUID.fullmatch(value) is None
        and _ADDRESS.match(value) is None
    )


def login_password(value: str) -> bool:
    """A password in an address: no stand-in and none of those that documentation uses."""
    return not_placeholder(value) and value.lower() not in _DOCUMENTED and not value.startswith(("$", "%", "{", "["))


def _json_of(encoded: str) -> object:
    raw = _base64_of(encoded)
    if raw is None:
        return None
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value


def _base64_of(encoded: str) -> bytes | None:
    """The bytes of base64 in either alphabet, padded or not; None where it is none. Cut text gives its start."""
    text = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


CHECKS: Mapping[str, Check] = {
    "aws_key_id": aws_key_id,
    "base58check": base58check,
    "base64_json": base64_json,
    "basic_auth": basic_auth,
    "bech32": bech32,
    "generated": generated,
    "github_crc": github_crc,
    "grafana_crc": grafana_crc,
    "jwt": jwt,
    "login_password": login_password,
    "luhn": luhn,
    "not_placeholder": not_placeholder,
    "password": password,
    "pem": pem,
    "pypi": pypi,
    "random": random_token,
}
