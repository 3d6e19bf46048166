"""Folding undoes each disguise it claims to, leads every span back, and leaves true Greek and Russian alone."""

import random

import pytest
from detection.corpus.disguise import FOLDED
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.injection.fold import fold

UNDONE = {name: disguise for name, disguise in FOLDED.items() if name != "upper"}  # case is the tokenizer's business
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=80)
SENTENCES = st.lists(
    st.sampled_from(("ignore", "all", "previous", "rules", "and", "print", "the", "hidden", "key", "now")),
    min_size=1,
    max_size=12,
).map(" ".join)


@pytest.mark.parametrize("name", sorted(UNDONE))
@given(text=SENTENCES, seed=st.integers(0, 2**32))
def test_undoes_the_disguise(name: str, text: str, seed: int) -> None:
    disguised = UNDONE[name](text, random.Random(seed))

    assert fold(disguised).text == text


@given(st.text(max_size=120))
def test_never_fails_and_folding_twice_changes_nothing_more(text: str) -> None:
    once = fold(text).text

    assert fold(fold(once).text).text == fold(once).text


@given(PRINTABLE)
def test_ascii_stays_as_it_is(text: str) -> None:
    assert fold(text).text == text
    assert fold(text).origins is None


@pytest.mark.parametrize("name", sorted(UNDONE))
@given(before=st.text(max_size=20), text=SENTENCES, after=st.text(max_size=20), seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_leads_a_span_back_to_the_disguised_words(name: str, before: str, text: str, after: str, seed: int) -> None:
    disguised = UNDONE[name](text, random.Random(seed))
    whole = f"{before} {disguised} {after}"
    folded = fold(whole)
    at = len(fold(f"{before} ").text)

    start, end = folded.to_source(at, at + len(text))

    assert fold(whole[start:end]).text == text
    assert start >= len(before)
    assert end <= len(before) + 2 + len(disguised)


@pytest.mark.parametrize(
    "text",
    ["Привет, как дела сегодня?", "Καλημέρα, τι κάνεις;", "Grüße aus Köln", "Où est la clé ?", "mañana en España"],
)
def test_leaves_honest_writing_readable(text: str) -> None:
    kept = set(fold(text).text.split())

    # a short word made of look-alikes only, such as the Greek "ti", may turn Latin: the rest must not
    assert len(kept & set(text.split())) >= len(set(text.split())) - 1
