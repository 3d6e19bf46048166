"""Writes the Grafana dashboards. They are made here, never edited by hand: run it after changing a metric.

    python dashboards/grafana/generate.py

Panels name only metrics of `sigmaguard_proxy/metrics.py`; a test scrapes a running proxy and asks every
query. Schema: Grafana 11 (schemaVersion 39).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RATE = "[$__rate_interval]"
SOURCE = {"type": "prometheus", "uid": "sigmaguard"}
GREEN, AMBER, RED, BLUE = "#3fb27f", "#e0a93b", "#d9534f", "#4a90d9"

Json = dict[str, Any]


def target(expression: str, legend: str = "") -> Json:
    """One query of a panel."""
    return {"datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto", "range": True}


def panel(
    kind: str,
    title: str,
    targets: Sequence[Json],
    *,
    unit: str = "short",
    about: str = "",
    steps: Sequence[tuple[float | None, str]] = (),
    stack: bool = False,
) -> Json:
    """A panel without its place. `steps` are threshold lines: (value, colour), the first value None."""
    custom: Json = {}
    if kind == "timeseries":
        custom = {"fillOpacity": 15, "lineWidth": 2, "showPoints": "never"}
        if stack:
            custom["stacking"] = {"mode": "normal", "group": "A"}
        if steps:
            custom["thresholdsStyle"] = {"mode": "dashed"}
    defaults: Json = {"unit": unit, "custom": custom}
    if steps:
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in steps]}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": [{**one, "refId": chr(65 + at)} for at, one in enumerate(targets)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(kind),
    }


def _options(kind: str) -> Json:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"}
    if kind == "bargauge":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "gradient"}
    if kind == "timeseries":
        return {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}}
    return {}


def dashboard(uid: str, title: str, rows: Sequence[Sequence[tuple[int, Json]]]) -> Json:
    """A dashboard of rows of (width of 24, panel)."""
    panels: list[Json] = []
    top = 0
    for row in rows:
        left = 0
        height = 4 if all(one["type"] == "stat" for _, one in row) else 9
        for width, one in row:
            place = {"x": left, "y": top, "w": width, "h": height}
            panels.append({**one, "id": len(panels) + 1, "gridPos": place})
            left += width
        top += height
    return {
        "uid": f"sigmaguard-{uid}",
        "title": f"Sigmaguard / {title}",
        "tags": ["sigmaguard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["sigmaguard"], "title": "Sigmaguard", "asDropdown": True}],
        "panels": panels,
    }


def quantiles(metric: str, by: str = "", shares: Sequence[float] = (0.5, 0.95, 0.99)) -> list[Json]:
    """p50, p95 and p99 of a histogram."""
    group = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return [
        target(
            f"histogram_quantile({share}, sum by ({group}) (rate({metric}_bucket{RATE})))", f"{legend}p{share * 100:g}"
        )
        for share in shares
    ]


def rate(metric: str, by: str, where: str = "", top: int = 0) -> list[Json]:
    """A counter's rate a second by labels."""
    query = f"sum by ({by}) (rate({metric}{where}{RATE}))"
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return [target(f"topk({top}, {query})" if top else query, legend)]


EXCHANGES = "sigmaguard_exchanges_total"


