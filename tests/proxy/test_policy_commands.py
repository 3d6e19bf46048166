"""The packs that ship prove themselves: every rule by its examples, every case with the classifier that ships."""

from pathlib import Path

import pytest

from sigmaguard_proxy.cli import main


@pytest.mark.parametrize("name", ["off", "basic", "strict"])
def test_a_shipped_pack_passes_its_own_test(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", name]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", ["basic", "strict"])
def test_a_shipped_pack_has_nothing_odd(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", name]) == 0, capsys.readouterr().out


OURS = """
name: ours
extends: basic
detectors:
  dictionary: {action: mask, options: {lists: [{name: customers, terms: [Falke], entity: CUSTOMER}]}}
rules: {%s: {action: flag}}
masks: {%s: {operator: redact}}
cases: [{text: "What is the capital of Portugal?", action: allow}]
"""


def lint(rule: str, entity: str, tmp_path: Path) -> int:
    (tmp_path / "ours.yaml").write_text(OURS % (rule, entity))
    return main(["policy", "lint", str(tmp_path / "ours.yaml")])


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("pii.emial", "rules.pii.emial: no rule of that name; did you mean pii.email"),
        ("leak.jwtt", "did you mean leak.jwt"),
        ("dictionary.costumers", "did you mean dictionary.customers"),
        ("foo.bar", "rules.foo.bar: no rule of that name"),
    ],
)
def test_lint_tells_a_misspelt_rule(rule: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(rule, "EMAIL", tmp_path) == 1
    assert says in capsys.readouterr().out


def test_lint_tells_a_misspelt_entity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint("pii.email", "EMIAL", tmp_path) == 1
    assert "masks.EMIAL: no entity of that name; did you mean EMAIL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "entity"),
    [
        ("pii.email", "EMAIL"),
        ("pii.person", "PERSON"),
        ("leak.jwt", "JWT"),
        ("tool.rate", "URL"),
        ("tool.approval_granted", "UNSAFE_TEXT"),
        ("canary.token", "CANARY"),
        ("echo.system_prompt", "SYSTEM_PROMPT"),
        ("injection.model", '"*"'),
        ("dictionary.customers", "CUSTOMER"),
    ],
)
def test_lint_knows_every_name_that_something_answers_to(
    rule: str, entity: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lint(rule, entity, tmp_path) == 0, capsys.readouterr().out


def test_lint_takes_any_entity_where_a_dictionary_file_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "customers.csv").write_text("Falke,VIP\n")
    text = OURS.replace("terms: [Falke], entity: CUSTOMER", "file: customers.csv") % ("pii.email", "VIP")
    (tmp_path / "ours.yaml").write_text(text)
    assert main(["policy", "lint", str(tmp_path / "ours.yaml")]) == 0, capsys.readouterr().out


def test_a_policy_that_is_not_utf_8_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ours.yaml").write_bytes(b"name: \xff\n")
    assert main(["policy", "lint", str(tmp_path / "ours.yaml")]) == 2
    assert capsys.readouterr().err == "sigmaguard: ours.yaml: is not UTF-8 (byte 7); save it as UTF-8\n"
