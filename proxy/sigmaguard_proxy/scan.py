"""`sigmaguard scan --jsonl`: texts in, verdicts out, one line each, in order. No server, no store."""

import argparse
import sys
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import orjson

from sigmaguard.errors import ConfigError
from sigmaguard.model import Direction, Origin
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.scanning import Scanner, ScanResult
from sigmaguard_policies import policies_root

# `document` and `tool` are how corpora name origins; the engine's own names are taken as well
ORIGINS = {"tool": Origin.TOOL_RESULT, **{origin.value: origin for origin in Origin}}


class Line(msgspec.Struct, frozen=True):
    """One line of input; other fields are ignored."""

    text: str
    origin: str = "user"


def scan_command(arguments: argparse.Namespace) -> int:
    """Reads standard input to its end. Raises ConfigError naming the line that is wrong."""
    scanner = Scanner(PolicyLoader(policies_root()).load(arguments.policy))
    out = sys.stdout.buffer
    direction = Direction(arguments.direction)
    # line by line, so that a caller who keeps the pipe open gets each answer at once
    for line in _lines(sys.stdin.buffer):
        out.write(orjson.dumps(answer(scanner.scan((line,), direction)[0])) + b"\n")
        out.flush()
    return 0


def answer(result: ScanResult) -> dict[str, object]:
    """One result as its line of output."""
    line: dict[str, object] = {
        "action": result.action.value,
        "score": round(result.score, 6),
        "findings": [
            {
                "rule": finding.rule,
                "detector": finding.detector,
                "start": finding.start,
                "end": finding.end,
                "score": round(finding.score, 6),
            }
            for finding in result.findings
        ],
    }
    if result.text is not None:
        line["text"] = result.text
    return line


def _lines(stream: BinaryIO) -> Iterator[tuple[Origin, str]]:
    decoder = msgspec.json.Decoder(Line)
    for number, raw in enumerate(stream, 1):
        if not raw.strip():
            continue
        try:
            line = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f'line {number}: {error}; write {{"text": "...", "origin": "user"}}') from error
        if line.origin not in ORIGINS:
            raise ConfigError(f"line {number}: unknown origin `{line.origin}`; there are {', '.join(ORIGINS)}")
        yield ORIGINS[line.origin], line.text
