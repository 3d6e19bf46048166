"""Proves the audit log, or names what is wrong with it. Reads only; constant memory; trusts public keys alone.

What it cannot see: records changed before they first left the write-ahead file, and a rewriting of the
newest records by somebody who holds the signing key.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sigmaguard_proxy.audit.anchors import DAMAGED, FILE, read_anchors
from sigmaguard_proxy.audit.chain import Signed, checkpoint_message, digest, genesis, link
from sigmaguard_proxy.audit.erase import Part, covers
from sigmaguard_proxy.audit.keys import Trust
from sigmaguard_proxy.audit.reading import Reader, Stored, as_bytes, as_text
from sigmaguard_proxy.audit.rows import ACT, EXCHANGE, columns
from sigmaguard_proxy.store.database import Database


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `sequence` is 0 where it is about the chain; `id` empty where there is no record."""

    tenant: str
    sequence: int
    id: str
    what: str

    def __str__(self) -> str:
        place = f"{self.tenant} #{self.sequence}" if self.sequence else self.tenant
        return f"{place}{f' {self.id}' if self.id else ''}: {self.what}"


class Report(msgspec.Struct):
    """What a verification saw so far."""

    tenants: int = 0
    records: int = 0
    checkpoints: int = 0
    erased: int = 0
    problems: int = 0


Progress = Callable[[int], None]
RECENT = 8  # hashes around a damaged place that a sound record may still follow, such as a swapped pair's


