"""Whether the database still holds what this node last saw in it. Knows anchors and chains; repairs nothing.

A database that was set back (a backup, a dropped table, another database in its place) takes new records like any
other. Asked before they are appended, it cannot have the loss forgotten by the anchors moving on with it.
"""

from collections.abc import Collection

import msgspec
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from sigmaguard_proxy.audit import tables
from sigmaguard_proxy.audit.chain import Signed

SET_BACK = "audit.set_back"


class Lost(msgspec.Struct, frozen=True):
    """A head this node saw that the database no longer has, and how far the chain goes there now."""

    anchor: Signed
    sequence: int


async def lost_heads(connection: AsyncConnection, anchors: Collection[Signed]) -> list[Lost]:
    """Those of the anchors that the chains do not lead to any more. What retention removed is not lost."""
    if not anchors:
        return []
    chains, records = tables.chains, tables.records
    heads = select(chains.c.tenant, chains.c.sequence, chains.c.hash)
    found = await connection.execute(heads.where(chains.c.tenant.in_([one.tenant for one in anchors])))
    now = {row.tenant: (int(row.sequence), bytes(row.hash)) for row in found}
    moved = [one for one in anchors if now.get(one.tenant) != (one.sequence, one.hash)]
    if not moved:  # nobody else writes to these chains: no look at a record is needed
        return []
    places = [(one.tenant, one.sequence) for one in moved]
    there = select(records.c.tenant, records.c.sequence, records.c.hash)
    rows = await connection.execute(there.where(tuple_(records.c.tenant, records.c.sequence).in_(places)))
    hashes = {(row.tenant, int(row.sequence)): bytes(row.hash) for row in rows}
    lost: list[Lost] = []
    for one in moved:
        sequence = now.get(one.tenant, (0, b""))[0]
        # a record that retention removed is gone, and the chain goes on beyond it: the verifier looks at its base
        known = hashes.get((one.tenant, one.sequence), one.hash if sequence > one.sequence else b"")
        if known != one.hash:
            lost.append(Lost(one, sequence))
    return lost
