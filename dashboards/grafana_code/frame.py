"""What every dashboard has: variables, annotations, links to the others, time range."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries, resolutions
from dashboards.grafana_code.sources import CHOSEN, Annotation, source_variable, variable

TAG = "dynseg"
OVERVIEW, SEGMENT, VM, VFN = "dynseg-overview", "dynseg-segment", "dynseg-vm", "dynseg-vfn"
DETECTION, PIPELINE = "dynseg-detection", "dynseg-pipeline"
"""Uids: what links name."""


def dashboard(title: str, uid: str, meaning: str, *, since: str = "now-1h") -> build.Dashboard:
    """A dashboard without panels; its own variables are to be added before them.

    Args:
        title: after "dynseg / ".
        uid: one of those above.
        meaning: what question it answers.
        since: where its time range begins.
    """
    others = build.DashboardLink("dynseg").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made = (
        build.Dashboard(f"dynseg / {title}")
        .uid(uid)
        .description(meaning)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time(since, "now")
        .refresh("10s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(others.as_dropdown(True).keep_time(True).include_vars(True))
        .with_variable(source_variable())
        .with_variable(variable("node", queries.NODES, "node"))
    )
    for name, query in resolutions.VARIABLES.items():
        made.with_variable(variable(name, query, name, several=False).hide(model.VariableHide.HIDE_VARIABLE))
    return (
        made.annotation(Annotation("Isolations and releases", queries.ISOLATIONS, "red", "kind,vm"))
        .annotation(Annotation("Policy", queries.POLICY_CHANGES, "blue", "kind"))
        .annotation(Annotation("Trouble", queries.TROUBLE, "orange", "kind"))
    )


def row(title: str) -> build.Row:
    """A heading."""
    return build.Row(title).datasource(CHOSEN)
