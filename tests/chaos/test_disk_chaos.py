"""A full disk under the audit log: enforce refuses, shadow passes, nothing recorded is lost, and it heals by itself."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sigmaguard.model import Mode, OnFault
from sigmaguard_proxy.audit.keys import load_cipher
from sigmaguard_proxy.audit.recorder import AuditRecorder
from sigmaguard_proxy.audit.shipping import WAL_FOLDER, Shipping
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import open_database, sqlite_url
from sigmaguard_proxy.store.migrate import migrate
from tests.audit_records import problems
from tests.chaos.witness import Seen, at_rest, see
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import DEADLINE_S, Gateway, chat, chat_stream, completion, gateway, streamed, whole

POLICY = policy_of(blocks("forbidden"), masks("swordfish"))


async def fill(gate: Gateway) -> list[Seen]:
    """Asks until an answer is refused; all of them."""
    seen = [await see(gate)]
    while seen[-1].status == 200 and len(seen) < 200:
        seen.append(await see(gate))
    return seen


async def test_the_folders_limit_is_met_and_lifts_once_the_database_takes_records(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    wal = Wal(folder / WAL_FOLDER, "worker-0", segment_bytes=4_000, limit_bytes=16_000, sync_every_s=0)
    recorder = AuditRecorder(wal, load_cipher(folder))
    database = open_database(sqlite_url(str(tmp_path / "audit.db")))
    await migrate(database)
    shipping = Shipping(folder, database, Log("test"))
    async with gateway(POLICY, script=whole(completion("hello")), recorder=recorder) as gate:
        seen = await fill(gate)
        answered, refused = seen[:-1], [seen[-1]]
        refused += [await see(gate) for _ in range(20)]
        assert {(one.status, one.code) for one in refused} == {(503, "audit_unavailable")}
        assert {one.headers["retry-after"] for one in refused} == {"1"}

        gate.provider.script = streamed(chat_stream("hello ", "there"))
        stream = await see(gate, chat("hi", stream=True))
        assert stream.code == "audit_unavailable"

        gate.provider.script = whole(completion("hello"))
        gate.directory.mode = Mode.SHADOW
        assert {(await see(gate)).status for _ in range(5)} == {200}  # only watching: the disk is no reason to refuse
        gate.directory.mode = Mode.ENFORCE
        gate.directory.policy = policy_of(masks("swordfish"), on_fault=OnFault.OPEN)
        assert (await see(gate)).status == 200  # the policy says so itself
        gate.directory.policy = POLICY

        await shipping.ship_all()  # the database is back
        # the folder is measured anew after half a second at most: no restart, nobody has to do anything
        after = [await see(gate)]
        async with asyncio.timeout(DEADLINE_S):
            while after[-1].status != 200:
                after.append(await see(gate))
        answered.append(after[-1])
        assert {one.status for one in after[:-1]} <= {503}
        await at_rest(gate)
    wal.close()
    await shipping.ship_all()
    shipping.close()
    assert await problems(tmp_path, database) == []
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT id FROM audit_records")).scalars().all()
    assert sorted(rows) == sorted(one.exchange for one in answered)
    await database.close()


FULL = """
import resource, sys
from pathlib import Path
from sigmaguard_proxy.audit.wal import Wal

wal = Wal(Path(sys.argv[1]), "worker-0", segment_bytes=1_000, sync_every_s=0)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
written, refused = [], 0

def append(payload):
    global refused
    try:
        wal.append(payload)
    except OSError:
        refused += 1
    else:
        written.append(payload)

def disk(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))

for number in range(4):
    append(b"before %d " % number + b"x" * 200)
disk({limit})  # the system now refuses or shortens writes as a full disk does
for number in range(50):
    append(b"during %d " % number + b"x" * 200)
disk(unlimited[0])
for number in range(10):
    append(b"after %d " % number + b"x" * 200)
files = sorted(path.name for path in wal.folder.iterdir())
wal.close()
from sigmaguard_proxy.audit.frames import SEGMENT_HEADER_BYTES, Payload, frames
from sigmaguard_proxy.audit.wal import segments
kept = [p.data for s in segments(wal.folder) for p in frames(s.read_bytes()[SEGMENT_HEADER_BYTES:])
        if isinstance(p, Payload)]
assert kept == written, (len(kept), len(written))
assert refused >= {least} and len(written) >= 14, (refused, len(written))
assert not [name for name in files if name.endswith(".new")], files
"""


@pytest.mark.parametrize(
    ("limit", "least"),
    [
        (0, 50),  # not a byte more
        (10, 50),  # half a segment's header
        (900, 40),  # half a frame
    ],
)
def test_a_disk_that_is_full_or_takes_half_a_write_leaves_nothing_behind(
    limit: int, least: int, tmp_path: Path
) -> None:
    """What was taken is read back, what was refused is not there, and no drafts pile up while it lasts."""
    script = FULL.replace("{limit}", str(limit)).replace("{least}", str(least))
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
