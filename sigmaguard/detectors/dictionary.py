"""Finds a customer's own words: project names, customers, code names, by the ten thousand. Knows no grammar.

Lists are read once, when a policy is compiled; `version` follows their content, so a changed file makes
another policy revision. What it cannot do: see an inflected or misspelt term; list those forms too.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.detectors.keywords import Keywords, lower
from sigmaguard.errors import ConfigError
from sigmaguard.model import Finding
from sigmaguard.policy.load import convert
from sigmaguard.policy.pack import Rule, Share

TAGS = ("OWASP:LLM02:2025", "ATLAS:AML.T0057")
LEAST_TERM = 2
MOST_TERM = 200  # code points; also the farthest a stream is held back
MOST_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_HEADERS = frozenset({"term", "terms", "value", "word", "name", "begriff", "wert", "wort"})


class TermList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One list: findings are `dictionary.NAME`.

    `file` is read relative to the pack: one term a line (`#` begins a comment line), or with the ending
    `.csv` or `.tsv` a term and, in a second column, its label, which becomes the entity. `terms` are
    written in place. `whole_words` asks for no letter, digit or `_` on either side.
    """

    name: str
    file: str = ""
    terms: tuple[str, ...] = ()
    entity: str = ""
    ignore_case: bool = True
    whole_words: bool = True
    score: Share = 1.0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lists of a policy."""

    lists: tuple[TermList, ...] = ()


class _Term(msgspec.Struct, frozen=True):
    """A term as its list wants it found; `exact` is its spelling where case matters."""

    rule: str
    entity: str
    score: float
    whole: bool
    exact: str = ""


class DictionaryDetector:
    """Every term of every list over a text in one pass. Immutable, so any number of threads may share it.

    Costs 13 us a KB with 10,000 terms and 14 with 100,000, which take 2.5 s to load and 88 MB.
    """

    name = "dictionary"
    cost = Cost.INLINE

    def __init__(self, lists: Sequence[TermList]) -> None:
        found: dict[str, list[_Term]] = {}
        # the path is left out: the same content elsewhere is the same dictionary
        digest = blake2b(msgspec.json.encode([msgspec.structs.replace(one, file="") for one in lists]), digest_size=6)
        for at, one in enumerate(lists):
            where = f"options.lists[{at}]"
            if not _NAME.fullmatch(one.name):
                raise ConfigError(f"{where}.name: `{one.name}` is not lower-case letters, digits and `_`")
            for term, label in _terms(one, where):
                digest.update(f"{term}\0{label}\n".encode())
                for spelling in {unicodedata.normalize("NFC", term), unicodedata.normalize("NFD", term)}:
                    entry = _term(one, spelling, label)
                    entries = found.setdefault(lower(spelling), [])
                    if entry not in entries:
                        entries.append(entry)
        whole = {word for word, entries in found.items() if all(entry.whole for entry in entries)}
        words = {word: (len(word), tuple(entries)) for word, entries in found.items()}
        self.terms = len(words)
        self.version = digest.hexdigest()
        self._keywords: Keywords[tuple[int, tuple[_Term, ...]]] = Keywords(words, whole)

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in the order they stand; of terms inside each other the longest."""
        return [self._passage(passage) for passage in passages]

    def _passage(self, passage: Passage) -> list[Finding]:
        found: dict[tuple[int, int, str], Finding] = {}
        for reading in passage.readings:
            for start, end, term in self._found(reading.text):
                begin, stop = reading.source(start, end)
                finding = Finding(
                    term.rule, self.name, begin, stop, term.score, entity=term.entity, view=reading.kind, tags=TAGS
                )
                found.setdefault((begin, stop, term.rule), finding)
        return _longest(found.values())

    def _found(self, text: str) -> Iterator[tuple[int, int, _Term]]:
        for start, (size, terms) in self._keywords.find(_spaced(text)):
            end = start + size
            alone = not (_is_word(text, start - 1) or _is_word(text, end))
            for term in terms:
                if (alone or not term.whole) and (not term.exact or term.exact == text[start:end]):
                    yield start, end, term

    def hold(self, text: str) -> int:
        """Where a term begins that could still come about or turn out part of a longer word."""
        limit = self._keywords.unfinished(_spaced(text))
        if limit < len(text):
            for start, end, _ in sorted(self._found(text), key=lambda one: one[:2], reverse=True):
                if start < limit < end:
                    limit = start
        return limit


def _spaced(text: str) -> str:
    """A text with every kind of space a plain one, in its place: a term may stand over a line's end."""
    return text.replace("\n", " ").replace("\t", " ").replace("\r", " ").replace("\xa0", " ")


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")


def _term(one: TermList, spelling: str, label: str) -> _Term:
    entity = re.sub(r"[^A-Z0-9]+", "_", (label or one.entity or one.name).upper()).strip("_")
    return _Term(
        f"dictionary.{one.name}", entity or "TERM", one.score, one.whole_words, "" if one.ignore_case else spelling
    )


def _longest(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order they stand, without those that lie inside one before."""
    kept: list[Finding] = []
    for one in sorted(findings, key=lambda one: (one.start, -one.end, one.view != "plain", one.rule)):
        if not kept or one.end > kept[-1].end or (one.start, one.end) == (kept[-1].start, kept[-1].end):
            kept.append(one)
    return kept


def _terms(one: TermList, where: str) -> Iterator[tuple[str, str]]:
    """Every (term, label) of a list. Raises ConfigError naming file and line."""
    if bool(one.file) == bool(one.terms):
        raise ConfigError(f"{where}: give either `file` or `terms`")
    numbered = enumerate(((term, "") for term in one.terms), 1) if one.terms else _rows(Path(one.file), where)
    for line, (term, label) in numbered:
        term = " ".join(term.split())
        if not LEAST_TERM <= len(term) <= MOST_TERM:
            place = f"{Path(one.file).name} line {line}" if one.file else f"terms[{line - 1}]"
            raise ConfigError(f"{where}: {place}: a term has {LEAST_TERM} to {MOST_TERM} characters, not {len(term)}")
        yield term, label


def _rows(path: Path, where: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """Every filled line of a file as (line number, (term, label))."""
    if not path.is_file():
        raise ConfigError(f"{where}.file: no such file `{path.name}`; it is looked for beside the pack")
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"{where}.file: `{path.name}` is over {MOST_BYTES >> 20} MiB")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}.file: `{path.name}` is not UTF-8 at byte {error.start}") from error
    separator = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    if separator == "," and lines and ";" in lines[0] and "," not in lines[0]:
        separator = ";"  # how a German spreadsheet writes CSV
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if separator is None:
            yield number, (line, "")
            continue
        cells = next(csv.reader([line], delimiter=separator))
        if number > 1 or cells[0].strip().lower() not in _HEADERS:
            yield number, (cells[0], cells[1].strip() if len(cells) > 1 else "")


def build(options: dict[str, object], rules: Sequence[Rule]) -> DictionaryDetector:
    """The dictionary detector of a policy. Raises ConfigError."""
    if rules:
        raise ConfigError("dictionary takes no rules; name its `lists` in `options`")
    return DictionaryDetector(convert(options, Options, "options").lists)
