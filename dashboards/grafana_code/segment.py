"""One segment: whom it talks to, who of it is at risk, what it is denied."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.links import TO_OTHER_SEGMENT, TO_SEGMENT, TO_VFN_OF_ROW, TO_VM, TO_VM_OF_ROW
from dashboards.grafana_code.panels import BYTES, RISKY, graph, lanes, number, ranking, rows
from dashboards.grafana_code.sources import InfluxQuery, variable


def segment() -> build.Dashboard:
    """Whom a segment talks to, who of it is at risk, what it is denied."""
    made = frame.dashboard(
        "segment", frame.SEGMENT, "Whom a segment talks to, who of it is at risk, what it is denied."
    ).with_variable(variable("segment", queries.SEGMENTS, "segment"))
    _signals(made)
    _courses(made)
    _tables(made)
    return made


def _signals(made: build.Dashboard) -> None:
    """The figures that tell at a glance."""
    for panel in (
        number(
            "Highest risk",
            InfluxQuery(queries.SEGMENT_HIGHEST_RISK, shape="table"),
            "Of its VMs, in the range.",
            unit="none",
            steps=look.RISK_STEPS,
            decimals=0,
            width=6,
        ),
        number(
            "VMs at risk",
            InfluxQuery(queries.SEGMENT_AT_RISK, shape="table"),
            f"With a risk of {queries.ACTING_RISK} or more at some time of the range.",
            steps=((None, look.GOOD), (1, look.WARN)),
            width=6,
        ),
        number(
            "Denied flows",
            InfluxQuery(queries.SEGMENT_DENIED, shape="table"),
            "From it or to it, in the range.",
            calculation="sum",
            width=6,
        ),
        number(
            "Unusual traffic",
            InfluxQuery(queries.SEGMENT_DRIFT),
            "Part of its flows and windows that the baseline"
            " finds unusual: by its definition 5 % when nothing has changed.",
            unit="percentunit",
            steps=look.above(0.1, 0.2),
            width=6,
        ),
    ):
        made.with_panel(panel)


def _courses(made: build.Dashboard) -> None:
    """What went on, over time."""
    for panel in (
        graph(
            "To other segments",
            InfluxQuery(queries.SEGMENT_TO, "$tag_dst_segment"),
            "Sent in flows that it opened.",
            unit="Bps",
            stacked=True,
            calculations=("mean", "max"),
        ),
        graph(
            "From other segments",
            InfluxQuery(queries.SEGMENT_FROM, "$tag_src_segment"),
            "Sent in flows that were opened towards it.",
            unit="Bps",
            stacked=True,
            calculations=("mean", "max"),
        ),
        lanes(
            "Risk of its VMs",
            InfluxQuery(queries.SEGMENT_RISKS, "$tag_vm"),
            f"A lane for each VM that was above {queries.NOTEWORTHY_RISK}.",
            links=(TO_VM,),
            width=look.TWO_THIRDS,
        ),
        graph(
            "Verdicts",
            InfluxQuery(queries.SEGMENT_VERDICTS, "$tag_behaviour"),
            "By the strongest behaviour.",
            bars=True,
            stacked=True,
            width=look.THIRD,
            calculations=("sum",),
        ),
    ):
        made.with_panel(panel)


def _tables(made: build.Dashboard) -> None:
    """Who, with whom, by which services."""
    for panel in (
        rows(
            "Its VMs",
            InfluxQuery(queries.SEGMENT_VMS, shape="table"),
            "In the range.",
            width=look.TWO_THIRDS,
            sorted_by="risk",
            units=BYTES,
            coloured=RISKY,
            links={"vm": TO_VM_OF_ROW, "vfn": TO_VFN_OF_ROW},
        ),
        ranking(
            "Services",
            InfluxQuery(queries.SEGMENT_SERVICES, shape="table"),
            "Bytes of flows from it or to it, by service.",
            unit="bytes",
            width=look.THIRD,
        ),
        rows(
            "Exchanged",
            InfluxQuery(queries.SEGMENT_PAIRS, shape="table"),
            "Flows and bytes with each other segment.",
            sorted_by="bytes",
            units={"bytes": "bytes"},
            links={"src_segment": TO_SEGMENT, "dst_segment": TO_OTHER_SEGMENT},
        ),
        rows(
            "Denied",
            InfluxQuery(queries.SEGMENT_PAIRS_DENIED, shape="table"),
            "Flows that were dropped, by service.",
            sorted_by="flows",
            links={"src_segment": TO_SEGMENT, "dst_segment": TO_OTHER_SEGMENT},
        ),
    ):
        made.with_panel(panel)
