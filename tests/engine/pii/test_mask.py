"""Masking: the provider sees no value, the sender gets every one back, and nothing that was there is touched."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.pii import build
from sigmaguard.mask import Vault, entity_of, mask_segment, merged
from sigmaguard.model import Direction, Finding, Origin, Segment
from sigmaguard.policy.pack import MaskConfig
from sigmaguard.reading import Reading
from sigmaguard.synthetic import synthetic
from sigmaguard.wire.body import apply_edits

PII = build({}, [])
KEY = b"a key of the test"
VALUES = (
    *("anna.schmidt@example.org", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "+49 151 23456789"),
    *("Musterstraße 12a, 10115 Berlin", "742 Evergreen Terrace, Springfield, IL 62704", "15 070649 C 103"),
    *("8.8.8.8", "00:1A:2B:3C:4D:5E", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "219-09-9998", "DE136695976"),
)
WORDS = (
    *(
        "please",
        "schreibe an",
        "the order",
        "<EMAIL_1>",
        "EMAIL_2",
        "<b>",
        "&lt;PHONE_1&gt;",
        "x < y",
        "S3",
        "\n",
        "und",
    ),
    *("<CARD_1", "Ende.", '"quoted"', "back\\slash", "<EMAIL-3>", "Grüße"),
)


def find(segment: Segment) -> list[Finding]:
    return PII.detect((Passage(segment, (Reading(segment.text),)),))[0]


def masked(
    texts: list[str], vault: Vault, masks: dict[str, MaskConfig] | None = None, *, is_json: bool = False
) -> list[str]:
    result = []
    for at, text in enumerate(texts):
        segment = Segment(f"/{at}", Origin.USER, text, is_json=is_json)
        edits = mask_segment(segment, find(segment), masks or {}, vault, KEY, Direction.INPUT)
        result.append(apply_edits(text, edits))
    return result


texts = st.lists(st.sampled_from(WORDS) | st.sampled_from(VALUES), max_size=10).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3))
def test_the_provider_sees_no_value_and_the_sender_gets_all_back(conversation: list[str]) -> None:
    vault = Vault(conversation)
    sent = masked(conversation, vault)
    assert not any(value in text for value in VALUES for text in sent)
    assert [vault.restore(text) for text in sent] == conversation


@settings(max_examples=100, deadline=None)
@given(texts, st.lists(st.integers(0, 300), max_size=10))
def test_an_answer_that_repeats_the_request_comes_back_whole_in_any_chunking(text: str, cuts: list[int]) -> None:
    vault = Vault([text])
    answer = masked([text], vault)[0]
    restorer = vault.restorer()
    places = sorted({min(cut, len(answer)) for cut in cuts})
    pieces = [answer[start:end] for start, end in zip([0, *places], [*places, len(answer)], strict=True)]
    assert "".join([restorer.feed(piece) for piece in pieces] + [restorer.finish()]) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_a_conversation_sent_again_keeps_its_placeholders(turns: list[str], new: str) -> None:
    # the last turn may bring text that takes a number away: one that was there is never issued
    if re.search(r"(?i)(EMAIL|PHONE|CARD)", new):
        new = "a new turn with 8.8.8.8"
    first = masked(turns, Vault(turns))
    again = [*turns, new]
    assert masked(again, Vault(again))[: len(turns)] == first


@settings(max_examples=100, deadline=None)
@given(texts)
def test_synthetic_values_come_back_too(text: str) -> None:
    vault = Vault([text])
    sent = masked([text], vault, {"*": MaskConfig(operator="synthetic")})[0]
    assert not any(value in sent for value in VALUES)
    assert vault.restore(sent) == text


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("ab", max_size=2), texts, min_size=1, max_size=3))
def test_tool_arguments_stay_json(arguments: dict[str, str]) -> None:
    for source in (json.dumps(arguments), json.dumps(arguments, ensure_ascii=False, indent=1)):
        vault = Vault([source])
        sent = masked([source], vault, is_json=True)[0]
        seen = json.loads(sent)
        assert not any(value in one for value in VALUES for one in seen.values())
        assert json.loads(vault.restore(sent, is_json=True)) == arguments


def test_an_escape_before_a_value_is_not_part_of_it() -> None:
    source = json.dumps({"body": "Hi\nanna.schmidt@example.org\tor\u00fcber"})
    assert json.loads(masked([source], Vault([source]), is_json=True)[0]) == {"body": "Hi\n<EMAIL_1>\tor\u00fcber"}


def test_a_placeholder_that_was_there_is_never_issued() -> None:
    text = "Explain <EMAIL_1>, email-2 and &lt;EMAIL_3&gt; to anna.schmidt@example.org"
    vault = Vault([text])
    assert masked([text], vault) == ["Explain <EMAIL_1>, email-2 and &lt;EMAIL_3&gt; to <EMAIL_4>"]
    assert vault.restore("<EMAIL_1> <EMAIL_4>") == "<EMAIL_1> anna.schmidt@example.org"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MaskConfig(), "Karte <CARD_1>."),
        (MaskConfig(operator="redact"), "Karte [CARD]."),
        (MaskConfig(operator="replace", text="***"), "Karte ***."),
        (MaskConfig(operator="partial", keep=4), "Karte **** 1111."),
    ],
)
def test_operators(config: MaskConfig, expected: str) -> None:
    text = "Karte 4111 1111 1111 1111."
    vault = Vault([text])
    assert masked([text], vault, {"CARD": config}) == [expected]
    assert bool(vault) is (config.operator == "placeholder")


def test_a_hash_is_keyed_and_tells_values_apart() -> None:
    config = {"EMAIL": MaskConfig(operator="hash")}
    one, same, other = masked(["a@example.org", "a@example.org", "b@example.org"], Vault(()), config)
    assert one == same != other
    assert "example" not in one
    segment = Segment("/0", Origin.USER, "a@example.org")
    foreign = mask_segment(segment, find(segment), config, Vault(()), b"another key", Direction.INPUT)
    assert foreign[0].text != one


def test_nothing_is_reversible_on_the_way_out() -> None:
    segment = Segment("/0", Origin.ASSISTANT, "Write to anna.schmidt@example.org")
    vault = Vault(())
    edits = mask_segment(segment, find(segment), {}, vault, KEY, Direction.OUTPUT)
    assert [edit.text for edit in edits] == ["[EMAIL]"]
    assert not vault


def test_a_vault_shows_no_value() -> None:
    vault = Vault(())
    vault.placeholder("EMAIL", "anna.schmidt@example.org")
    assert "anna" not in repr(vault) + str(vault)


@pytest.mark.parametrize(
    "value", ["4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "anna@example.org", "Anna Berg", "x-1"]
)
@pytest.mark.parametrize("entity", ["CARD", "IBAN", "EMAIL", "PERSON", "ODD"])
def test_synthetic_values_are_stable_and_of_the_same_kind(entity: str, value: str) -> None:
    assert synthetic(entity, value, KEY) == synthetic(entity, value, KEY)


@pytest.mark.parametrize("value", ["4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "anna.schmidt@example.org"])
def test_a_synthetic_value_is_found_as_what_it_stands_for(value: str) -> None:
    entity = find(Segment("/0", Origin.USER, value))[0].entity
    made = synthetic(entity, value, KEY)
    assert made != value
    assert [one.entity for one in find(Segment("/0", Origin.USER, made))] == [entity]


def test_overlapping_findings_become_one_edit() -> None:
    findings = [
        Finding("pii.email", "pii", 5, 20, 1.0, entity="EMAIL"),
        Finding("leak.host", "leaks", 15, 25, 0.5, entity="HOST"),
        Finding("pii.phone", "pii", 25, 30, 0.5, entity="PHONE"),
    ]
    assert merged(findings) == [(5, 25, "EMAIL"), (25, 30, "PHONE")]


@pytest.mark.parametrize(
    ("finding", "entity"),
    [
        (Finding("pii.email", "pii", 0, 1, 1.0), "EMAIL"),
        (Finding("dictionary.x", "dictionary", 0, 1, 1.0, entity="Projekt Grün"), "PROJEKT_GR_N"),
        (Finding("dictionary.7", "dictionary", 0, 1, 1.0), "VALUE"),
    ],
)
def test_an_entity_is_always_fit_for_a_placeholder(finding: Finding, entity: str) -> None:
    assert entity_of(finding) == entity
    vault = Vault(())
    assert vault.restore(vault.placeholder(entity_of(finding), "value")) == "value"


@given(value=st.sampled_from(VALUES), keep=st.integers(-40, 40))
def test_a_partial_mask_never_shows_more_than_a_third(value: str, keep: int) -> None:
    """A negative `keep` once showed all but that many characters; packs refuse it, code may still ask for it."""
    segment = Segment("/0", Origin.USER, value)
    finding = Finding("pii.any", "pii", 0, len(value), 1.0, entity="ANY")
    config = {"ANY": MaskConfig(operator="partial", keep=keep)}
    edit = mask_segment(segment, [finding], config, Vault(), KEY, Direction.INPUT)[0]
    shown = edit.text.removeprefix("****").removeprefix(" ")
    assert value.endswith(shown) and len(shown) <= min(max(keep, 0), len(value) // 3)
