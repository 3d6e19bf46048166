"""Spans taken one after the other, against the plain way to say it; and that many of them stay quick to take."""

import time

from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.mask import Vault
from sigmaguard.model import Finding
from sigmaguard.pii.analyzer import Found, resolve
from sigmaguard.pii.windows import Window, near
from sigmaguard.taken import Taken
from sigmaguard.wire.json_text import fit_findings

MANY = 20_000  # values in a list of customers; a step for each pair of them takes half a minute
MOST_S = 5.0

spans = st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(spans, max_size=40))
def test_a_span_is_taken_where_nothing_of_it_was(wanted: list[tuple[int, int]]) -> None:
    taken, kept = Taken(), list[tuple[int, int]]()
    for start, end in wanted:
        is_free = all(end <= low or high <= start for low, high in kept)
        assert taken.take(start, end) is is_free
        if is_free:
            kept.append((start, end))


@given(st.lists(st.tuples(spans, st.integers(0, 3)), max_size=40))
def test_of_values_that_overlap_the_better_are_kept_in_order(wanted: list[tuple[tuple[int, int], int]]) -> None:
    found = [Found(start, end, score / 3, "X", 0, 0) for (start, end), score in wanted]
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (-one.score, one.start - one.end, one.start)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    kept.sort(key=lambda one: one.start)
    assert [(one.start, one.end) for one in resolve(found)] == [(one.start, one.end) for one in kept]


@given(st.lists(st.integers(0, 400), max_size=8), st.lists(st.integers(1, 60), max_size=8))
def test_the_parts_near_a_word_are_the_same_as_when_each_is_asked(ends: list[int], gaps: list[int]) -> None:
    text = "x" * 30 + " " + "y" * 369
    parts, at = list[Window](), 0
    for size in gaps:
        parts.append(Window(at, at + size, 1))
        at += size + 3
    one_by_one = [window for part in parts for window in near(text, [part], sorted(ends), 50)]
    assert sorted(near(text, parts, sorted(ends), 50), key=_span) == sorted(one_by_one, key=_span)


def _span(window: Window) -> tuple[int, int]:
    return window.start, window.end


def test_many_values_take_no_time_for_each_pair() -> None:
    since = time.thread_time()
    assert len(resolve([Found(at * 8, at * 8 + 7, 1.0, "X", 0, at) for at in range(MANY)])) == MANY

    parts = [Window(at * 200, at * 200 + 120, 4) for at in range(MANY)]
    assert len(near(" " * (MANY * 200), parts, [at * 200 for at in range(MANY)], 80)) == MANY

    source = '"' + "\\n".join(f"anna{at:05d}" for at in range(MANY)) + '"'
    findings = [Finding("pii.x", "pii", at * 11 + 1, at * 11 + 10, 1.0) for at in range(MANY)]
    assert len(fit_findings(source, findings)) == MANY

    vault = Vault()
    names = [vault.placeholder("EMAIL", f'anna "{at}"') for at in range(MANY)]
    restored = vault.restore('{"to": "' + " ".join((*names, *(name[1:-1] for name in names))) + '"}', is_json=True)
    assert restored.count("anna") == 2 * MANY
    assert time.thread_time() - since < MOST_S
