"""Packs from YAML files, with the place and the remedy in every error. Reads files at load time only."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from sigmaguard.errors import ConfigError
from sigmaguard.policy.explain import explain
from sigmaguard.policy.pack import Pack

T = TypeVar("T")

_MERGE = "tag:yaml.org,2002:merge"  # `<<` may stand there twice: both are merged
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError where it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read: {error.strerror or error}") from error


def parse_yaml(text: str, kind: type[T], where: str) -> T:
    """YAML text as a value of `kind`. Raises ConfigError with the line or the field's path."""
    return convert(raw_yaml(text, where), kind, where)


def raw_yaml(text: str, where: str) -> object:
    """YAML text as plain values. Raises ConfigError with the line, also where a key is written twice."""
    try:
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_doubled(node, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where}:{line} is not YAML: {problem}") from error
    except ConfigError:
        raise
    except ValueError as error:  # a date such as 2026-13-40
        raise ConfigError(f"{where}: is not YAML: {error}; put the value in quotes") from error


def _refuse_doubled(top: yaml.Node, where: str) -> None:
    """Raises ConfigError where a mapping holds a key twice: YAML keeps the last one and says nothing."""
    waiting, seen = [top], {id(top)}  # an alias leads to a node that was there before, perhaps to itself
    while waiting:
        node = waiting.pop()
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                inner += (key, value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                    continue
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines:
                    raise ConfigError(
                        f"{where}: line {line}: `{key.value}` is written twice, first in line {lines[name]}; join them"
                    )
                lines[name] = line
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        fresh = [one for one in inner if id(one) not in seen]
        seen.update(map(id, fresh))
        waiting += fresh


def convert(raw: object, kind: type[T], where: str, *, strict: bool = True) -> T:
    """Plain values as a value of `kind`; unless `strict`, numbers and switches may be text.

    Raises ConfigError with the field's path and the nearest name, the choices or the bounds.
    """
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {explain(raw, kind, str(error), strict=strict)}") from error


def find_pack(name_or_path: str, root: Path) -> Path:
    """The file of a pack: a path as given, or a name among those under `root`. Raises ConfigError."""
    named = root / "packs" / f"{name_or_path}.yaml"
    if re.fullmatch(r"[\w-]+", name_or_path) and named.is_file():
        return named
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = sorted(file.stem for file in (root / "packs").glob("*.yaml"))
    raise ConfigError(f"no policy `{name_or_path}`: neither a file nor one of {', '.join(known)}")


def load_pack(name_or_path: str, root: Path) -> tuple[Pack, Path]:
    """A pack with everything it extends merged in, and the folder its rule files are relative to."""
    path = find_pack(name_or_path, root)
    raw = _merged(path, root, ())
    return convert(raw, Pack, str(path.name)), path.parent


def pack_from(raw: Mapping[str, object], root: Path, where: str) -> Pack:
    """A pack given as plain values (the admin API, an agent's custom policy), bases merged in."""
    return convert(_on_its_base(raw, root, (), where), Pack, where)


def _merged(path: Path, root: Path, above: tuple[Path, ...]) -> dict[str, object]:
    """The values of a pack file laid on those of its base; `above` are the files that lead here."""
    # files, not names: your own `basic.yaml` may extend the shipped `basic`
    if path.resolve() in (one.resolve() for one in above):
        raise ConfigError(f"{above[0].name}: extends itself through {' -> '.join(one.name for one in (*above, path))}")
    raw = raw_yaml(read_text(path), path.name)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name}: a pack is a mapping with `name:` at its top")
    return _on_its_base(raw, root, (*above, path), path.name)


def _on_its_base(raw: Mapping[str, object], root: Path, above: tuple[Path, ...], where: str) -> dict[str, object]:
    base = raw.get("extends")
    if not isinstance(base, str):
        return dict(raw)
    try:
        found = find_pack(base, root)
    except ConfigError as error:
        itself = " (a pack cannot extend itself)" if base == raw.get("name") else ""
        raise ConfigError(f"{where}: extends: {error}{itself}") from error
    return merge(_merged(found, root, above), raw)


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """`over` laid on `base`, mappings key by key, everything else replaced; cases are not inherited."""
    result = {key: value for key, value in base.items() if key != "cases"}
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = merge(old, value)
        else:
            result[key] = value
    return result