class Verifier:
    """Walks every chain. `report` grows while `problems` is read.

    `copies` are files of anchors kept elsewhere (`anchors.json` of an earlier day): the chain must lead to them too.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        trust: Trust,
        progress: Progress | None = None,
        *,
        copies: Sequence[Path] = (),
    ) -> None:
        self._reader = Reader(database)
        self._folder = folder
        self._copies = copies
        self._trust = trust
        self._progress = progress
        self.report = Report()

    async def problems(self) -> AsyncIterator[Problem]:
        """Every problem, tenant by tenant, in the order of the chains."""
        async for problem in self._problems():
            self.report.problems += 1
            yield problem

    async def _problems(self) -> AsyncIterator[Problem]:
        anchors: list[tuple[Signed, str]] = []  # read before the database: what is here was there already
        for path in (self._folder / FILE, *self._copies):
            try:
                anchors += [(one, path.name) for one in read_anchors(path)]
            except msgspec.MsgspecError:
                yield Problem(path.name, 0, "", "the file of anchors is damaged")
        for path in sorted(self._folder.glob(f"{DAMAGED}*")):
            yield Problem(path.name, 0, "", "anchors were damaged and set aside: verify with a copy, then remove it")
        for tenant in sorted({*await self._reader.tenants(), *(one.tenant for one, _ in anchors)}):
            self.report.tenants += 1
            walk = _Walk(self._reader, self._trust, tenant, self.report, self._progress)
            for anchor, name in anchors:
                if anchor.tenant != tenant:
                    continue
                walk.expect(anchor.sequence, anchor.hash, f"the anchor in {name}")
                message = checkpoint_message(tenant, anchor.sequence, anchor.hash, anchor.at_us)
                if not self._trust.is_signed(anchor.key_id, message, anchor.signature):
                    yield Problem(tenant, anchor.sequence, "", f"the anchor in {name} is not signed by a known key")
            async for problem in walk.problems():
                yield problem


class _Walk:
    """One tenant's chain, record by record."""

    def __init__(self, reader: Reader, trust: Trust, tenant: str, report: Report, progress: Progress | None) -> None:
        self._reader = reader
        self._trust = trust
        self._tenant = tenant
        self._report = report
        self._progress = progress
        self._expected: dict[int, list[tuple[bytes, str]]] = {}
        self._sequence = 0
        self._hashes: tuple[bytes, ...] = ()
        self._last_id = ""
        self._contents = 0

    def expect(self, sequence: int, head: bytes, source: str) -> None:
        """The record at `sequence` must have this hash, or `source` disagrees."""
        self._expected.setdefault(sequence, []).append((head, source))

    async def problems(self) -> AsyncIterator[Problem]:
        tenant = self._tenant
        base, base_hash, found = await self._base()
        for problem in found:
            yield problem
        self._sequence, self._hashes = base, (base_hash,)
        head = await self._head()
        if isinstance(head, Problem):
            yield head
            head = None
        async for page in self._reader.records(tenant):
            for problem in await self._checkpoints(page):
                yield problem
            for record in page:
                for problem in await self._step(record, base):
                    yield problem
            if self._progress:
                self._progress(self._report.records)
        for problem in await self._end(base, head):
            yield problem

    async def _base(self) -> tuple[int, bytes, list[Problem]]:
        """Where the chain begins: at nothing, or at the last record that retention removed."""
        start = genesis(self._tenant)
        rows = await self._reader.signed("audit_checkpoints", self._tenant, "AND base = 1")
        if not rows:
            return 0, start.hash, []
        row = rows[-1]
        if self._is_signed(row):
            return int(row["sequence"]), as_bytes(row["hash"]), []
        return (
            0,
            start.hash,
            [self._problem(row["sequence"], "", "the base left by retention is not signed by a known key")],
        )

    async def _head(self) -> dict[str, Any] | Problem | None:
        rows = await self._reader.signed("audit_chains", self._tenant)
        if not rows:
            return self._problem(0, "", "the chain's head is missing from audit_chains")
        if rows[0]["sequence"] == 0:
            return None
        if not self._is_signed(rows[0]):
            return self._problem(rows[0]["sequence"], "", "the chain's head is not signed by a known key")
        return rows[0]

    async def _checkpoints(self, page: list[Stored]) -> list[Problem]:
        """Signed checkpoints that stand within a page: what they say is expected of its records."""
        rows = await self._reader.signed(
            "audit_checkpoints",
            self._tenant,
            "AND base = 0 AND sequence BETWEEN :first AND :last",
            first=page[0].sequence,
            last=page[-1].sequence,
        )
        return [problem for row in rows for problem in self._checkpoint(row)]

    def _checkpoint(self, row: dict[str, Any]) -> list[Problem]:
        self._report.checkpoints += 1
        if not self._is_signed(row):
            return [self._problem(row["sequence"], "", "a checkpoint is not signed by a known key")]
        self.expect(row["sequence"], as_bytes(row["hash"]), "a signed checkpoint")
        return []

    async def _step(self, record: Stored, base: int) -> list[Problem]:
        found: list[str] = []
        if record.sequence <= self._sequence:
            why = "removed by retention, yet there" if record.sequence <= base else "out of place"
            return [self._problem(record.sequence, record.id, f"a record that does not belong here ({why})")]
        missing = await self._missing(record) if record.sequence != self._sequence + 1 else []
        computed = link(
            record.previous,
            self._tenant,
            record.sequence,
            _printable(record.id),
            _printable(record.kind),
            record.at_us,
            (digest(record.facts), record.personal_digest, record.content_digest),
        )
        if record.problem:
            found.append(record.problem)
        if computed != record.hash:
            found.append("its hash does not match what it says: changed")
        if record.previous not in self._hashes:
            found.append(f"it does not follow the record before it (#{record.sequence - 1} {self._last_id})".rstrip())
        found += _said(record)
        found += await self._erasures(record)
        found += self._vouched(record, computed)
        # a record that was changed is named once, not once more by those after it
        self._hashes = (*self._hashes, record.hash, computed)[-RECENT:] if found or missing else (record.hash,)
        self._sequence, self._last_id = record.sequence, record.id
        self._report.records += 1
        return missing + [self._problem(record.sequence, record.id, what) for what in dict.fromkeys(found)]

    async def _missing(self, record: Stored) -> list[Problem]:
        base, base_hash, _ = await self._base()
        if base >= record.sequence - 1:  # retention removed them while we read
            self._hashes = (base_hash,)
            return []
        self._hashes = (record.previous,)  # all that is left of the lost record
        first, last = self._sequence + 1, record.sequence - 1
        neighbours = f"between {self._last_id or 'the beginning'} and {record.id}"
        if first == last:
            return [self._problem(first, "", f"a record is missing {neighbours}")]
        return [self._problem(first, "", f"records #{first} to #{last} are missing {neighbours}")]

    def _vouched(self, record: Stored, computed: bytes) -> list[str]:
        sources = self._expected.pop(record.sequence, ())
        return [f"{source} vouches for another record here" for head, source in sources if head != computed]

    async def _erasures(self, record: Stored) -> list[str]:
        found: list[str] = []
        if record.personal:
            if digest(record.personal) != record.personal_digest:
                found.append("its personal part was changed")
            if record.personal_erased_by:
                found.append("its personal part is said to be erased but is there")
        elif record.personal_digest:
            found += await self._erased(record, Part.PERSONAL, record.personal_erased_by)
        elif record.personal_erased_by:
            found.append("its personal part is said to be erased but there never was one")
        if record.content_digest:
            found += await self._content(record)
        elif record.content_erased_by:
            found.append("its content is said to be erased but there never was one")
        return found

    async def _content(self, record: Stored) -> list[str]:
        if record.content_erased_by:
            return await self._erased(record, Part.CONTENT, record.content_erased_by)
        self._contents += 1
        content = await self._reader.content(self._tenant, record.id)
        if content is None:
            again = await self._reader.record(self._tenant, record.sequence)
            if again is not None and again.content_erased_by:  # erased while we read
                return await self._erased(again, Part.CONTENT, again.content_erased_by)
            return ["its content is missing, and no act says who erased it"]
        return [] if digest(content) == record.content_digest else ["its content was changed"]

    async def _erased(self, record: Stored, part: str, by: int) -> list[str]:
        self._report.erased += 1
        act = await self._reader.record(self._tenant, by) if by > 0 else None
        try:
            if act is not None and covers(act.kind, act.facts, record.sequence, part):
                return []
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError):
            pass  # a damaged act is named where it stands; here it proves nothing
        return [f"its {part} part is gone, and no act says who erased it"]

    async def _end(self, base: int, head: dict[str, Any] | None) -> list[Problem]:
        found: list[Problem] = []
        newest = await self._head()  # the chain may have grown while we read
        grown = newest["sequence"] if isinstance(newest, dict) else self._sequence
        if head is not None and head["sequence"] > self._sequence:
            first = self._sequence + 1
            what = f"records #{first} to #{head['sequence']} are missing: the chain was cut off at its end"
            found.append(self._problem(first, "", what))
        elif head is not None and head["sequence"] == self._sequence and as_bytes(head["hash"]) not in self._hashes:
            found.append(self._problem(self._sequence, self._last_id, "the chain's signed head is of another record"))
        if self._sequence > grown:
            found.append(self._problem(self._sequence, self._last_id, f"a record beyond the chain's head (#{grown})"))
        for problem in await self._late_checkpoints(grown):
            found.append(problem)
        for sequence, sources in sorted(self._expected.items()):
            if sequence > self._sequence and not any(one.sequence == self._sequence + 1 for one in found):
                what = f"{sources[0][1]} vouches for a record that is gone: the chain was cut off or set back"
                found.append(self._problem(sequence, "", what))
        contents = await self._reader.count_contents(self._tenant)
        if contents > self._contents and grown == self._sequence and head is not None:
            found.append(
                self._problem(0, "", f"{contents - self._contents} contents belong to no record that has them")
            )
        return found

    async def _late_checkpoints(self, grown: int) -> list[Problem]:
        rows = await self._reader.signed(
            "audit_checkpoints", self._tenant, "AND base = 0 AND sequence > :last", last=max(grown, self._sequence)
        )
        return [problem for row in rows for problem in self._checkpoint(row)]

    def _is_signed(self, row: dict[str, Any]) -> bool:
        if type(row["sequence"]) is not int or type(row["at_us"]) is not int:
            return False
        message = checkpoint_message(self._tenant, row["sequence"], as_bytes(row["hash"]), row["at_us"])
        return self._trust.is_signed(as_text(row["key_id"]), message, as_bytes(row["signature"]))

    def _problem(self, sequence: Any, record_id: str, what: str) -> Problem:
        return Problem(_printable(self._tenant), sequence if type(sequence) is int else 0, _printable(record_id), what)


def _said(record: Stored) -> list[str]:
    """Whether the searched columns say what the record says."""
    if record.kind not in (EXCHANGE, ACT):
        return [f"an unknown kind of record: {_printable(record.kind)[:32]}"]
    try:
        said = columns(record.kind, record.facts, record.personal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ["what it says cannot be read: changed"]
    wrong = [
        name
        for name, value in said.items()
        if record.searched[name] != value or type(record.searched[name]) is not type(value)
    ]
    return [f"its columns {', '.join(wrong)} do not say what the record says: changed"] if wrong else []


def _printable(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
