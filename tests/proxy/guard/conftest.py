"""One running guard a test."""

from collections.abc import AsyncIterator

import pytest

from tests.guard_plane import GuardPlane, guard_plane, guard_policy


@pytest.fixture
async def guard() -> AsyncIterator[GuardPlane]:
    async with guard_plane(guard_policy()) as running:
        yield running
