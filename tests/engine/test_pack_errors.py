"""Packs that are wrong: refused where they are read, with the place and the remedy, never half obeyed."""

import json
from pathlib import Path

import pytest

from sigmaguard.errors import ConfigError
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.known import BUILT_IN
from sigmaguard.policy.load import convert, load_pack, raw_yaml
from sigmaguard.policy.pack import Pack
from sigmaguard_policies import policies_root

RULE = "{id: leak.a, description: a, match: [a, b], miss: [c, d], %s}"


def refusal(text: str | bytes, tmp_path: Path, name: str = "ours.yaml") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_pack(str(path), policies_root())
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "masks: {EMAIL: {operator: partial, keep: -6}}",
            "`masks.EMAIL.keep` must be at least 0 and at most 32, not -6",
        ),
        ("masks: {EMAIL: {operator: partial, keep: 1000}}", "not 1000"),
        ("detectors: {pii: {threshold: 7}}", "`detectors.pii.threshold` must be at least 0 and at most 1, not 7"),
        ("detectors: {pii: {threshold: -0.1}}", "not -0.1"),
        ("detectors: {pii: {threshold: .nan}}", "not nan"),
        ("rules: {leak.jwt: {threshold: 70}}", "`rules.leak.jwt.threshold` must be"),
        ("budget_ms: -5", "`budget_ms` must be more than 0"),
        ("budget_ms: 0", "not 0"),
        ("budget_ms: .inf", "not inf"),
        ("limits: {request_bytes: -1}", "`limits.request_bytes` must be at least 1"),
        ("limits: {response_bytes: 0}", "`limits.response_bytes` must"),
        ("limits: {segments: 0}", "`limits.segments` must"),
        ("limits: {hold_chars: -1}", "`limits.hold_chars` must"),
        ("tools: {approval_s: -1}", "`tools.approval_s` must"),
        ("tools: {rates: [{tools: [a], calls: -3}]}", "`tools.rates[0].calls` must"),
        ("tools: {rates: [{tools: [a], calls: 3, seconds: .inf}]}", "`tools.rates[0].seconds` must"),
        *(
            (f"custom_rules: [{{detector: leaks, rules: [{RULE % field}]}}]", "`custom_rules[0].rules[0].")
            for field in ("score: 2", "entropy: -1", "max_chars: 0")
        ),
    ],
)
def test_a_number_that_would_switch_protection_off_is_refused_with_its_bounds(
    line: str, says: str, tmp_path: Path
) -> None:
    assert says in refusal(f"name: ours\n{line}\n", tmp_path)


@pytest.mark.parametrize(
    ("detector", "options", "says"),
    [
        ("echo", {"words": -1}, "`words` must be at least 8 and at most 1000, not -1"),
        ("echo", {"words": 10**9}, "not 1000000000"),
        (
            "dictionary",
            {"lists": [{"name": "a", "terms": ["falcon"], "score": -1}]},
            "`lists[0].score` must be at least 0",
        ),
        ("dictionary", {"lists": [{"name": "a", "terms": ["falcon"], "score": 7}]}, "at most 1, not 7"),
        ("injection", {"threads": 0}, "`threads` must be at least 1 and at most 256, not 0"),
        ("injection", {"threads": -4}, "not -4"),
    ],
)
def test_a_number_in_a_detectors_options_has_bounds_too(
    detector: str, options: dict[str, object], says: str, tmp_path: Path
) -> None:
    (tmp_path / "ours.yaml").write_text(json.dumps({"name": "ours", "detectors": {detector: {"options": options}}}))
    with pytest.raises(ConfigError) as caught:
        PolicyLoader(policies_root()).load(str(tmp_path / "ours.yaml"))
    assert says in str(caught.value) and "options" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "masks: {EMAIL: {operator: partial, keep: 0}}",
        "detectors: {pii: {threshold: 1}}",
        "rules: {leak.jwt: {threshold: 0}}",
        "tools: {approval_s: 0}",
    ],
)
def test_the_bounds_themselves_are_allowed(line: str, tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(f"name: ours\n{line}\n")
    assert load_pack(str(tmp_path / "ours.yaml"), policies_root())[0].name == "ours"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: ours\nrules: {}\nmasks: {}\nrules: {}\n", "line 4: `rules` is written twice, first in line 2"),
        ("name: a\nname: b\n", "line 2: `name` is written twice"),
        ("name: a\ndetectors:\n  pii: {action: mask}\n  urls: {}\n  pii: {}\n", "line 5: `pii` is written twice"),
        ("name: a\ncases:\n  - {text: a, text: b, action: allow}\n", "line 3: `text` is written twice"),
        ('name: a\n"name": b\n', "`name` is written twice"),
    ],
)
def test_a_key_written_twice_is_refused_with_both_lines(text: str, says: str, tmp_path: Path) -> None:
    assert says in refusal(text, tmp_path)


