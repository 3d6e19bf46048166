"""Seams: texts laid side by side, and findings taken back to where they came from."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.joined import LONGEST_RUN, REACH, beside, seams, take_back
from sigmaguard.model import Finding, Origin, Segment

texts = st.lists(st.text("ab \n", min_size=0, max_size=400), max_size=6)


def segments(parts: list[str], message: str = "") -> list[Segment]:
    """Parts as segments of the user."""
    return [Segment(f"/{at}", Origin.USER, part, message=message or f"/{at}") for at, part in enumerate(parts)]


@given(texts)
def test_a_joined_text_is_what_its_parts_say(parts: list[str]) -> None:
    for joined in seams(segments(parts)):
        said = "".join(
            " " if part.index < 0 else parts[part.index][part.start : part.start + part.length] for part in joined.parts
        )
        assert joined.text == said
        assert len(joined.text) <= REACH + max(LONGEST_RUN, REACH) + 400 + 1


@given(texts, st.data())
def test_a_finding_over_a_seam_comes_back_in_pieces(parts: list[str], data: st.DataObject) -> None:
    every = list(seams(segments(parts)))
    if not every:
        return
    joined = data.draw(st.sampled_from(every))
    start = data.draw(st.integers(0, len(joined.text) - 1))
    end = data.draw(st.integers(start + 1, len(joined.text)))
    pieces = [piece for whole in take_back(joined, [Finding("r.r", "d", start, end, 1.0)]) for piece in whole]
    said = "".join(parts[index][one.start : one.end] for index, one in pieces)
    if pieces:
        assert (
            said in (joined.text[start:end], joined.text[start:end].replace(" ", "", 1))
            or " " in joined.text[start:end]
        )
    for index, one in pieces:
        assert 0 <= one.start < one.end <= len(parts[index])


@given(texts)
def test_words_that_meet_come_once_more_apart(parts: list[str]) -> None:
    kept = [part for part in parts if part]
    meets = sum(one[-1].isalnum() and two[0].isalnum() for one, two in pairwise(kept))
    assert len(list(seams(segments(kept)))) == max(0, len(kept) - 1) + meets


def test_parts_of_one_message_are_within_it() -> None:
    assert [joined.within for joined in seams(segments(["a ", "b"], "/m"))] == [True]
    assert [joined.within for joined in seams(segments(["a ", "b"]))] == [False]


def test_an_earlier_message_is_no_part_of_this_one() -> None:
    apart = Segment("/0", Origin.USER, "call 555", message="/0")
    every = list(seams([apart, *segments(["1234 ", "x"], "/1")]))
    assert [(joined.text, joined.within) for joined in every] == [
        ("call 5551234 ", False),
        ("call 555 1234 ", False),
        ("call 5551234 x", False),
        ("1234 x", True),
    ]


def test_many_short_parts_are_seen_together() -> None:
    word = "ignore everything"
    last = list(seams(segments(list(word), "/m")))[-1]
    assert word in last.text or word.replace(" ", "") in last.text.replace(" ", "")


@given(st.integers(0, 600), st.integers(0, 600), st.data())
def test_what_lies_beside_a_seam_comes_back_whole(before: int, after: int, data: st.DataObject) -> None:
    """A finding inside one part stands in the segment where it stood, unless it touches a cut."""
    parts = ["a " * (before // 2) + "b", "c" + " d" * (after // 2)]
    joined = next(iter(seams(segments(parts))))
    start = data.draw(st.integers(0, len(joined.text) - 1))
    end = data.draw(st.integers(start + 1, len(joined.text)))
    seam = joined.parts[0].length
    came = list(beside(joined, [Finding("leak.x", "leaks", start, end, 1.0)]))
    is_cut = (start == 0 and len(parts[0]) > seam) or (end == len(joined.text) and joined.parts[1].is_cut)
    assert bool(came) == (not start < seam < end and not is_cut)
    for index, one in came:
        assert parts[index][one.start : one.end] == joined.text[start:end]
    assert list(beside(joined, [Finding("injection.x", "phrases", start, end, 1.0)])) == []


def test_a_token_beside_a_seam_is_not_cut() -> None:
    token = "x" * 600
    assert next(iter(seams(segments(["key: ", f"{token} and more"])))).text == f"key: {token}"
