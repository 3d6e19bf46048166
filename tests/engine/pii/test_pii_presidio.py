"""Our findings beside plain Presidio's on a generated corpus: every difference is one we mean, by name."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from pii.corpus import Document, documents
from pii.rivals import NAMES, Hit, analyze_ours, analyze_plain, plain_presidio
from presidio_analyzer import AnalyzerEngine
from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.entities import OperatorConfig, RecognizerResult

from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Direction, Finding, Origin, Segment
from sigmaguard.policy.pack import MaskConfig
from sigmaguard.wire.body import apply_edits

LEAST = 0.5
Rule = Callable[[Document, Hit, list[Hit]], bool]


def in_gold(document: Document, hit: Hit) -> bool:
    return any(start <= hit.start and hit.end <= end for start, end, _ in document.spans)


def is_birth(document: Document, hit: Hit) -> bool:
    return any(s < hit.end and hit.start < e and entity == "DATE_OF_BIRTH" for s, e, entity in document.spans)


def covered(hit: Hit, others: list[Hit]) -> bool:
    return any(other.start < hit.end and hit.start < other.end for other in others)


# Why Presidio finds what we do not. The first rule that holds is the reason.
ONLY_PRESIDIO: dict[str, Rule] = {
    "names are found by the detector `names`": lambda d, hit, ours: hit.entity in (*NAMES, "NRP"),
    "a date counts only as a birthday": lambda d, hit, ours: hit.entity == "DATE_OF_BIRTH" and not is_birth(d, hit),
    "links and identifiers are no personal data by themselves": lambda d, hit, ours: hit.entity in ("URL", "UUID"),
    "we call the same span by the better entity": lambda d, hit, ours: covered(hit, ours),
    "ours must not lie in something technical or longer": lambda d, hit, ours: not in_gold(d, hit),
}
# Why we find what Presidio does not.
ONLY_OURS: dict[str, Rule] = {
    "Presidio has no addresses": lambda d, hit, plain: hit.entity == "ADDRESS",
    "national identifiers count in texts of any language": lambda d, hit, plain: (
        hit.entity[:3] in ("DE_", "US_", "UK_")
    ),
    "phone numbers in national form and after a word that names them": lambda d, hit, plain: hit.entity == "PHONE",
    "a birthday is named in German, too": lambda d, hit, plain: hit.entity == "DATE_OF_BIRTH",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[AnalyzerEngine]:
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    yield plain_presidio()


def reason(rules: dict[str, Rule], document: Document, hit: Hit, others: list[Hit]) -> str:
    return next((name for name, rule in rules.items() if rule(document, hit, others)), "unexplained")


def test_every_difference_to_presidio_is_explained(engine: AnalyzerEngine) -> None:
    plain, ours = analyze_plain(engine), analyze_ours(with_names=False)
    differences: Counter[str] = Counter()
    unexplained: list[tuple[str, str, str]] = []
    same = 0
    for document in documents(7, 40):
        theirs = [hit for hit in plain(document.text, document.lang) if hit.score >= LEAST]
        found = [hit for hit in ours(document.text, document.lang) if hit.score >= LEAST]
        theirs_by_place = {hit[:3] for hit in theirs}
        found_by_place = {hit[:3] for hit in found}
        same += len(theirs_by_place & found_by_place)
        for who, rules, mine, others in (("plain", ONLY_PRESIDIO, theirs, found), ("ours", ONLY_OURS, found, theirs)):
            for hit in mine:
                if hit[:3] in theirs_by_place & found_by_place:
                    continue
                why = reason(rules, document, hit, others)
                differences[f"{who}: {why}"] += 1
                if why == "unexplained":
                    unexplained.append((who, hit.entity, document.text[hit.start : hit.end]))
    assert unexplained == []
    assert same > 100  # they agree on most values that have a shape
    # a rule that explains nothing on this corpus is no rule
    assert set(differences) == {f"plain: {one}" for one in ONLY_PRESIDIO} | {f"ours: {one}" for one in ONLY_OURS}


def test_nothing_of_shape_that_presidio_finds_in_a_value_is_lost(engine: AnalyzerEngine) -> None:
    plain, ours = analyze_plain(engine), analyze_ours(with_names=False)
    for document in documents(11, 20):
        found = ours(document.text, document.lang)
        values = [one for one in document.spans if one[2] not in NAMES]
        for hit in plain(document.text, document.lang):
            whole = next((v for v in values if v[0] <= hit.start and hit.end <= v[1] and v[2] == hit.entity), None)
            if hit.score >= LEAST and whole is not None:
                assert covered(hit, found), (hit.entity, document.text[hit.start : hit.end])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (MaskConfig(operator="redact"), OperatorConfig("replace", {"new_value": "[EMAIL]"})),
        (MaskConfig(operator="replace", text="***"), OperatorConfig("replace", {"new_value": "***"})),
        (MaskConfig(operator="replace", text=""), OperatorConfig("redact")),
    ],
)
def test_operators_write_what_presidios_anonymizer_writes(ours: MaskConfig, theirs: OperatorConfig) -> None:
    text = "Mail anna@example.org, bert@example.org and anna@example.org."
    spans = [(5, 21), (23, 39), (44, 60)]
    segment = Segment("/0", Origin.USER, text)
    findings = [Finding("pii.email", "pii", start, end, 1.0, entity="EMAIL") for start, end in spans]
    written = apply_edits(text, mask_segment(segment, findings, {"*": ours}, Vault(()), b"k", Direction.INPUT))
    results = [RecognizerResult("EMAIL", start, end, 1.0) for start, end in spans]
    assert written == AnonymizerEngine().anonymize(text, results, {"DEFAULT": theirs}).text
