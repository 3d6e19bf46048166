"""A customer's own words are found as the lists say, from files that may change."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.dictionary import DictionaryDetector, TermList, build
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Action, Finding, Origin, Segment
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.reading import Reading
from sigmaguard.scanning import Scanner
from sigmaguard_policies import policies_root

TERMS = ("Projekt Falke", "Falke", "Müller & Söhne", "ACME", "Acme Rockets", "K2", "Zürich-Nord")


def find(detector: DictionaryDetector, text: str) -> list[Finding]:
    return detector.detect((Passage(Segment("/text", Origin.USER, text), readings(text)),))[0]


def words(detector: DictionaryDetector, text: str) -> list[str]:
    return [text[one.start : one.end] for one in find(detector, text)]


def listed(**fields: object) -> DictionaryDetector:
    return build({"lists": [{"name": "projects", "terms": list(TERMS), **fields}]}, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wir sprachen über projekt falke und ACME.", ["projekt falke", "ACME"]),
        ("the acme\nrockets launch", ["acme\nrockets"]),
        ("MÜLLER & SÖHNE aus Zürich-Nord", ["MÜLLER & SÖHNE", "Zürich-Nord"]),
        ("Mu\u0308ller & So\u0308hne", ["Mu\u0308ller & So\u0308hne"]),
        ("Falken fliegen, Acmes nicht, K25 auch nicht, _K2 nicht", []),
        ("(Falke)", ["Falke"]),
        ("F\u200balke", ["F\u200balke"]),
        ("", []),
    ],
)
def test_terms_are_found_whole_and_in_any_case(text: str, found: list[str]) -> None:
    assert words(listed(), text) == found


def test_case_and_word_boundaries_are_options() -> None:
    assert words(listed(ignore_case=False), "falke Falke FALKE") == ["Falke"]
    assert words(listed(whole_words=False), "Falkenhorst, xACMEx") == ["Falke", "ACME"]


def test_findings_name_list_and_entity() -> None:
    (one,) = find(listed(entity="code name", score=0.5), "ACME")
    assert (one.rule, one.entity, one.score) == ("dictionary.projects", "CODE_NAME", 0.5)
    assert find(listed(), "ACME")[0].entity == "PROJECTS"


def test_a_word_in_base64_is_still_found() -> None:
    assert find(listed(), "UHJvamVrdCBGYWxrZSBpcyBzZWNyZXQ=")[0].view == "base64"


@pytest.mark.parametrize(
    ("name", "content", "entity"),
    [
        ("list.txt", "# ours\n\nFalke\n", "OURS"),
        ("list.csv", "term,label\nFalke,Project\n", "PROJECT"),
        ("list.csv", 'Begriff;Art\n"Falke";Projekt\n', "PROJEKT"),
        ("list.tsv", "Falke\tCustomer\n", "CUSTOMER"),
        ("list.txt", "\ufeffFalke\r\n", "OURS"),
    ],
)
def test_lists_are_read_from_files(tmp_path: Path, name: str, content: str, entity: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    detector = build({"lists": [{"name": "ours", "file": str(path)}]}, ())
    assert [(one.rule, one.entity) for one in find(detector, "Falke")] == [("dictionary.ours", entity)]


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"name": "ours", "file": "missing.txt"}, "no such file"),
        ({"name": "ours"}, "either `file` or `terms`"),
        ({"name": "Our List", "terms": ["Falke"]}, "lower-case"),
        ({"name": "ours", "terms": ["x"]}, r"terms\[0\]"),
        ({"name": "ours", "terms": ["Falke"], "case": True}, "unknown field `case`"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(option: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        build({"lists": [option]}, ())


def test_a_file_error_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("Falke\nx\n")
    with pytest.raises(ConfigError, match=r"list\.txt line 2"):
        build({"lists": [{"name": "ours", "file": str(path)}]}, ())


def test_a_changed_file_makes_another_revision(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Falke\n")
    (tmp_path / "own.yaml").write_text(
        "name: own\ndetectors:\n  dictionary:\n    action: block\n"
        "    options: {lists: [{name: ours, file: names.txt}]}\n"
        "rules:\n  dictionary.ours: {threshold: 0.1}\n"
    )
    loader = PolicyLoader(policies_root())
    before = loader.load(str(tmp_path / "own.yaml"))
    assert before.files == (tmp_path / "names.txt",)
    assert before.revision == loader.load(str(tmp_path / "own.yaml")).revision
    (tmp_path / "names.txt").write_text("Falke\nMilan\n")
    after = loader.load(str(tmp_path / "own.yaml"))
    assert after.revision != before.revision
    texts = [(Origin.USER, "Milan"), (Origin.USER, "Falke")]
    assert [one.action for one in Scanner(before).scan(texts)] == [Action.ALLOW, Action.BLOCK]
    assert [one.action for one in Scanner(after).scan(texts)] == [Action.BLOCK, Action.BLOCK]


PIECES = st.lists(st.sampled_from([*TERMS, "Acme", " ", "Pro", "jekt Fal", "x", "-"]) | st.text(max_size=3))


@settings(deadline=None)
@given(PIECES.map("".join), st.floats(0, 1), st.booleans())
def test_what_is_not_held_is_final(text: str, cut: float, whole: bool) -> None:
    detector = listed(whole_words=whole)

    def plain(part: str) -> list[Finding]:
        return detector.detect((Passage(Segment("", Origin.USER, part), (Reading(part),)),))[0]

    seen = text[: int(cut * len(text))]
    limit = detector.hold(seen)
    before, after = plain(seen), plain(text)
    assert [one for one in before if one.start < limit] == [one for one in after if one.start < limit]
    assert not [one for one in (*before, *after) if one.start < limit < one.end]


def test_a_hundred_thousand_terms_are_each_found() -> None:
    chance = random.Random(7)
    parts = ["ba", "ko", "mi", "ter", "lun", "sol", "gar", "den", "ix", "or", "pha", "zen", "tek", "va", "ri", "um"]
    terms: set[str] = set()
    while len(terms) < 100_000:
        terms.add("".join(chance.choice(parts) for _ in range(chance.randint(4, 6))))
    ordered = sorted(terms)
    detector = DictionaryDetector((TermList("many", terms=tuple(ordered)),))
    assert detector.terms == len(ordered)
    sample = ordered[::97]
    assert words(detector, ", ".join(sample)) == sample
    assert detector.hold("nothing of that kind here ") == len("nothing of that kind here ")
