"""One VFN: does it hold what it should, and how quickly does it get it?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.links import TO_SEGMENT_OF_ROW, TO_VM_OF_ROW
from dashboards.grafana_code.panels import BYTES, DECISIONS, RISKY, graph, lanes, rows
from dashboards.grafana_code.sources import InfluxQuery, variable


def vfn() -> build.Dashboard:
    """Does a VFN hold what it should, and how quickly does it get it?"""
    made = frame.dashboard(
        "VFN", frame.VFN, "Does a switch hold what it should, and how quickly does it get it?"
    ).with_variable(variable("vfn", queries.VFNS, "VFN"))
    meddling = {"missing": look.BAD, "strange": look.WARN, "refused": look.FAIR}
    for panel in (
        rows(
            "State",
            InfluxQuery(queries.VFN_STATE, shape="table"),
            "As last told.",
            width=look.FULL,
            height=6,
            units={"enforced": "percentunit"},
            coloured={"connected": look.below(1, 1), "in sync": look.below(1, 1), "enforced": look.below(0.95, 1)},
        ),
        graph(
            "Entries that are there",
            InfluxQuery(queries.ENFORCED_BY_VFN, "$tag_vfn"),
            "Part of those it shall hold.",
            unit="percentunit",
            maximum=1,
        ),
        lanes(
            "Connected",
            InfluxQuery(queries.CONNECTED, "$tag_vfn"),
            "To its controller; without it, it goes on with what it holds.",
            width=look.HALF,
            steps=((None, look.BAD), (1, look.GOOD)),
        ),
        graph(
            "Slowest push",
            InfluxQuery(queries.PUSH_SECONDS, "$tag_vfn"),
            "From sending to the barrier's answer.",
            unit="s",
            calculations=("max",),
        ),
        graph("Entries", InfluxQuery(queries.ENTRIES, "$tag_vfn"), "It shall hold."),
        graph(
            "Meddling and refusals",
            (
                InfluxQuery(queries.MEDDLED, "missing"),
                InfluxQuery(queries.STRANGE, "strange", ref="B"),
                InfluxQuery(queries.PUSH_FAILURES, "refused", ref="C"),
            ),
            "Entries found missing, or put there by somebody else, and sends that were refused.",
            bars=True,
            colours=meddling,
            calculations=("sum",),
        ),
        graph(
            "Flow records lost",
            InfluxQuery(queries.TELEMETRY_LOST, "$tag_vfn"),
            "By the gaps in the VFN's sequence numbers.",
            bars=True,
            calculations=("sum",),
        ),
        graph(
            "Traffic",
            InfluxQuery(queries.VFN_TRAFFIC, "$tag_vfn"),
            "That came in there.",
            unit="Bps",
            stacked=True,
            calculations=("mean", "max"),
        ),
        graph(
            "Flows by decision",
            InfluxQuery(queries.VFN_FLOWS, "$tag_decision"),
            "That began there.",
            unit="cps",
            stacked=True,
            colours=DECISIONS,
            calculations=("mean", "max"),
        ),
        rows(
            "Its VMs",
            InfluxQuery(queries.VFN_VMS, shape="table"),
            "In the range.",
            width=look.FULL,
            sorted_by="risk",
            units=BYTES,
            coloured=RISKY,
            links={"vm": TO_VM_OF_ROW, "segment": TO_SEGMENT_OF_ROW},
        ),
    ):
        made.with_panel(panel)
    return made
