"""The alert rules, proven by Prometheus' own test runner."""

import re
import subprocess
from pathlib import Path

from tests.dashboards.test_grafana import DASHBOARDS, tool

RULES = DASHBOARDS / "prometheus" / "alerts.yml"
TESTS = DASHBOARDS / "prometheus" / "alerts_test.yml"


def run(*arguments: str) -> None:
    """promtool, which must be content."""
    done = subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_configuration_are_valid() -> None:
    run("check", "rules", str(RULES))
    run("check", "config", "--syntax-only", str(DASHBOARDS / "prometheus" / "prometheus.yml"))


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    run("test", "rules", str(TESTS))


def test_every_alert_has_a_test_in_which_it_fires_and_a_next_step() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = TESTS.read_text()
    assert names
    for name in names:
        cases = re.findall(rf"alertname: {name}\n\s+exp_alerts:(.*)", tested)
        assert any(not case.strip() for case in cases), f"{name} never fires in a test"
    assert RULES.read_text().count("next_step:") == len(names)


def test_a_changed_rule_would_be_noticed(tmp_path: Path) -> None:
    rules = RULES.read_text()
    changed = rules.replace("max(sigmaguard_audit_lag_seconds) > 300", "max(sigmaguard_audit_lag_seconds) > 3000")
    assert changed != rules
    (tmp_path / "alerts.yml").write_text(changed)
    (tmp_path / "alerts_test.yml").write_text(TESTS.read_text())
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(tmp_path / "alerts_test.yml")], capture_output=True, timeout=60
    )
    assert done.returncode != 0
