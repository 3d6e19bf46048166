"""Windows cover every token, overlap as promised and never run over the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.injection.windows import windows

SIZES = st.integers(1, 200).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


@given(count=st.integers(0, 2000), sizes=SIZES)
def test_every_token_is_covered_and_no_window_is_larger_than_its_size(count: int, sizes: tuple[int, int]) -> None:
    size, stride = sizes
    found = list(windows(count, size, stride))

    assert {place for start, end in found for place in range(start, end)} == set(range(count))
    assert all(0 <= start <= end <= count and end - start <= size for start, end in found)


@given(count=st.integers(1, 1500), sizes=SIZES, data=st.data())
def test_every_run_as_long_as_the_overlap_lies_whole_in_one_window(
    count: int, sizes: tuple[int, int], data: st.DataObject
) -> None:
    size, stride = sizes
    length = min(size - stride, count)
    start = data.draw(st.integers(0, count - length))

    assert any(low <= start and start + length <= high for low, high in windows(count, size, stride))


@pytest.mark.parametrize(("size", "stride"), [(10, 0), (10, 11), (10, -1)])
def test_refuses_a_stride_that_would_skip_or_stall(size: int, stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        list(windows(100, size, stride))
