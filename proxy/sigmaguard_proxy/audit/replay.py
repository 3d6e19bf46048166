"""`sigmaguard replay`: what a policy would have done with captured traffic, beside what another does.

Both policies see every exchange whole and in enforce; nothing is sent anywhere.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import orjson

from sigmaguard.errors import ConfigError, WireError
from sigmaguard.model import Direction, Segment
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.scanning import Scanner
from sigmaguard.wire.body import parse_body
from sigmaguard.wire.codec import Codec
from sigmaguard.wire.generic import UNKNOWN
from sigmaguard.wire.registry import registry
from sigmaguard.wire.sse import SseDecoder
from sigmaguard_policies import policies_root
from sigmaguard_proxy.audit.captured import Captured, from_file, from_store
from sigmaguard_proxy.audit.cli import open_log
from sigmaguard_proxy.audit.keys import load_cipher
from sigmaguard_proxy.audit.reading import Reader

ACTIONS = ("allow", "mask", "block")


class Outcome(msgspec.Struct, frozen=True):
    """What one policy does with one direction of an exchange."""

    action: str
    rule: str
    score: float


class Compared(msgspec.Struct, frozen=True):
    """One direction of one exchange under both policies."""

    exchange: str
    direction: str
    old: Outcome
    new: Outcome

    @property
    def is_changed(self) -> bool:
        """Whether the caller would notice: another action, or another rule behind it."""
        return self.old.action != self.new.action or (self.new.action != "allow" and self.old.rule != self.new.rule)


class Replay:
    """Runs exchanges through two policies and keeps count. `skipped` is why some could not be read."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self._old, self._new = Scanner(old), Scanner(new)
        self._registry = registry()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[str] = Counter()
        self.exchanges = 0

    def compare(self, captured: Captured) -> Iterator[Compared]:
        """Both directions of one exchange, as far as they were captured."""
        self.exchanges += 1
        codec = self._registry.find("POST", captured.endpoint)
        if captured.endpoint == UNKNOWN:
            codec = self._registry.unknown(anthropic=False)
        if codec is None:
            self.skipped[f"no codec for {captured.endpoint[:64]}"] += 1
            return
        try:
            segments = codec.decode_request(parse_body(captured.request))
            answer = response_segments(codec, captured.response) if captured.response else None
        except WireError as error:
            self.skipped[error.kind] += 1
            return
        yield self._one(captured.exchange, Direction.INPUT, segments)
        if answer is not None:
            yield self._one(captured.exchange, Direction.OUTPUT, answer)

    def _one(self, exchange: str, direction: Direction, segments: list[Segment]) -> Compared:
        old, new = (_outcome(scanner, segments, direction) for scanner in (self._old, self._new))
        self.counts[old.action, new.action] += 1
        return Compared(exchange, direction.value, old, new)


def _outcome(scanner: Scanner, segments: list[Segment], direction: Direction) -> Outcome:
    if not segments:
        return Outcome("allow", "", 0.0)
    found = scanner.scan_segments(segments, direction)
    rule = found.verdict.rule if found.verdict is not None and found.action.value != "allow" else ""
    return Outcome(found.action.value, rule, round(found.score, 4))


def response_segments(codec: Codec, response: bytes) -> list[Segment]:
    """Every text of an answer; a stream's fragments are put together by channel. Raises WireError."""
    if response.lstrip()[:1] in (b"{", b"["):
        return codec.decode_response(parse_body(response))
    stream, events = codec.stream(), SseDecoder()
    texts: dict[str, tuple[Segment, list[str]]] = {}
    wholes: list[Segment] = []
    for event in [*events.feed(response), *events.finish()]:
        frame = stream.decode(event.raw, event.event, event.data)
        for delta in frame.deltas:
            first = Segment(f"/{delta.channel}", delta.origin, "", is_json=delta.is_json)
            texts.setdefault(delta.channel, (first, []))[1].append(delta.text)
        wholes += frame.wholes
    joined = [msgspec.structs.replace(segment, text="".join(pieces)) for segment, pieces in texts.values()]
    return joined + wholes


def replay_command(arguments: argparse.Namespace) -> int:
    """0 done; 1 with `--exit-code` where a verdict changes. Raises ConfigError."""
    loader = PolicyLoader(policies_root())
    old, new = loader.load(arguments.against), loader.load(arguments.policy)
    replay = Replay(old, new)
    changed = asyncio.run(_run(arguments, replay))
    if not arguments.jsonl:
        _table(replay, old.name, new.name, changed)
    if not replay.exchanges:
        raise ConfigError("there is nothing to replay: no exchange was captured, or none has content kept")
    return 1 if arguments.exit_code and changed else 0


async def _run(arguments: argparse.Namespace, replay: Replay) -> int:
    changed = 0
    async for captured in _captured(arguments):
        for one in replay.compare(captured):
            changed += one.is_changed
            if arguments.jsonl:
                sys.stdout.buffer.write(orjson.dumps(msgspec.to_builtins(one)) + b"\n")
            elif one.is_changed:
                _line(one, is_first=changed == 1)
        if replay.exchanges % 1_000 == 0:
            print(f"{replay.exchanges:,} exchanges replayed", file=sys.stderr)
    return changed


async def _captured(arguments: argparse.Namespace) -> AsyncIterator[Captured]:
    if arguments.file is not None:
        for captured in from_file(arguments.file):
            yield captured
        return
    async with open_log(Path(arguments.data), arguments.database_url) as (database, folder):
        stored = from_store(Reader(database), load_cipher(folder), arguments.tenant, arguments.days)
        async for captured in stored:
            yield captured


def _line(one: Compared, *, is_first: bool) -> None:
    if is_first:
        print(f"{'exchange':38} {'direction':9} change")
    old, new = (f"{side.action}{f' ({side.rule})' if side.rule else ''}" for side in (one.old, one.new))
    print(f"{one.exchange:38} {one.direction:9} {old} -> {new}")


def _table(replay: Replay, old: str, new: str, changed: int) -> None:
    total = sum(replay.counts.values())
    print(f"\n{replay.exchanges} exchanges, {total} verdicts, {changed} changed from `{old}` to `{new}`\n")
    width = max(len(old), 5) + 2
    print(f"{old:>{width}} \\ {new}" + "".join(f"{action:>9}" for action in ACTIONS))
    for before in ACTIONS:
        cells = "".join(f"{replay.counts[before, after] or '.':>9}" for after in ACTIONS)
        print(f"{before:>{width + 3 + len(new)}}{cells}")
    for why, number in replay.skipped.most_common():
        print(f"{number} could not be read: {why}")