def overview() -> Json:
    """Is it on, what does it block, what would it block."""
    per_mode = panel(
        "stat",
        "Mode in force",
        [target("max by (mode) (sigmaguard_mode_info) == 1", "{{mode}}")],
        about="The mode after the master toggle. More than one tile: tenants differ.",
    )
    total = panel("stat", "Exchanges a second", [target(f"sum(rate({EXCHANGES}{RATE}))")], unit="reqps")
    blocked = panel(
        "stat",
        "Blocked share",
        [target(f'sum(rate({EXCHANGES}{{action="block"}}{RATE})) / sum(rate({EXCHANGES}{RATE}))')],
        unit="percentunit",
        steps=((None, GREEN), (0.02, AMBER), (0.1, RED)),
    )
    would = panel(
        "stat",
        "Shadow: would be blocked",
        [target(f'sum(rate({EXCHANGES}{{mode="shadow",intended="block"}}{RATE})) or vector(0)')],
        unit="reqps",
        about="What enforce would have blocked of the traffic that runs in shadow.",
    )
    fail_open = panel(
        "stat",
        "Let through uninspected",
        [target(f'sum(rate(sigmaguard_detector_runs_total{{outcome="failed_open"}}{RATE})) or vector(0)')],
        unit="reqps",
        steps=((None, GREEN), (0.0001, RED)),
    )
    p99 = panel(
        "stat",
        "Added latency p99",
        quantiles("sigmaguard_added_latency_seconds", shares=(0.99,)),
        unit="s",
        steps=((None, GREEN), (0.005, AMBER), (0.05, RED)),
    )
    return dashboard(
        "overview",
        "Firewall overview",
        [
            [(4, per_mode), (4, total), (4, blocked), (4, would), (4, fail_open), (4, p99)],
            [
                (12, panel("timeseries", "What happened", rate(EXCHANGES, "action"), unit="reqps", stack=True)),
                (
                    12,
                    panel("timeseries", "What enforce would do", rate(EXCHANGES, "intended"), unit="reqps", stack=True),
                ),
            ],
            [
                (12, panel("timeseries", "By protocol", rate(EXCHANGES, "protocol"), unit="reqps")),
                (12, panel("timeseries", "Answers by status", rate(EXCHANGES, "status"), unit="reqps")),
            ],
        ],
    )


def threats() -> Json:
    """Findings by family, rule, agent, and their trend."""
    findings = "sigmaguard_findings_total"
    family = f'sum by (family) (label_replace(rate({findings}{RATE}), "family", "$1", "rule", "([^.]+)[.].*"))'
    today = f"topk(15, sum by (rule) (increase({findings}[1h])))"
    week = f"sum(rate({findings}[15m])) / clamp_min(sum(rate({findings}[1h])), 1e-9)"
    return dashboard(
        "threats",
        "Threats",
        [
            [
                (16, panel("timeseries", "Findings by family", [target(family, "{{family}}")], unit="ops", stack=True)),
                (8, panel("bargauge", "Rules in the last hour", [target(today, "{{rule}}")])),
            ],
            [
                (12, panel("timeseries", "Findings by rule", rate(findings, "rule", top=10), unit="ops")),
                (
                    12,
                    panel(
                        "timeseries",
                        "Blocked by agent",
                        rate("sigmaguard_subject_exchanges_total", "agent", '{action="block"}', 10),
                        unit="reqps",
                    ),
                ),
            ],
            [
                (12, panel("timeseries", "Findings by direction", rate(findings, "direction"), unit="ops")),
                (
                    12,
                    panel(
                        "timeseries",
                        "Trend: last 15 minutes against the hour",
                        [target(week, "ratio")],
                        about="1 is as usual; above 3 something is going on.",
                        steps=((None, GREEN), (3, RED)),
                    ),
                ),
            ],
        ],
    )


def latency() -> Json:
    """Stage by stage, against the budget lines of bench/budgets.toml."""
    budget = ((None, GREEN), (0.005, RED))
    return dashboard(
        "latency",
        "Latency budget",
        [
            [
                (
                    12,
                    panel(
                        "timeseries",
                        "Added latency",
                        quantiles("sigmaguard_added_latency_seconds"),
                        unit="s",
                        steps=budget,
                    ),
                ),
                (12, panel("timeseries", "Time to first byte", quantiles("sigmaguard_first_token_seconds"), unit="s")),
            ],
            [
                (
                    12,
                    panel(
                        "timeseries", "Stages, p50", quantiles("sigmaguard_stage_seconds", "stage", (0.5,)), unit="s"
                    ),
                ),
                (
                    12,
                    panel(
                        "timeseries",
                        "Stages, p99",
                        quantiles("sigmaguard_stage_seconds", "stage", (0.99,)),
                        unit="s",
                        steps=budget,
                    ),
                ),
            ],
            [
                (12, panel("timeseries", "Whole exchanges", quantiles("sigmaguard_exchange_seconds"), unit="s")),
                (
                    6,
                    panel(
                        "timeseries",
                        "Windows of text by model tier",
                        rate("sigmaguard_model_windows_total", "tier"),
                        unit="ops",
                        about="The second tier costs several milliseconds a window; it should see a small share.",
                    ),
                ),
                (
                    6,
                    panel(
                        "timeseries",
                        "Verdicts remembered",
                        [
                            target(f"sum(rate(sigmaguard_memory_found_total{RATE}))", "remembered"),
                            target(f"sum(rate(sigmaguard_memory_missed_total{RATE}))", "inspected"),
                        ],
                        unit="ops",
                    ),
                ),
            ],
        ],
    )


