"""Both finders over the sources of installed packages: real code, hardly a secret in it, many look-alikes."""

import importlib.util
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaks.finders import Finder
from leaks.material import fingerprint


def package_files(package: str) -> list[Path]:
    """Every Python file of an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; pip install it or name another with --packages")
    return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


def compare(package: str, finders: Sequence[Finder]) -> dict[str, Any]:
    """Counts by rule, and each single finding as (file, line, rule, digest); no value is kept."""
    files = package_files(package)
    found: dict[str, list[dict[str, object]]] = {finder.name: [] for finder in finders}
    size = 0
    root = files[0].parent
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        size += len(text)
        for finder in finders:
            for one in finder.find(path.name, text):
                found[finder.name].append({
                    "file": str(path.relative_to(root)) if path.is_relative_to(root) else path.name,
                    "line": text.count("\n", 0, one.start) + 1,
                    "rule": one.rule,
                    "value": fingerprint(text[one.start : one.end]),
                })  # fmt: skip
    places = {name: {(one["file"], one["line"]) for one in every} for name, every in found.items()}
    names = list(places)
    return {
        "package": package,
        "files": len(files),
        "characters": size,
        "counts": {name: len(every) for name, every in found.items()},
        "rules": {
            name: dict(Counter(str(one["rule"]) for one in every).most_common()) for name, every in found.items()
        },
        "both": len(set.intersection(*places.values())),
        "findings": {names[0]: found[names[0]]},
    }
