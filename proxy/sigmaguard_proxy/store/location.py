"""Where the database of a data folder is. Opens nothing."""

from pathlib import Path

from sigmaguard_proxy.store.database import sqlite_url

FILE = "sigmaguard.sqlite"


def locate(data: Path, database_url: str) -> str:
    """The URL given, or that of the SQLite file under the data folder."""
    return database_url or sqlite_url(str((data / FILE).absolute()))


def is_there(data: Path, database_url: str) -> bool:
    """Whether there is a database to open: one elsewhere, or the file."""
    return bool(database_url) or (data / FILE).is_file()
