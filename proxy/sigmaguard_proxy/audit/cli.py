"""`sigmaguard audit ...`: verify, export, erase. Works beside a running server and after it has stopped."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.audit.append import Appender
from sigmaguard_proxy.audit.erase import Eraser, Part, Selection, is_selected
from sigmaguard_proxy.audit.formats import FORMATS
from sigmaguard_proxy.audit.keys import load_signer, load_trust
from sigmaguard_proxy.audit.reading import Reader
from sigmaguard_proxy.audit.shipper import caught_up
from sigmaguard_proxy.audit.shipping import WAL_FOLDER, ShipLock, Shipping
from sigmaguard_proxy.audit.source import Source
from sigmaguard_proxy.audit.subjects import open_keyring, value_digests
from sigmaguard_proxy.audit.verify import Problem, Verifier
from sigmaguard_proxy.logs import Log
from sigmaguard_proxy.store.database import Database, DatabaseDamagedError, DatabaseDownError, open_database
from sigmaguard_proxy.store.location import is_there, locate
from sigmaguard_proxy.store.migrate import migrate

CATCH_UP_S = 5.0
PROGRESS_EVERY_S = 2.0
LISTED = 1_000  # problems written out; a table that was replaced as a whole needs no million lines


def verify_command(arguments: argparse.Namespace) -> int:
    """0 all in order, 1 something was changed, is missing or out of order. Raises ConfigError."""
    copies: list[Path] = arguments.anchors or []
    for path in copies:
        if not path.is_file():
            raise ConfigError(f"--anchors {path}: no such file; give a copy of DATA/audit/anchors.json")
    return _run(_verify(Path(arguments.data), _url(arguments), copies))


def export_command(arguments: argparse.Namespace) -> int:
    """Writes records to standard output: every one, or what is kept of whoever was selected. Raises ConfigError."""
    asked = _Asked(_selection(arguments), _values(arguments))
    return _run(_export(Path(arguments.data), _url(arguments), arguments.format, asked))


def erase_command(arguments: argparse.Namespace) -> int:
    """Erases what leads to a person, or contents only. Raises ConfigError."""
    asked = _Asked(_selection(arguments), _values(arguments))
    if asked == _Asked(Selection(arguments.tenant)) and not arguments.everything:
        raise ConfigError(
            "nothing is selected: give --exchange, --key, --agent, --remote, --value-from, --digest or --everything"
        )
    what = Part.CONTENT if arguments.content_only else Part.PERSONAL
    return _run(_erase(Path(arguments.data), _url(arguments), asked, what, arguments.reason))


class _Asked(msgspec.Struct, frozen=True):
    """Whom a request is about: a selection, and values that stand for digests once the database is open."""

    selection: Selection
    values: tuple[str, ...] = ()

    async def resolved(self, data: Path, database: Database) -> Selection:
        """The selection with the digests of the values. Raises ConfigError."""
        if not self.values:
            return self.selection
        digests = await value_digests(database, open_keyring(data), self.values)
        return msgspec.structs.replace(self.selection, digests=(*self.selection.digests, *digests))


def _selection(arguments: argparse.Namespace) -> Selection:
    days = arguments.older_than_days
    return Selection(
        tenant=arguments.tenant,
        ids=tuple(arguments.exchange or ()),
        key=arguments.key,
        agent=arguments.agent,
        remote=arguments.remote,
        digests=(arguments.digest,) if arguments.digest else (),
        before_us=round((time.time() - days * 86_400) * 1e6) if days else 0,
    )


def _values(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The values of `--value-from`, one a line. They never stand in an argument: histories and `ps` show those."""
    path: str = arguments.value_from
    if not path:
        return ()
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--value-from {path}: cannot be read as UTF-8 text; one value a line is needed") from error
    values = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not values:
        raise ConfigError(f"--value-from {path}: holds no value; write one a line")
    return values


def _url(arguments: argparse.Namespace) -> str:
    """The database as told here, or as the server was told through its environment."""
    return str(arguments.database_url or os.environ.get("SIGMAGUARD_DATABASE_URL", ""))


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except DatabaseDamagedError as error:
        raise ConfigError(str(error)) from error
    except DatabaseDownError as error:
        raise ConfigError(f"{error}; start it, or give the right --database-url") from error


