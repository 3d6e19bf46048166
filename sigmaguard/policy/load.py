"""Packs from YAML files, with the place and the remedy in every error. Reads files at load time only."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from sigmaguard.errors import ConfigError
from sigmaguard.policy.pack import Pack

T = TypeVar("T")

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`(?: - at `\$(?P<at>[^`]*)`)?")
_PLACE = re.compile(r"(?P<what>.*?) - at `\$(?P<at>[^`]*)`$", re.S)


def parse_yaml(text: str, kind: type[T], where: str) -> T:
    """YAML text as a value of `kind`. Raises ConfigError with the line or the field's path."""
    return convert(raw_yaml(text, where), kind, where)


def raw_yaml(text: str, where: str) -> object:
    """YAML text as plain values. Raises ConfigError with the line."""
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}:{line} is not YAML: {getattr(error, 'problem', error)}") from error


def convert(raw: object, kind: type[T], where: str) -> T:
    """Plain values as a value of `kind`. Raises ConfigError with the field's path and the nearest name."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_explain(str(error), kind)}") from error


def _explain(message: str, kind: type) -> str:
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown:
        field, at = unknown["field"], (unknown["at"] or "").lstrip(".")
        near = difflib.get_close_matches(field, _field_names(kind), n=1)
        remedy = f"; did you mean `{near[0]}`?" if near else "; remove it"
        return f"unknown field `{field}`{f' at {at}' if at else ''}{remedy}"
    placed = _PLACE.match(message)
    if placed:
        return f"{placed['what'][0].lower()}{placed['what'][1:]} at `{placed['at'].lstrip('.') or 'the top'}`"
    return message


def _field_names(kind: type) -> list[str]:
    """Every field name of a struct and of the structs inside it."""
    names: list[str] = []
    seen: set[object] = set()

    def walk(of: object) -> None:
        if of in seen:
            return
        seen.add(of)
        if isinstance(of, type) and issubclass(of, msgspec.Struct):
            names.extend(of.__struct_fields__)
            for annotation in msgspec.structs.fields(of):
                walk(annotation.type)
        for inner in getattr(of, "__args__", ()):
            walk(inner)

    walk(kind)
    return names


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
    base = raw.get("extends")
    merged = dict(raw)
    if isinstance(base, str):
        merged = merge(_merged(find_pack(base, root), root, ()), raw)
    return convert(merged, Pack, where)


def _merged(path: Path, root: Path, above: tuple[str, ...]) -> dict[str, object]:
    if path.stem in above:
        raise ConfigError(f"{path.name}: extends itself through {' -> '.join((*above, path.stem))}")
    raw = raw_yaml(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name}: a pack is a mapping with `name:` at its top")
    base = raw.get("extends")
    if not isinstance(base, str):
        return raw
    return merge(_merged(find_pack(base, root), root, (*above, path.stem)), raw)


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
