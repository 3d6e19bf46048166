"""The newest signed head of every tenant, kept in a local file that the database's owner cannot reach.

A chain cut short or rolled back in the database, heads and checkpoints included, is shorter than this.
"""

import base64
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sigmaguard_proxy.audit.chain import Signed

FILE = "anchors.json"


def load_anchors(folder: Path) -> dict[str, Signed]:
    """The heads last seen here, by tenant; empty where there are none. Raises msgspec.MsgspecError."""
    try:
        raw = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return {}
    found = msgspec.json.decode(raw, type=list[Signed])
    return {one.tenant: one for one in found}


def save_anchors(folder: Path, anchors: Iterable[Signed]) -> None:
    """Replaces the file in one step. Raises OSError."""
    draft = folder / f".{FILE}.{os.getpid()}"
    draft.write_bytes(msgspec.json.encode(sorted(anchors, key=lambda one: one.tenant)))
    draft.replace(folder / FILE)


def describe(head: Signed) -> str:
    """A head for people."""
    return f"{head.tenant} #{head.sequence} {base64.b16encode(head.hash[:6]).decode().lower()}"
