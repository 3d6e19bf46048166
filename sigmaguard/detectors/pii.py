"""The `pii` detector: personal data found by its shape, in every reading of a text. Names are `names`' work."""

from collections.abc import Sequence
from importlib.metadata import version

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding
from sigmaguard.pii.analyzer import Found, PiiAnalyzer
from sigmaguard.pii.hold import hold
from sigmaguard.pii.source import source_reading
from sigmaguard.pii.table import kinds
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule
from sigmaguard.reading import Reading
from sigmaguard.taken import Taken

VERSION = "2"
TAGS = ("LLM02:2025",)  # OWASP LLM 2025: sensitive information disclosure
GUESSES = ("rot13", "leet", "reversed", "spaced", "tags")  # readings in which a number comes about by chance
AS_WRITTEN = ("plain", "folded")  # readings that undo characters, not encodings
LEAST_DECODED = 0.5


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pack may set: `entities` to look for (empty: all), entities to `ignore`, `languages` whose
    national identifiers count, `phone_regions` (ISO 3166) for numbers without a country code."""

    entities: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en", "de")
    phone_regions: tuple[str, ...] = ("DE", "GB", "US", "AT", "CH", "FR")


class PiiDetector:
    """Personal data with a shape: addresses, numbers, identifiers."""

    name = "pii"
    cost = Cost.INLINE
    inline_chars = 6_000  # 0.04 ms a KB of prose, up to 1 ms a KB of nothing but numbers; bench/results/pii-speed.md

    def __init__(self, options: Options) -> None:
        table = kinds(options.phone_regions)
        known = {kind.entity for kind in table}
        for name in (*options.entities, *options.ignore):
            if name not in known:
                raise ConfigError(f"options: no entity `{name}`; there are {', '.join(sorted(known))}")
        self._analyzer = PiiAnalyzer(
            [
                kind
                for kind in table
                if (not options.entities or kind.entity in options.entities)
                and kind.entity not in options.ignore
                and (not kind.language or kind.language in options.languages)
            ]
        )
        self.version = f"{VERSION}/{version('presidio-analyzer')}/{msgspec.json.encode(options).hex()}"

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order."""
        return [self._look(passage) for passage in passages]

    def hold(self, text: str) -> int:
        """From where a value could still begin or grow."""
        return hold(text)

    def _look(self, passage: Passage) -> list[Finding]:
        plain = source_reading(passage)
        found = [_finding(one, plain) for one in self._analyzer.find(plain.text)]
        taken = Taken((one.start, one.end) for one in found)
        for reading in passage.readings[1:]:
            if any(guess in reading.kind for guess in GUESSES):
                continue
            least = 0.0 if reading.kind in AS_WRITTEN else LEAST_DECODED
            for one in self._analyzer.find(reading.text):
                if one.score >= least:
                    finding = _finding(one, reading)
                    if taken.take(finding.start, finding.end):
                        found.append(finding)
        return found


def _finding(one: Found, reading: Reading) -> Finding:
    start, end = reading.source(one.start, one.end)
    return Finding(
        rule=f"pii.{one.entity.lower()}",
        detector="pii",
        start=start,
        end=end,
        score=one.score,
        entity=one.entity,
        view=reading.kind,
        tags=TAGS,
    )


def build(options: dict[str, object], rules: Sequence[Rule]) -> PiiDetector:
    """The detector a pack asks for. Raises ConfigError."""
    if rules:
        raise ConfigError("`pii` takes no rules: write a rule for `leaks` or `dictionary`, or set `entities`")
    return PiiDetector(convert(options, Options, "options"))
