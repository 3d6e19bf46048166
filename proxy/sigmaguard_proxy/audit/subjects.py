"""What a person's request names, as the log knows it: keyed digests instead of values. Keeps no value, logs none.

It finds exchanges in which a detector saw the value, not those where it went by unseen; another spelling than those
tried here (`Anna  Schmidt` with two blanks) has another digest, so a request should list the spellings known.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from sigmaguard.errors import ConfigError
from sigmaguard.inspection import value_digest
from sigmaguard_proxy.control.hashicorp import HashicorpKeys
from sigmaguard_proxy.control.keyring import (
    FILE_VARIABLE,
    PATH_VARIABLE,
    VARIABLE,
    Keyring,
    SealError,
    derive,
    find_source,
)
from sigmaguard_proxy.control.rows import INSTALLATION
from sigmaguard_proxy.control.tables import state
from sigmaguard_proxy.store.database import Database

REMEDY = f"give the server's {VARIABLE}, {FILE_VARIABLE} or {PATH_VARIABLE}, or the data folder that holds vault.key"


async def value_digests(database: Database, keyring: Keyring, values: Iterable[str]) -> tuple[str, ...]:
    """The digests findings of these values carry, as written and in lower, upper and title case.

    Raises ConfigError where the keys do not open this installation's secret, and DatabaseDownError.
    """
    async with database.read() as connection:
        sealed = (await connection.execute(select(state.c.sealed).where(state.c.name == INSTALLATION))).scalar()
    try:
        key = derive(keyring.unseal(bytes(sealed or b""), INSTALLATION), "digest")
    except SealError as error:
        raise ConfigError(f"the encryption key does not open this installation's secret; {REMEDY}") from error
    found = [value_digest(spelling, key) for value in values for spelling in spellings(value)]
    return tuple(dict.fromkeys(found))


def spellings(value: str) -> list[str]:
    """A value as it may have stood in a text; none of an empty one."""
    plain = value.strip()
    return list(dict.fromkeys((plain, plain.lower(), plain.upper(), plain.title()))) if plain else []


def open_keyring(data: Path) -> Keyring:
    """The keys the server of this data folder seals with; makes none. Raises ConfigError."""
    environ = dict(os.environ)
    told = any(environ.get(name) for name in (VARIABLE, FILE_VARIABLE, PATH_VARIABLE))
    if not told and not (data / "vault.key").is_file():
        raise ConfigError(f"there is no encryption key; {REMEDY}")
    return Keyring(find_source(environ, data, lambda path: HashicorpKeys(path, environ)))
