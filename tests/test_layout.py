"""The repository keeps its own promises: the README lists every setting, modules say what they know, no leftovers."""

import ast
import re
from pathlib import Path

import msgspec

from sigmaguard_proxy.settings import DOCUMENTED, Settings

ROOT = Path(__file__).parents[1]
CODE = [path for folder in ("sigmaguard", "proxy", "agents", "policies") for path in (ROOT / folder).rglob("*.py")]
LONGEST_FILE = 500  # lines; growth beyond it should be noticed, and then perhaps allowed


def rows() -> list[str]:
    """The README's table of settings."""
    defaults = msgspec.to_builtins(Settings())
    return [f"| `{name}` | {_shown(defaults[name])} | {DOCUMENTED[name]} |" for name in Settings.__struct_fields__]


def _shown(value: object) -> str:
    return "" if value in ("", {}, []) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_documented_in_the_readme() -> None:
    assert set(DOCUMENTED) == set(Settings.__struct_fields__)
    readme = (ROOT / "README.md").read_text()
    missing = [row for row in rows() if row not in readme]
    assert not missing, "add to README.md:\n" + "\n".join(rows())


def test_every_module_and_public_name_says_what_it_is() -> None:
    silent = []
    for path in CODE:
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree) and path.read_text().strip():
            silent.append(str(path.relative_to(ROOT)))
        for node in tree.body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not silent, silent


def test_files_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): count for path in CODE if (count := path.read_text().count("\n")) > LONGEST_FILE
    }
    assert not long, f"{long}: is each of them one idea?"


def test_nothing_is_left_over() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [str(path.relative_to(ROOT)) for path in CODE if marks.search(path.read_text())]
    assert not found, found


def test_tests_patch_nothing() -> None:
    banned = re.compile(r"unittest\.mock|mock\.patch|pytest\.mark\.skip\b")
    here = Path(__file__).name
    found = [str(p) for p in (ROOT / "tests").rglob("*.py") if p.name != here and banned.search(p.read_text())]
    assert not found, found
