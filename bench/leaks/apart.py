"""The same documents cut in two neighbouring messages: is a secret still found, does harmless text stay harmless."""

import re
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from leaks.corpus import SEED, Document
from leaks.finders import Found
from sigmaguard.model import Action, Direction, Origin, Segment
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.pack import DetectorConfig, Pack
from sigmaguard.scanning import Scanner
from sigmaguard_policies import policies_root


def compare(corpus: Sequence[Document]) -> dict[str, Any]:
    """Secrets covered when the cut stands right before the value, and lines wrongly named when it stands at any space."""
    pack = Pack("leaks", detectors={"leaks": DetectorConfig(action=Action.MASK)})
    scanner = Scanner(PolicyLoader(policies_root()).compile(pack), memory_entries=4)
    chance = Random(SEED)
    planted = covered = alone = cuts = false = 0
    for document in corpus:
        for one in document.planted:
            planted += 1
            half = (one.end - one.start) / 2
            covered += any(
                _shared(found, one.start, one.end) >= half for found in _found(scanner, document.text, one.start)
            )
            value = scanner.scan([(Origin.USER, document.text[one.start :])])[0]
            alone += any(min(found.end, one.end - one.start) - found.start >= half for found in value.findings)
        spaces = [space.end() for space in re.finditer(r"\s", document.text)]
        for at in chance.sample(spaces, min(2, len(spaces))):
            cuts += 1
            false += _false(document, _found(scanner, document.text, at))
    return {"planted": planted, "covered": covered, "alone": alone, "cuts": cuts, "false": false}


def _found(scanner: Scanner, text: str, at: int) -> list[Found]:
    """What is found in a text cut at a place, in offsets of the whole."""
    parts = [Segment(f"/{n}", Origin.USER, part, message=f"/{n}") for n, part in enumerate((text[:at], text[at:]))]
    findings = scanner.scan_segments(parts, Direction.INPUT).findings
    shifts = {"/0": 0, "/1": at}
    return [Found(one.start + shifts[one.path], one.end + shifts[one.path], one.rule) for one in findings]


def _shared(found: Found, start: int, end: int) -> int:
    return min(found.end, end) - max(found.start, start)


def _false(document: Document, findings: Iterable[Found]) -> int:
    """How many look-alikes a finding touches."""
    return sum(any(_shared(one, start, end) > 0 for one in findings) for start, end, _ in document.harmless)