def reliability() -> Json:
    """Faults, sheds, upstreams, audit lag."""
    lag = ((None, GREEN), (30, AMBER), (300, RED))
    return dashboard(
        "reliability",
        "Reliability",
        [
            [
                (
                    12,
                    panel(
                        "timeseries", "Faults by source", rate("sigmaguard_faults_total", "source, kind"), unit="ops"
                    ),
                ),
                (
                    12,
                    panel(
                        "timeseries",
                        "Detector outcomes",
                        rate("sigmaguard_detector_runs_total", "detector, outcome", '{outcome!~"clean|found"}'),
                        unit="ops",
                    ),
                ),
            ],
            [
                (
                    12,
                    panel(
                        "timeseries",
                        "Upstream errors",
                        rate("sigmaguard_upstream_errors_total", "upstream, kind"),
                        unit="ops",
                    ),
                ),
                (
                    12,
                    panel(
                        "timeseries",
                        "Inspections shed and waiting",
                        [
                            target(f"sum(rate(sigmaguard_inspections_shed_total{RATE}))", "shed a second"),
                            target("sum(sigmaguard_pool_waiting)", "waiting"),
                        ],
                    ),
                ),
            ],
            [
                (
                    12,
                    panel(
                        "timeseries",
                        "Audit lag",
                        [target("max(sigmaguard_audit_lag_seconds)", "oldest waiting record")],
                        unit="s",
                        steps=lag,
                    ),
                ),
                (
                    6,
                    panel(
                        "timeseries",
                        "Under way",
                        [
                            target("sum(sigmaguard_active_exchanges)", "exchanges"),
                            target("sum(sigmaguard_event_loop_tasks)", "asyncio tasks"),
                        ],
                    ),
                ),
                (
                    6,
                    panel(
                        "stat",
                        "Parts that are down",
                        [target("max by (part) (sigmaguard_degraded)", "{{part}}")],
                        steps=((None, GREEN), (1, RED)),
                        about="Traffic goes on with the last good policy; audit records wait on disk.",
                    ),
                ),
            ],
            [
                (
                    24,
                    panel(
                        "table",
                        "Policy revision by worker",
                        [
                            {
                                **target("max by (worker, policy, revision) (sigmaguard_policy_info)"),
                                "format": "table",
                                "instant": True,
                                "range": False,
                            }
                        ],
                    ),
                )
            ],
        ],
    )


def cost() -> Json:
    """Tokens, money and bytes."""
    return dashboard(
        "cost",
        "Cost and usage",
        [
            [
                (
                    12,
                    panel(
                        "timeseries",
                        "Tokens by model",
                        rate("sigmaguard_tokens_total", "model, kind"),
                        unit="ops",
                        stack=True,
                    ),
                ),
                (
                    12,
                    panel(
                        "timeseries",
                        "US dollars an hour by model",
                        [target("sum by (model) (rate(sigmaguard_cost_usd_total[15m])) * 3600", "{{model}}")],
                        unit="currencyUSD",
                    ),
                ),
            ],
            [
                (
                    12,
                    panel(
                        "timeseries",
                        "Exchanges by tenant",
                        rate("sigmaguard_subject_exchanges_total", "tenant"),
                        unit="reqps",
                    ),
                ),
                (
                    12,
                    panel(
                        "timeseries",
                        "Traffic",
                        [
                            target(f"sum(rate(sigmaguard_request_bytes_total{RATE}))", "requests"),
                            target(f"sum(rate(sigmaguard_response_bytes_total{RATE}))", "answers"),
                        ],
                        unit="Bps",
                    ),
                ),
            ],
        ],
    )


def build() -> dict[str, Json]:
    """Every dashboard by its file name."""
    return {
        "overview.json": overview(),
        "threats.json": threats(),
        "latency.json": latency(),
        "reliability.json": reliability(),
        "cost.json": cost(),
    }


def render(board: Json) -> str:
    """A dashboard as it stands in its file."""
    return json.dumps(board, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, board in build().items():
        (HERE / "dashboards" / name).write_text(render(board))
        print(f"wrote dashboards/{name}: {len(board['panels'])} panels")