@asynccontextmanager
async def open_log(data: Path, url: str) -> AsyncIterator[tuple[Database, Path]]:
    """The database and the folder `DATA/audit`, with everything recorded so far in the database."""
    folder = data / "audit"
    if not folder.is_dir():
        raise ConfigError(f"--data {data}: there is no audit log; give the folder the server was started with")
    if not is_there(data, url) and not (folder / WAL_FOLDER).is_dir():
        raise ConfigError(f"--data {data}: there is no database; give --database-url where it is PostgreSQL")
    database = open_database(locate(data, url))
    try:
        await _bring(folder, database)
        yield database, folder
    finally:
        await database.close()


async def _bring(folder: Path, database: Database) -> None:
    """Ships what no server will, or waits a little for the one that does."""
    if not (folder / WAL_FOLDER).is_dir():
        return
    lock = ShipLock(folder / WAL_FOLDER)
    if lock.take():
        try:
            await migrate(database)
            shipping = Shipping(folder, database, Log("sigmaguard"))
            brought = await shipping.ship_all()
            if brought:
                print(f"{brought} records were still waiting and are stored now", file=sys.stderr)
        finally:
            lock.release()
        return
    wanted = Source(folder / WAL_FOLDER, {}).sizes()
    try:
        await caught_up(folder, database, wanted, CATCH_UP_S)
    except TimeoutError:
        print("the server is still storing records; those that wait are not in what follows", file=sys.stderr)


class _Progress:
    """Tells how far a long run is, on standard error, every few seconds."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._started = self._told = time.monotonic()

    def __call__(self, records: int) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_EVERY_S:
            self._told = now
            rate = records / (now - self._started)
            print(f"{records:,} records {self._verb}, {rate:,.0f} a second", file=sys.stderr)


async def _verify(data: Path, url: str, copies: Sequence[Path]) -> int:
    async with open_log(data, url) as (database, folder):
        verifier = Verifier(database, folder, load_trust(folder), _Progress("verified"), copies=copies)
        listed = 0
        async for problem in verifier.problems():
            listed += 1
            if listed <= LISTED:
                _tell(problem)
        report = verifier.report
    if listed > LISTED:
        print(f"... and {listed - LISTED} more")
    counted = (
        f"{report.records} records of {report.tenants} tenants, "
        f"{report.checkpoints} checkpoints, {report.erased} erased parts"
    )
    print(f"{counted}: {f'{report.problems} PROBLEMS' if report.problems else 'all in order'}")
    return 1 if report.problems else 0


def _tell(problem: Problem) -> None:
    print(str(problem))


async def _export(data: Path, url: str, name: str, asked: _Asked) -> int:
    write, to_line, progress = sys.stdout.buffer.write, FORMATS[name], _Progress("read")
    done, unreadable = 0, 0
    async with open_log(data, url) as (database, _):
        reader, selection = Reader(database), await asked.resolved(data, database)
        everybody = selection == Selection(selection.tenant)
        for tenant in [selection.tenant] if selection.tenant else await reader.tenants():
            async for page in reader.records(tenant):
                for record in page:
                    try:
                        if everybody or is_selected(selection, record):
                            write(to_line(record) + b"\n")
                    except ValueError as error:
                        unreadable += 1
                        print(error, file=sys.stderr)
                done += len(page)
                progress(done)
    sys.stdout.buffer.flush()
    return 1 if unreadable else 0


async def _erase(data: Path, url: str, asked: _Asked, what: Part, reason: str) -> int:
    async with open_log(data, url) as (database, folder):
        selection = await asked.resolved(data, database)
        eraser = Eraser(database, Appender(load_signer(folder)), "command line", reason)
        erased = await eraser.erase(selection, what)
    print(f"{erased} records erased; the chain still verifies")
    if not eraser.is_overwritten:
        print("SQLite's journal is being read and keeps the old pages: run this again in a moment", file=sys.stderr)
    return 0
