"""The newest signed head of every tenant, kept in a local file that the database's owner cannot reach.

A chain cut short or rolled back in the database, heads and checkpoints included, is shorter than this. Where the
one that ships finds that out, what it had seen stays in the file beside the newest heads: only a person takes it out.
"""

import base64
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sigmaguard_proxy.audit.chain import Signed

FILE = "anchors.json"
DAMAGED = f"{FILE}.damaged-"


def load_anchors(folder: Path) -> dict[str, Signed]:
    """The heads last seen here, by tenant; empty where there are none. Raises msgspec.MsgspecError."""
    return {one.tenant: one for one in read_anchors(folder / FILE)}


def read_anchors(path: Path) -> list[Signed]:
    """Every anchor of a file, a tenant's newest last; none where there is no file. Raises msgspec.MsgspecError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    return msgspec.json.decode(raw, type=list[Signed])


def save_anchors(folder: Path, anchors: Iterable[Signed]) -> None:
    """Replaces the file in one step, on the disk before its name is: power loss leaves no half. Raises OSError."""
    draft = folder / f".{FILE}.{os.getpid()}"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(sorted(anchors, key=lambda one: one.tenant)))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / FILE)


def set_aside(folder: Path) -> str:
    """Keeps a file that cannot be read under another name, which a verification tells; the name. Raises OSError."""
    name = f"{DAMAGED}{time.time_ns()}"
    (folder / FILE).replace(folder / name)
    return name


def describe(head: Signed) -> str:
    """A head for people."""
    return f"{head.tenant} #{head.sequence} {base64.b16encode(head.hash[:6]).decode().lower()}"
