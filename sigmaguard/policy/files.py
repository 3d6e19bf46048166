"""Which files a pack's options name. Knows where they lie, not what they hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def beside(value: object, folder: Path, found: list[Path]) -> object:
    """An option with every file name in it made a path from the pack's folder; the files go to `found`.

    A string names a file where there is one of that name beside the pack or where the process runs.
    """
    if isinstance(value, str):
        return _path(value, folder, found)
    if isinstance(value, Mapping):
        return {key: beside(one, folder, found) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [beside(one, folder, found) for one in value]
    return value


def _path(name: str, folder: Path, found: list[Path]) -> str:
    if not ("." in name or "/" in name) or "\n" in name or "\0" in name or len(name) > 1_000:
        return name
    for path in (folder / name, Path(name)):
        if path.is_file():
            found.append(path)
            return str(path)
    return name
