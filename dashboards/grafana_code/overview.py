"""The overview: is anybody dangerous, is anybody cut off, does traffic flow, do the switches hold what they should?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.links import TO_OTHER_SEGMENT, TO_SEGMENT, TO_VFN, TO_VM, TO_VM_OF_ROW
from dashboards.grafana_code.panels import DECISIONS, graph, lanes, number, ranking, rows
from dashboards.grafana_code.sources import InfluxQuery


def overview() -> build.Dashboard:
    """The first page."""
    made = frame.dashboard(
        "overview", frame.OVERVIEW, "Who is at risk, who is cut off, what flows and what does not, in one look."
    )
    _signals(made)
    _risk(made)
    _traffic(made)
    _rules(made)
    return made


def _signals(made: build.Dashboard) -> None:
    to_pipeline = look.to_dashboard("Pipeline health", frame.PIPELINE)
    for panel in (
        number(
            "Highest risk",
            InfluxQuery(queries.HIGHEST_RISK, shape="table"),
            f"Of any VM in the range (0 to 100); a rule may be made from {queries.ACTING_RISK} on.",
            unit="none",
            steps=look.RISK_STEPS,
            decimals=0,
        ),
        number(
            "VMs at risk",
            InfluxQuery(queries.VMS_AT_RISK, shape="table"),
            f"With a risk of {queries.ACTING_RISK} or more at some time of the range.",
            steps=((None, look.GOOD), (1, look.WARN)),
        ),
        number(
            "Cut off now",
            InfluxQuery(queries.CUT_OFF, shape="table"),
            "Isolations that are enforced.",
            steps=((None, look.GOOD), (1, look.WARN)),
        ),
        number(
            "Denied flows",
            InfluxQuery(queries.FLOWS_DENIED, shape="table"),
            "Flows that a VFN has dropped, in the range.",
            calculation="sum",
        ),
        number(
            "Rules in the switches",
            InfluxQuery(queries.ENFORCED, shape="table"),
            "Part of the entries that are there, of the VFN where it is least; less than all: see the VFN.",
            unit="percentunit",
            steps=look.below(0.95, 1),
        ),
        number(
            "Records lost",
            InfluxQuery(queries.LOST),
            "Flow records that VFNs have sent and the analyzer never got.",
            calculation="sum",
            steps=((None, look.GOOD), (1, look.WARN)),
            links=(to_pipeline,),
        ),
    ):
        made.with_panel(panel)


def _risk(made: build.Dashboard) -> None:
    made.with_row(frame.row("Risk"))
    made.with_panel(
        lanes(
            "Risk of VMs",
            InfluxQuery(queries.RISKS, "$tag_vm"),
            f"A lane for each VM that was above {queries.NOTEWORTHY_RISK}; click for the VM.",
            width=look.TWO_THIRDS,
            links=(TO_VM,),
        )
    )
    made.with_panel(
        graph(
            "Verdicts",
            InfluxQuery(queries.VERDICTS, "$tag_behaviour"),
            "Verdicts of the analyzer by the strongest behaviour they rest on.",
            width=look.THIRD,
            stacked=True,
            bars=True,
            calculations=("sum",),
        )
    )


def _traffic(made: build.Dashboard) -> None:
    made.with_row(frame.row("Traffic"))
    for panel in (
        graph(
            "Flows by decision",
            InfluxQuery(queries.FLOWS_BY_DECISION, "$tag_decision"),
            "Flows that began, by what became of them.",
            unit="cps",
            stacked=True,
            colours=DECISIONS,
            calculations=("mean", "max"),
        ),
        graph(
            "Bytes by segment",
            InfluxQuery(queries.BYTES_BY_SEGMENT, "$tag_segment"),
            "Sent by the VMs of a segment, as openers or answering.",
            unit="Bps",
            stacked=True,
            calculations=("mean", "max"),
        ),
        rows(
            "Top talkers between segments",
            InfluxQuery(queries.TALKERS, shape="table"),
            "Pairs of segments that exchanged most.",
            width=look.THIRD,
            units={"largest": "bytes"},
            sorted_by="largest",
            links={"src_segment": TO_SEGMENT, "dst_segment": TO_OTHER_SEGMENT},
        ),
        rows(
            "Denied by segment pair",
            InfluxQuery(queries.PAIRS_DENIED, shape="table"),
            "Flows that were dropped: who knocked where.",
            width=look.THIRD,
            sorted_by="flows",
            links={"src_segment": TO_SEGMENT, "dst_segment": TO_OTHER_SEGMENT},
            coloured={"flows": ((None, "transparent"), (1, look.WARN), (100, look.BAD))},
        ),
        graph(
            "Connections that failed",
            InfluxQuery(queries.FAILED_BY_SEGMENT, "$tag_segment"),
            "TCP connections refused at once or never answered, by the opener's segment: scans and dead services.",
            width=look.THIRD,
            bars=True,
            stacked=True,
        ),
    ):
        made.with_panel(panel)


def _rules(made: build.Dashboard) -> None:
    made.with_row(frame.row("Rules and what happened"))
    for panel in (
        rows(
            "Rules that are not over",
            InfluxQuery(queries.RULES, shape="table"),
            "How many, by action, state, mode and who issued them.",
            width=look.THIRD,
            sorted_by="rules",
        ),
        rows(
            "What would have been dropped",
            InfluxQuery(queries.WOULD_DROP, shape="table"),
            "Packets that met a rule in mode `observe`: what enforcing it would cost.",
            width=look.THIRD,
            sorted_by="packets",
            units={"bytes": "bytes"},
        ),
        ranking(
            "Rules that drop most",
            InfluxQuery(queries.DROPS_BY_RULE, shape="table"),
            "Packets dropped, by rule.",
            width=look.THIRD,
            unit="short",
        ),
        rows(
            "What happened",
            InfluxQuery(queries.EVENTS, shape="table"),
            "Isolations, releases, policies, and what went wrong: the newest first.",
            width=look.FULL,
            hidden=(),
            links={"vm": TO_VM_OF_ROW},
        ),
        graph(
            "Rules in the switches, by VFN",
            InfluxQuery(queries.ENFORCED_ALL, "$tag_vfn"),
            "Part of the entries that are there; 1 is all.",
            unit="percentunit",
            maximum=1,
            links=(TO_VFN,),
        ),
        graph(
            "Flow records",
            (InfluxQuery(queries.RECORDS, "received / s"), InfluxQuery(queries.LOST, "lost", ref="B")),
            "What VFNs report, and what was lost on the way.",
            colours={"lost": look.BAD},
        ),
    ):
        made.with_panel(panel)
