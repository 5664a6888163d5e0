"""Alert rules of Grafana, over the same database: what somebody should look at, with where and what to do.

A rule reduces each series of a query to one number and compares it. Those that need no history are Prometheus's, which
asks the processes themselves (`dashboards/prometheus`).

Source: https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dashboards import resolutions
from dashboards.grafana_code import frame
from dashboards.grafana_code.provisioning import FOLDER
from dashboards.grafana_code.sources import FIXED, UID, InfluxQuery

RUNBOOK = "docs/dashboards.md"
"""Has a heading for each alert, called as it is."""
_EXPRESSION = "__expr__"


@dataclass(frozen=True)
class Alert:
    """When to call somebody."""

    uid: str
    title: str
    query: str
    """InfluxQL with `$timeFilter`, without variables: alerts have no dashboard."""
    reduce: Literal["last", "max", "min", "sum"]
    comparison: Literal["gt", "lt"]
    limit: float
    lasting: str
    """How long it has to hold, as in `1m`."""
    severity: Literal["critical", "warning", "info"]
    summary: str
    dashboard: str
    minutes: int = 5
    """Looked back."""


def _raw(select: str, measurement: str, by: str, where: str = "") -> str:
    condition = f" AND {where}" if where else ""
    source = f'"{resolutions.RAW}"."dynseg_{measurement}"'
    return f"SELECT {select} FROM {source} WHERE $timeFilter{condition} GROUP BY time(1m), {by} fill(none)"  # noqa: S608


ALERTS = (
    Alert("dynseg-isolated", "A VM was cut off", _raw('sum("events")', "events", '"vm"', "\"kind\" = 'isolation'"),
          "sum", "gt", 0, "0s", "info", "{{ $labels.vm }} was isolated.", frame.VM),
    Alert("dynseg-not-enforced", "A switch does not hold its rules",
          _raw('min("enforced_ratio")', "enforcement", '"vfn"'), "last", "lt", 1, "1m", "critical",
          "{{ $labels.vfn }} lacks entries that it should hold.", frame.VFN),
    Alert("dynseg-disconnected", "A switch is without its controller", _raw('min("connected")', "enforcement", '"vfn"'),
          "last", "lt", 1, "1m", "critical", "{{ $labels.vfn }} is not connected; it goes on with what it holds.",
          frame.VFN),
    Alert("dynseg-meddling", "Somebody changed a switch",
          _raw('sum("lost_entries") + sum("strange_entries")', "enforcement", '"vfn"'), "sum", "gt", 0, "0s", "warning",
          "Entries of {{ $labels.vfn }} were removed or put there by somebody else; they were repaired.", frame.VFN),
    Alert("dynseg-process-down", "A process does not answer", _raw('min("up")', "process", '"process", "node"'), "last",
          "lt", 1, "1m", "critical", "{{ $labels.process }} of {{ $labels.node }} does not answer.", frame.PIPELINE),
    Alert("dynseg-records-lost", "Flow records are lost", _raw('sum("lost")', "telemetry_loss", '"vfn"'), "sum", "gt",
          100, "0s", "warning", "Flow records of {{ $labels.vfn }} do not reach the analyzer.", frame.PIPELINE),
    Alert("dynseg-drift", "The baseline does not fit any more", _raw('last("drift")', "detection", '"segment"'), "min",
          "gt", 0.2, "30m", "warning", "Traffic of {{ $labels.segment }} is not what was learned.", frame.DETECTION,
          minutes=30),
    Alert("dynseg-points-lost", "Metrics are lost", _raw('sum("dropped") + sum("refused")', "writer", '"node"'), "sum",
          "gt", 0, "0s", "warning", "Points of {{ $labels.node }} were dropped or refused.", frame.PIPELINE),
)  # fmt: skip


def groups() -> dict[str, Any]:
    """The file of alert rules."""
    group = {
        "orgId": 1,
        "name": "dynseg",
        "folder": FOLDER,
        "interval": "1m",
        "rules": [_rule(each) for each in ALERTS],
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(alert: Alert) -> dict[str, Any]:
    """The query (A), reduced (B), compared (C)."""
    looked = {"from": alert.minutes * 60, "to": 0}
    query = {**InfluxQuery(alert.query, source=FIXED).to_json(), "intervalMs": 60_000, "maxDataPoints": 1000}
    now = {"from": 0, "to": 0}
    reduce = {
        "refId": "B",
        "type": "reduce",
        "expression": "A",
        "reducer": alert.reduce,
        "settings": {"mode": "dropNN"},
    }
    evaluator = {"type": alert.comparison, "params": [alert.limit]}
    compare = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [{"evaluator": evaluator}]}
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": "C",
        "data": [
            {"refId": "A", "relativeTimeRange": looked, "datasourceUid": UID, "model": query},
            {"refId": "B", "relativeTimeRange": now, "datasourceUid": _EXPRESSION, "model": _by_grafana(reduce)},
            {"refId": "C", "relativeTimeRange": now, "datasourceUid": _EXPRESSION, "model": _by_grafana(compare)},
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "runbook_url": f"{RUNBOOK}#{alert.title.lower().replace(' ', '-')}",
            "__dashboardUid__": alert.dashboard,
        },
    }


def _by_grafana(model: dict[str, Any]) -> dict[str, Any]:
    return {**model, "datasource": {"type": _EXPRESSION, "uid": _EXPRESSION}}