def test_a_merge_key_and_an_alias_are_no_doubled_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a, <<: *a}\nd: &d [*d]\n"
    read = raw_yaml(text, "test")
    assert isinstance(read, dict)
    assert (read["b"], read["c"]) == ({"x": 3, "y": 2}, {"x": 1, "y": 2})


def test_an_empty_text_is_nothing() -> None:
    assert raw_yaml("", "test") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("detector: {pii: {}}", "unknown field `detector`; did you mean `detectors`?"),
        ("detectors: {pii: {actoin: mask}}", "unknown field `actoin` at detectors.pii; did you mean `action`?"),
        (
            "detectors: {urls: {}, pii: {action: mak}}",
            "`mak` is not one of allow, flag, mask, block at `detectors.pii.action`; did you mean `mask`?",
        ),
        ("detectors: {pii: {action: {input: mak}}}", "at `detectors.pii.action.input`"),
        (
            "masks: {IBAN: {}, EMAIL: {operator: partal}}",
            "synthetic, block at `masks.EMAIL.operator`; did you mean `partial`?",
        ),
        ("detectors: [pii]", "`detectors` must be a mapping, not a list"),
        ("detectors: {pii: }", "`detectors.pii` must be a mapping, not nothing"),
        ("description: off", "`description` must be text, not true or false; put the word in quotes"),
        ("cases: [{text: a}]", "missing required field `action` at `cases[0]`"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_the_choices(line: str, says: str, tmp_path: Path) -> None:
    said = refusal(f"name: ours\n{line}\n", tmp_path)
    assert said.startswith("ours.yaml: ") and says in said, said


def test_the_field_itself_is_never_proposed_in_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        convert({"name": "ours", "detector": {}}, Pack, "ours")
    assert "mean `detector`?" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused_by_name(tmp_path: Path) -> None:
    assert "ours.yaml: is not UTF-8 (byte 7)" in refusal(b"name: \xff\n", tmp_path)
    (tmp_path / "rules.yaml").write_bytes(b"detector: \xff\n")
    (tmp_path / "with_rules.yaml").write_text("name: ours\nrule_files: [rules.yaml]\n")
    from sigmaguard.policy.compile import PolicyLoader

    with pytest.raises(ConfigError, match=r"rules\.yaml: is not UTF-8"):
        PolicyLoader(policies_root()).load(str(tmp_path / "with_rules.yaml"))


def test_a_date_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    assert "ours.yaml: is not YAML" in refusal("name: 2026-13-40\n", tmp_path)


def test_a_base_that_is_not_there_is_told_with_the_file_that_asks_for_it(tmp_path: Path) -> None:
    said = refusal("name: ours\nextends: ours\n", tmp_path)
    assert said.startswith("ours.yaml: extends: no policy `ours`") and "cannot extend itself" in said


def test_files_that_extend_each_other_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(f"name: other\nextends: {tmp_path / 'ours.yaml'}\n")
    said = refusal(f"name: ours\nextends: {tmp_path / 'other.yaml'}\n", tmp_path)
    assert "ours.yaml -> other.yaml -> ours.yaml" in said


def test_a_file_of_a_shipped_name_may_extend_the_shipped_pack(tmp_path: Path) -> None:
    (tmp_path / "basic.yaml").write_text("name: ours\nextends: basic\n")
    assert load_pack(str(tmp_path / "basic.yaml"), policies_root())[0].detectors


def test_the_rules_that_are_in_no_file_are_those_the_detectors_report() -> None:
    from sigmaguard.detectors import canary, echo
    from sigmaguard.injection import detector

    assert BUILT_IN == {
        canary.RULE: canary.ENTITY,
        echo.RULE: echo.ENTITY,
        detector.RULE: "",
        detector.UNREAD: "",
    }
