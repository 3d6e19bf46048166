"""What a new installation needs before anyone can do anything: a generation, a secret, a tenant, an owner's link."""

import os
import time

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sigmaguard_proxy.control.change import GENERATION
from sigmaguard_proxy.control.directory import DEFAULT_TENANT
from sigmaguard_proxy.control.ids import INVITATION, digest, new_token
from sigmaguard_proxy.control.keyring import Keyring
from sigmaguard_proxy.control.permissions import EVERYWHERE, Role
from sigmaguard_proxy.control.rows import INSTALLATION
from sigmaguard_proxy.control.tables import invitations, memberships, state, tenants
from sigmaguard_proxy.store.database import Database

OWNER_LINK_S = 24 * 3600.0


async def install(database: Database, keyring: Keyring) -> None:
    """Writes the first rows where they are not there yet; several nodes may do so at once. Raises DatabaseDownError."""
    upsert = sqlite.insert if database.is_sqlite else postgresql.insert
    secret = keyring.seal(os.urandom(32), INSTALLATION)
    async with database.write() as connection:
        for name, sealed in ((GENERATION, None), (INSTALLATION, secret)):
            await connection.execute(
                upsert(state).values(name=name, number=1, sealed=sealed).on_conflict_do_nothing(index_elements=["name"])
            )
        statement = upsert(tenants).values(
            id=DEFAULT_TENANT,
            name="Default",
            disabled=False,
            keep_content=False,
            limits={},
            created_at=time.time(),
            version=1,
        )
        await connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))


async def owner_link_token(database: Database) -> str:
    """A fresh one-time token for the owner's link, empty where there is an owner. Raises DatabaseDownError.

    Every start makes a new one and the one before stops working: only the newest banner counts.
    """
    async with database.write() as connection:
        owners = select(func.count()).where(memberships.c.tenant == EVERYWHERE, memberships.c.role == Role.OWNER.value)
        if (await connection.execute(owners)).scalar_one():
            return ""
        now = time.time()
        mine = (invitations.c.tenant == EVERYWHERE) & (invitations.c.created_by == "system")
        await connection.execute(update(invitations).where(mine, invitations.c.used_at.is_(None)).values(used_at=now))
        token = new_token(INVITATION)
        await connection.execute(
            insert(invitations).values(
                digest=digest(token),
                tenant=EVERYWHERE,
                role=Role.OWNER.value,
                email="",
                created_by="system",
                created_at=now,
                expires_at=now + OWNER_LINK_S,
            )
        )
    return token
