"""The policy packs and rules that ship with Sigmaguard, as data files."""

from importlib.resources import files
from pathlib import Path


def policies_root() -> Path:
    """The folder that holds `packs/` and `rules/`."""
    return Path(str(files(__name__)))
