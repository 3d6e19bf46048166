"""The verdict memory: bounded, recent answers stay, old ones go."""

from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.digests import content_digest
from sigmaguard.memory import Remembered, VerdictMemory


def key(number: int) -> tuple[str, str, bytes]:
    """A key."""
    return "scope", "user", content_digest(str(number))


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(2, 20))
def test_it_stays_bounded_and_keeps_what_is_used(numbers: list[int], capacity: int) -> None:
    memory = VerdictMemory(capacity)
    recent: list[int] = []
    kept = max(1, capacity * 3 // 8)  # three quarters are for texts, in two generations
    for number in numbers:
        known = memory.get(key(number))
        if known is None:
            assert number not in recent[-kept:]
            memory.put(key(number), Remembered((), float(number)))
        else:
            assert known.score == number
        recent = [one for one in recent if one != number] + [number]
        assert len(memory) <= capacity + 1
    assert memory.found + memory.missed == len(numbers)
    memory.clear()
    assert len(memory) == 0


def test_two_texts_have_two_digests_even_with_lone_surrogates() -> None:
    assert len({content_digest(text) for text in ("", "a", "A", "\ud800", "a\u0301", "á")}) == 6
