"""Alerts: rules that Prometheus reads, about metrics that exist, each with a runbook; and they do fire."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

cluster = pytest.mark.cluster
WORDS = re.compile(r"dynseg_[a-z0-9_]+")


@pytest.fixture(scope="module")
def folder(root_dir: Path) -> Path:
    return root_dir / "dashboards" / "prometheus"


@pytest.fixture(scope="module")
def rules(folder: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: object) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: deploy/setup.sh --dev brings it")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_alert_has_a_runbook_that_is_there(root_dir: Path, rules: list[dict[str, Any]]) -> None:
    """The heading exists, and there is no runbook that no alert leads to."""
    headings = set(re.findall(r"^## (\S+)$", (root_dir / "docs" / "runbooks.md").read_text(), re.MULTILINE))
    named = {rule["annotations"]["runbook_url"].partition("docs/runbooks.md#")[2] for rule in rules}
    assert named == headings


def test_alerts_are_about_metrics_that_are_exposed(root_dir: Path, rules: list[dict[str, Any]]) -> None:
    """Every name in an expression stands in the code of an exposition."""
    sources = [*root_dir.glob("*/**/exposition.py"), root_dir / "ryu_apps" / "watched.py"]
    code = "".join(path.read_text() for path in sources)
    telemetry = re.search(r"dynseg_telemetry_\{name\}_total", code)
    assert telemetry
    for rule in rules:
        for word in WORDS.findall(rule["expr"]):
            plain = word.removesuffix("_bucket")
            listed = plain.removeprefix("dynseg_telemetry_").removesuffix("_total")
            assert f'"{plain}"' in code or f'"{listed}"' in code, f"{rule['alert']}: {word}"


@cluster
def test_prometheus_reads_the_rules_and_the_jobs(folder: Path, tmp_path: Path) -> None:
    """Checked by Prometheus' own tool."""
    for name in ("alerts.yaml", "prometheus.yaml"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "dynseg.token").write_text("secret")
    assert "SUCCESS" in promtool("check", "rules", tmp_path / "alerts.yaml")
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yaml")


SERIES: dict[str, list[tuple[str, str]]] = {
    "DynsegControlDown": [('up{job="dynseg", instance="n"}', "0x60")],
    "DynsegProcessDown": [('dynseg_process_connected{process="engine", instance="n"}', "0x60")],
    "DynsegProcessRestarts": [('dynseg_process_starts_total{process="engine", instance="n"}', "0+1x60")],
    "DynsegVfnAway": [('dynseg_vfn_connected{vfn="a", instance="n"}', "0x60")],
    "DynsegVfnOutOfSync": [
        ('dynseg_vfn_in_sync{vfn="a", instance="n"}', "0x60"),
        ('dynseg_vfn_connected{vfn="a", instance="n"}', "1x60"),
    ],
    "DynsegDrift": [('dynseg_drift_entries_total{kind="lost", instance="n"}', "0x30 5x30")],
    "DynsegRulesFailed": [('dynseg_rules{state="failed", instance="n"}', "2x60")],
    "DynsegEnforcementSlow": [
        ('dynseg_rule_change_seconds_bucket{change="enforced", le="10", instance="n"}', "0x1 0+0x60"),
        ('dynseg_rule_change_seconds_bucket{change="enforced", le="30", instance="n"}', "0+1x60"),
        ('dynseg_rule_change_seconds_bucket{change="enforced", le="+Inf", instance="n"}', "0+1x60"),
    ],
    "DynsegHubLag": [('dynseg_hub_lag_seconds{instance="n"}', "0.5x60")],
    "DynsegTelemetrySilent": [
        ('dynseg_telemetry_datagrams_total{instance="n"}', "7x60"),
        ('dynseg_vfn_connected{vfn="a", instance="n"}', "1x60"),
    ],
    "DynsegTelemetryLost": [('dynseg_telemetry_lost_records_total{vfn="a", instance="n"}', "0+3x60")],
    "DynsegShedding": [('dynseg_telemetry_shed_events_total{instance="n"}', "0+3x60")],
    "DynsegVerdictsLate": [('dynseg_verdict_delay_p99_seconds{instance="n"}', "9x60")],
    "DynsegSegmentDrift": [('dynseg_segment_drift_ratio{segment="web", instance="n"}', "0.3x90")],
    "DynsegHighRisk": [('dynseg_highest_risk{instance="n"}', "95x60")],
    "DynsegArchiveDropping": [('dynseg_archive_flows_total{fate="dropped", instance="n"}', "0+3x60")],
    "DynsegMetricsAway": [('dynseg_metrics_database_reachable{instance="n"}', "0x60")],
    "DynsegMetricsLost": [('dynseg_metrics_points_total{fate="dropped", instance="n"}', "0+3x60")],
    "DynsegClockOff": [('dynseg_metrics_clock_offset_seconds{instance="n"}', "-90x60")],
}


@cluster
def test_every_alert_fires_on_its_trouble_and_not_without(
    folder: Path, tmp_path: Path, rules: list[dict[str, Any]]
) -> None:
    """Prometheus' own simulation: the trouble of each alert makes it fire, an idle node makes none."""
    assert SERIES.keys() == {rule["alert"] for rule in rules}
    healthy = [
        ('up{job="dynseg", instance="n"}', "1x90"),
        ('dynseg_process_connected{process="engine", instance="n"}', "1x90"),
        ('dynseg_vfn_connected{vfn="a", instance="n"}', "1x90"),
        ('dynseg_vfn_in_sync{vfn="a", instance="n"}', "1x90"),
        ('dynseg_telemetry_datagrams_total{instance="n"}', "0+60x90"),
        ('dynseg_metrics_database_reachable{instance="n"}', "1x90"),
        ('dynseg_metrics_clock_offset_seconds{instance="n"}', "-0.4x90"),
        ('dynseg_hub_lag_seconds{instance="n"}', "0.004x90"),
    ]

    def fires(alert: str) -> dict[str, Any]:
        series = [{"series": name, "values": values} for name, values in SERIES[alert]]
        minute = "80m" if alert == "DynsegSegmentDrift" else "40m"
        expression = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
        expected = [{"expr": expression, "eval_time": minute, "exp_samples": [{"labels": "{}", "value": 1}]}]
        return {"interval": "1m", "input_series": series, "promql_expr_test": expected}

    quiet = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in healthy],
        "promql_expr_test": [{"expr": "count(ALERTS)", "eval_time": f"{at}m", "exp_samples": []} for at in (10, 80)],
    }
    shutil.copy(folder / "alerts.yaml", tmp_path)
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [quiet, *map(fires, SERIES)]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", tmp_path / "tests.yaml")
