"""What a server made when it started is not walked again; what it makes later is still collected."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from sigmaguard_proxy.serve import settle_memory


class Node:
    """An object that can hold itself."""

    def __init__(self) -> None:
        self.me: Node | None = None


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_the_start_is_settled_and_garbage_made_later_is_not() -> None:
    kept = [Node() for _ in range(1_000)]
    settle_memory()
    assert gc.get_freeze_count() > len(kept)
    assert not any(isinstance(one, Node) for one in gc.get_objects())
    later = Node()
    later.me = later
    gone = weakref.ref(later)
    del later
    gc.collect()
    assert gone() is None
