"""One running guard a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.guard_plane import GuardPlane, guard_plane, guard_policy


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[GuardPlane]:
    async with guard_plane(guard_policy(tmp_path)) as running:
        yield running
