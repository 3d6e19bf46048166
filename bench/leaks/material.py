"""Secrets made from their vendors' published formats, by chance. Knows formats, not how anybody finds them."""

import base64
import hashlib
import json
import string
import zlib
from collections.abc import Callable, Mapping
from random import Random

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

Make = Callable[[Random], str]


def chars(chance: Random, size: int, alphabet: str = ALNUM) -> str:
    """So many characters of an alphabet."""
    return "".join(chance.choice(alphabet) for _ in range(size))


def uuid(chance: Random) -> str:
    """A version 4 UUID (RFC 9562)."""
    digits = chars(chance, 32, HEX)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _checked(prefix: str) -> Make:
    def make(chance: Random) -> str:
        body = chars(chance, 30)
        number, digits = zlib.crc32(body.encode()), ""
        for _ in range(6):
            number, digit = divmod(number, 62)
            digits = _BASE62[digit] + digits
        return prefix + body + digits

    return make


def _prefixed(prefix: str, size: int, alphabet: str = ALNUM, suffix: str = "") -> Make:
    return lambda chance: prefix + chars(chance, size, alphabet) + suffix


def _jwt(chance: Random) -> str:
    def part(value: object) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    header = {"alg": chance.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    claims = {
        "sub": chars(chance, 10),
        "iss": "https://id.example.org",
        "exp": chance.randint(1_700_000_000, 1_900_000_000),
    }
    return ".".join((part(header), part(claims), part(chance.randbytes(32))))


def _private_key(chance: Random) -> str:
    """The shape of a PKCS#8 key: a DER sequence of chance bytes."""
    raw = (
        b"\x30\x82\x04\xbd\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
        + chance.randbytes(600)
    )
    body = base64.b64encode(raw).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"


def human_password(chance: Random) -> str:
    """What people choose: a word or two, digits, a mark."""
    words = ["Sommer", "winter", "Hannover", "dragon", "Kaffee", "bluebird", "Fussball", "monkey", "Lavendel", "rocket"]
    return chance.choice(words) + str(chance.randint(10, 2029)) + chance.choice(["!", "#", "", "?", "%x", "_K"])


def _pypi(chance: Random) -> str:
    raw = b"\x02\x01\x08" + b"pypi." + b"org\x02$" + uuid(chance).encode() + b"\x00\x02" + chance.randbytes(70)
    return "pypi-" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _basic(chance: Random) -> str:
    return base64.b64encode(f"svc-{chars(chance, 4)}:{chars(chance, 14)}".encode()).decode()


def _grafana(chance: Random) -> str:
    head = "glsa_" + chars(chance, 32)
    return f"{head}_{zlib.crc32(head.encode()).to_bytes(4, 'little').hex()}"


# Kinds whose value gives itself away; `{...}` marks the secret part where it is not all.
TOKENS: Mapping[str, Make] = {
    "github": _checked("ghp_"),
    "github fine-grained": lambda chance: f"github_pat_{chars(chance, 22)}_{chars(chance, 59)}",
    "gitlab": _prefixed("glpat-", 20),
    "npm": _checked("npm_"),
    "pypi": _pypi,
    "aws key id": _prefixed("AKIA", 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "google api": _prefixed("AIza", 35),
    "azure storage": lambda chance: (
        f"AccountName=shop;AccountKey={{{base64.b64encode(chance.randbytes(64)).decode()}}}"
    ),
    "digitalocean": _prefixed("dop_v1_", 64, HEX),
    "slack bot": lambda chance: (
        f"xoxb-{chars(chance, 12, '123456789')}-{chars(chance, 12, '123456789')}-{chars(chance, 24)}"
    ),
    "slack webhook": lambda chance: (
        f"https://hooks.slack.com/services/T{chars(chance, 8, UPPER)}/B{chars(chance, 10, UPPER)}/{chars(chance, 24)}"
    ),
    "telegram": lambda chance: f"{chars(chance, 10, '123456789')}:AA{chars(chance, 33)}",
    "sendgrid": lambda chance: f"SG.{chars(chance, 22)}.{chars(chance, 43)}",
    "twilio": _prefixed("SK", 32, HEX),
    "mailchimp": lambda chance: f"{chars(chance, 32, HEX)}-us{chance.randint(1, 21)}",
    "stripe": _prefixed("sk_live_", 24),
    "square": _prefixed("sq0atp-", 22),
    "shopify": _prefixed("shpat_", 32, HEX),
    "openai": lambda chance: f"sk-proj-{chars(chance, 74)}T3BlbkFJ{chars(chance, 74)}",
    "openai legacy": lambda chance: f"sk-{chars(chance, 20)}T3BlbkFJ{chars(chance, 20)}",
    "anthropic": _prefixed("sk-ant-api03-", 93, ALNUM + "-_", "AA"),
    "hugging face": _prefixed("hf_", 34, string.ascii_letters),
    "groq": _prefixed("gsk_", 52),
    "xai": _prefixed("xai-", 80),
    "databricks": _prefixed("dapi", 32, HEX),
    "vault": _prefixed("hvs.", 90),
    "grafana": _grafana,
    "sentry": _prefixed("sntryu_", 64, HEX),
    "linear": _prefixed("lin_api_", 40),
    "notion": lambda chance: f"ntn_{chars(chance, 11, string.digits)}{chars(chance, 35)}",
    "jwt": _jwt,
    "private key": _private_key,
    "database url": lambda chance: f"postgresql://app:{{{chars(chance, 16)}}}@db.example.org:5432/shop",
    "url password": lambda chance: f"https://deploy:{{{chars(chance, 18)}}}@git.example.org/shop.git",
}

# Kinds known only by what stands before the value: {} is where it goes.
ASSIGNED: Mapping[str, tuple[tuple[str, ...], Make]] = {
    "aws secret": (
        ("aws_secret_access_key = {}", '"SecretAccessKey": "{}"', "AWS_SECRET_ACCESS_KEY={}"),
        _prefixed("", 40, ALNUM + "+/"),
    ),
    "api key": (
        ('api_key = "{}"', "SHOP_API_KEY={}", "x-api-key: {}", '"apiKey": "{}"'),
        lambda chance: chars(chance, chance.choice([24, 32, 40])),
    ),
    "client secret": (
        ('client_secret: "{}"', "OAUTH_CLIENT_SECRET={}", '"client_secret": "{}"'),
        lambda chance: chars(chance, chance.choice([32, 48])),
    ),
    "hex secret": (('secret_key = "{}"', "SIGNING_SECRET={}"), _prefixed("", 64, HEX)),
    "bearer": (("Authorization: Bearer {}", '-H "Authorization: Bearer {}"'), _prefixed("", 43, ALNUM + "-_")),
    "basic auth": (("Authorization: Basic {}",), _basic),
    "password in code": (
        ('password = "{}"', '"password": "{}"', "DB_PASSWORD='{}'", 'db_password: "{}"'),
        human_password,
    ),
    "password unquoted": (("password: {}", "DB_PASSWORD={}", "Passwort: {}", "Kennwort: {}"), human_password),
    "connection string": (
        ("Server=db.example.org;User Id=app;Password={};Encrypt=yes",),
        lambda chance: chars(chance, 16),
    ),
}

# Only in letters and notes.
TOLD: Mapping[str, tuple[tuple[str, ...], Make]] = {
    "password told, English": (
        ("the password is {}", "The new password for the server is {}", "my password was {}"),
        human_password,
    ),
    "password told, German": (
        ("das Passwort lautet {}", "Das Kennwort für den Server ist {}", "unser Passwort ist jetzt {}"),
        human_password,
    ),
    "key told, German": (
        ("Der API-Schlüssel lautet {}", "Hier der API-Schlüssel: {}"),
        lambda chance: chars(chance, 32),
    ),
}


def fingerprint(value: str) -> str:
    """A short digest that tells values apart and shows none."""
    return hashlib.blake2b(value.encode(), digest_size=6).hexdigest()
