"""How far the process that ships has come, told to the others through a small file. Knows figures only."""

from pathlib import Path

import msgspec

NAME = "ship.state"


class State(msgspec.Struct, frozen=True):
    """Figures of the shipping process; `oldest_at` (Unix seconds) of the oldest record not yet stored.

    `lost_heads` chain heads it saw that the database no longer has.
    """

    waiting_records: int
    oldest_at: float | None
    is_down: bool
    shipped: int
    lost_heads: int = 0  # a state left by an older version has none


def save_state(folder: Path, state: State) -> None:
    """Leaves the figures for others to read; a full disk leaves the old ones."""
    draft = folder / (NAME + ".new")
    try:
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(folder / NAME)
    except OSError:
        return


def load_state(folder: Path) -> State | None:
    """The figures last left, None where there are none."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
