"""What looks like a secret and is none: the lines that make scanners cry wolf."""

import base64
import string
from collections.abc import Callable, Mapping
from random import Random

from leaks.material import ALNUM, HEX, chars, uuid


def _minified(chance: Random) -> str:
    names = [chars(chance, chance.randint(1, 2), string.ascii_letters) for _ in range(40)]
    return (
        "!function("
        + ",".join(names[:5])
        + "){"
        + ";".join(f"var {one}={names[at - 1]}.{one}||{at}" for at, one in enumerate(names))
        + "}();"
    )


def _image(chance: Random) -> str:
    raw = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + chance.randbytes(chance.randint(120, 600))
    return f"background: url(data:image/png;base64,{base64.b64encode(raw).decode()});"


HARMLESS: Mapping[str, Callable[[Random], str]] = {
    "uuid": lambda chance: f"request_id: {uuid(chance)}",
    "git commit": lambda chance: f"commit {chars(chance, 40, HEX)} (HEAD -> main)",
    "short commit": lambda chance: f"* {chars(chance, 7, HEX)} Fix the token refresh in the login form",
    "sha256": lambda chance: f"sha256:{chars(chance, 64, HEX)}  dist/shop-1.{chance.randint(0, 30)}.tar.gz",
    "npm integrity": lambda chance: f'"integrity": "sha512-{base64.b64encode(chance.randbytes(64)).decode()}",',
    "go sum": lambda chance: (
        f"github.com/shop/pay v1.{chance.randint(0, 30)}.0 h1:{base64.b64encode(chance.randbytes(32)).decode()}"
    ),
    "docker digest": lambda chance: f"FROM python:3.12-slim@sha256:{chars(chance, 64, HEX)}",
    "base64 image": _image,
    "minified script": _minified,
    "etag": lambda chance: f'ETag: W/"{chars(chance, 27)}"',
    "public key": lambda chance: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{chars(chance, 43, ALNUM + '+/')} anna@laptop",
    "placeholder": lambda chance: chance.choice(
        [
            "OPENAI_API_KEY=sk-your-key-here",
            "password: <your password>",
            "export GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            'api_key = "YOUR_API_KEY"',
            "passwort: <passwort eintragen>",
            "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            'client_secret: "changeme"',
            "token: ****************",
        ]
    ),
    "reference": lambda chance: chance.choice(
        [
            "password: ${DB_PASSWORD}",
            'api_key=os.environ["SHOP_API_KEY"]',
            "token = request.headers.get('Authorization')",
            "secret: {{ .Values.shop.secret }}",
            "password=getpass.getpass()",
            "const apiKey = process.env.SHOP_API_KEY;",
            "SecretKey = var.shop_secret_key",
            'password: !vault-ref "shop/db"',
            "token: ${{ secrets.DEPLOY_TOKEN }}",
            "DATABASE_URL=postgresql://app:${DB_PASSWORD}@db:5432/shop",
            "postgresql://postgres:postgres@localhost:5432/test",
        ]
    ),
    "code": lambda chance: chance.choice(
        [
            "def check_password(password: str, hashed: bytes) -> bool:",
            "if (user.password !== form.passwordConfirmation) {",
            "tokens = tokenizer.encode(text, add_special_tokens=False)",
            "max_tokens: int = 4096",
            "self._secret_store = SecretStore(path)",
            'public static final String PASSWORD_FIELD = "password";',
            "class TokenBucketRateLimiter(RateLimiter):",
            'key = f"{tenant}:{agent}:{window_start}"',
            'label_password = _("Enter your password")',
            "primaryKey: true, autoIncrement: true,",
        ]
    ),
    "prose": lambda chance: chance.choice(
        [
            "Please reset your password before Friday; the link is valid for 24 hours.",
            "Bitte ändern Sie Ihr Passwort bis Freitag.",
            "The secret of a good report is a short first page.",
            "Das Passwort ist abgelaufen und muss erneuert werden.",
            "Der Schlüssel zum Lager liegt bei Frau Petersen im Büro.",
            "Each token costs 0.002 cents, so 1,200,000 tokens cost 24 dollars.",
            "The password is case-sensitive and must be 12 characters long.",
            "Die Zugangsdaten bekommen Sie per Post (Einschreiben).",
        ]
    ),
    "identifier": lambda chance: chance.choice(
        [
            f"order DE-{chars(chance, 8, string.digits)}-{chars(chance, 4, string.ascii_uppercase)}",
            f"Kundennummer: {chars(chance, 10, string.digits)}",
            f"arn:aws:iam::{chars(chance, 12, string.digits)}:role/shop-deploy",
            f"trace_id={chars(chance, 32, HEX)} span_id={chars(chance, 16, HEX)}",
            f"cus_{chars(chance, 14)} paid in_{chars(chance, 24)}",
            f"pk_live_{chars(chance, 24)}",
        ]
    ),
    "address": lambda chance: (
        f"https://shop.example.org:8443/p/{chars(chance, 12)}?utm_source=mail&session=none&ref={chars(chance, 6, HEX)}"
    ),
    "colours and versions": lambda chance: (
        f"--accent: #{chars(chance, 6, HEX)}; --shadow: 0 1px 2px #{chars(chance, 8, HEX)};"
    ),
}
