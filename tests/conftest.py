"""Options of the whole suite."""

from pathlib import Path

import pytest
from hypothesis import settings

# what an example may take says more about the machine than about the code; speed is measured in `bench/`
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--golden` writes the golden files anew instead of comparing with them."""
    parser.addoption("--golden", action="store_true", help="write golden files anew; review them as a diff")


class Golden:
    """A file that says what came out the last time somebody looked."""

    def __init__(self, *, is_writing: bool) -> None:
        self._is_writing = is_writing

    def check(self, name: str, text: str) -> None:
        """Compares with `tests/golden/<name>`, or writes it."""
        path = GOLDEN / name
        if self._is_writing:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{name} differs: look at it, then run pytest --golden"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden files."""
    return Golden(is_writing=request.config.getoption("--golden"))
