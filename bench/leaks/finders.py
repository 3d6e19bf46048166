"""The two that look for secrets, behind one face: spans of a text with the rule that names them."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from sigmaguard.detector import Passage
from sigmaguard.detectors.leaks import LeaksDetector
from sigmaguard.fold import readings
from sigmaguard.model import Origin, Segment
from sigmaguard.policy.rules import load_rule_file
from sigmaguard_policies import policies_root


class Found(msgspec.Struct, frozen=True):
    """A span that one of them calls a secret, and by which rule."""

    start: int
    end: int
    rule: str


class Finder(Protocol):
    """Looks at one file's text."""

    name: str

    def find(self, name: str, text: str) -> list[Found]:
        """What it calls a secret in a file of this name."""
        ...


class Sigmaguard:
    """Our detector with the rules as shipped, over every reading of the text, as in the proxy."""

    name = "sigmaguard"

    def __init__(self) -> None:
        files = sorted((policies_root() / "rules").glob("leaks.*.yaml"))
        self._detector = LeaksDetector([rule for path in files for rule in load_rule_file(path).rules])

    def find(self, name: str, text: str) -> list[Found]:
        """Our findings."""
        passage = Passage(Segment("/text", Origin.DOCUMENT, text), readings(text))
        return [Found(one.start, one.end, one.rule) for one in self._detector.detect((passage,))[0]]


class DetectSecrets:
    """`detect-secrets` with the plugins and filters it has by default; it reads files and tells lines."""

    name = "detect-secrets"

    def __init__(self) -> None:
        from detect_secrets.core import scan
        from detect_secrets.settings import default_settings

        self._scan, self._settings = scan.scan_file, default_settings
        self._folder = Path(tempfile.mkdtemp())

    def find(self, name: str, text: str) -> list[Found]:
        """Its secrets, each where its value stands in its line (the whole line where it does not stand there)."""
        path = self._folder / name
        path.write_text(text, encoding="utf-8", newline="")
        try:
            with self._settings():
                secrets = [(one.type, one.line_number, one.secret_value or "") for one in self._scan(str(path))]
        finally:
            path.unlink()
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return sorted(_located(text, starts, secrets), key=lambda one: (one.start, one.end, one.rule))


def _located(text: str, starts: list[int], secrets: Iterable[tuple[str, int, str]]) -> Iterable[Found]:
    seen: set[tuple[int, int]] = set()
    for kind, number, value in secrets:
        begin, stop = starts[number - 1], starts[min(number, len(starts) - 1)]
        at = text.find(value, begin, stop) if value else -1
        span = (at, at + len(value)) if at >= 0 else (begin, stop)
        if span not in seen:
            seen.add(span)
            yield Found(*span, kind)
