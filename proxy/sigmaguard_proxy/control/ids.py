"""Names and secrets: how ids and tokens are made and told apart. Knows prefixes, no table.

Ids sort by time. Tokens carry 256 bits of randomness, so a plain SHA-256 is a safe way to store them:
there is nothing to guess, and looking one up costs a microsecond.
"""

import os
import re
import secrets
import time
from hashlib import sha256

VIRTUAL_KEY = "sg-"
API_TOKEN = "sga_"
SESSION = "sgs_"
INVITATION = "sgi_"
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def new_id(kind: str) -> str:
    """`key_`, `usr_`, ... and 24 hex digits: milliseconds since 1970, then 6 random bytes."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{os.urandom(6).hex()}"


def new_token(prefix: str) -> str:
    """A secret that is shown once."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """How a token is stored and found again (hex SHA-256)."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def hint(token: str) -> str:
    """What may be shown of a secret so that its owner knows which it is."""
    return f"...{token[-4:]}" if len(token) >= 20 else "..."
