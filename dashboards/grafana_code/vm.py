"""One VM: what it did, what was thought of it, what was done about it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.links import TO_SEGMENT_OF_ROW, TO_VFN_OF_ROW
from dashboards.grafana_code.panels import BYTES, RISKY, graph, rows
from dashboards.grafana_code.sources import InfluxQuery, variable


def vm() -> build.Dashboard:
    """What one VM did, what was thought of it, and what was done about it."""
    made = (
        frame.dashboard("VM", frame.VM, "What one VM did, what was thought of it, and what was done about it.")
        .with_variable(variable("segment", queries.SEGMENTS, "segment"))
        .with_variable(variable("vm", queries.VMS, "VM", several=False))
    )
    out = {"denied, out": look.BAD, "denied, in": look.WARN, "failed": look.FAIR}
    for panel in (
        graph(
            "Risk of $vm",
            InfluxQuery(queries.VM_RISK, "$tag_vm"),
            "0 to 100, the highest of each interval.",
            unit="none",
            width=look.FULL,
            steps=look.RISK_STEPS,
            maximum=100,
        ),
        graph(
            "Bytes",
            (InfluxQuery(queries.VM_SENT, "sent"), InfluxQuery(queries.VM_RECEIVED, "received", ref="B")),
            "Sent by it and to it, as opener or answering.",
            unit="Bps",
            calculations=("mean", "max"),
        ),
        graph(
            "Flows",
            (InfluxQuery(queries.VM_OPENED, "opened"), InfluxQuery(queries.VM_ACCEPTED, "opened to it", ref="B")),
            "That began in an interval.",
            calculations=("sum", "max"),
        ),
        graph(
            "Denied and failed",
            (
                InfluxQuery(queries.VM_DENIED_OUT, "denied, out"),
                InfluxQuery(queries.VM_DENIED_IN, "denied, in", ref="B"),
                InfluxQuery(queries.VM_FAILED, "failed", ref="C"),
            ),
            "Flows a VFN dropped, and TCP connections that were refused at once or never answered.",
            bars=True,
            colours=out,
            calculations=("sum",),
        ),
        rows(
            "Where it stands",
            InfluxQuery(queries.VM_ROW, shape="table"),
            "In the range.",
            units=BYTES,
            coloured=RISKY,
            links={"segment": TO_SEGMENT_OF_ROW, "vfn": TO_VFN_OF_ROW},
        ),
        rows(
            "What happened to it",
            InfluxQuery(queries.VM_EVENTS, shape="table"),
            "Isolations, releases, harm: the newest first.",
            width=look.FULL,
            hidden=(),
        ),
    ):
        made.with_panel(panel)
    return made
