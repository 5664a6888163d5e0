"""Pipeline health: do the processes live, does anything wait, was anything lost?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.links import TO_VFN
from dashboards.grafana_code.panels import UP_OR_DOWN, graph, lanes, number, rows
from dashboards.grafana_code.sources import InfluxQuery, variable

REFS = "ABCDEFGHIJ"


def pipeline() -> build.Dashboard:
    """Do the processes live, does anything wait, was anything lost?"""
    made = frame.dashboard(
        "pipeline health", frame.PIPELINE, "Do the processes live, does anything wait, was anything lost?"
    ).with_variable(variable("vfn", queries.VFNS, "VFN"))
    _signals(made)
    _processes(made)
    _judging(made)
    _pushing(made)
    _writing(made)
    return made


def _signals(made: build.Dashboard) -> None:
    """The figures that tell at a glance."""
    for panel in (
        number(
            "Processes down",
            InfluxQuery(queries.PROCESSES_DOWN, shape="table"),
            "That did not answer when last asked.",
            steps=((None, look.GOOD), (1, look.BAD)),
            width=6,
        ),
        number("Flow records", InfluxQuery(queries.RECORDS), "Received a second.", unit="cps", width=6),
        number(
            "Records lost",
            InfluxQuery(queries.LOST),
            "On the way to the analyzer, in the range.",
            width=6,
            calculation="sum",
            steps=((None, look.GOOD), (1, look.WARN)),
        ),
        number(
            "Points waiting",
            InfluxQuery(queries.QUEUE),
            "For this database, at the writer.",
            width=6,
            steps=look.above(10_000, 100_000),
        ),
    ):
        made.with_panel(panel)


def _processes(made: build.Dashboard) -> None:
    """Each process, and what it takes."""
    for panel in (
        lanes(
            "Processes",
            InfluxQuery(queries.UP, "$tag_process"),
            "Green: it answered.",
            width=look.TWO_THIRDS,
            steps=UP_OR_DOWN,
        ),
        rows(
            "Starts",
            InfluxQuery(queries.STARTS, shape="table"),
            "How often control has started a process, and for how long it has been up.",
            width=look.THIRD,
            units={"uptime": "s"},
            coloured={"up": UP_OR_DOWN},
        ),
        graph(
            "Processor",
            InfluxQuery(queries.CPU, "$tag_process"),
            "Cores in use.",
            unit="percentunit",
            calculations=("mean", "max"),
        ),
        graph("Memory", InfluxQuery(queries.MEMORY, "$tag_process"), "Resident.", unit="bytes", calculations=("max",)),
        graph(
            "Longest wait of control's hub",
            InfluxQuery(queries.LAG, "$tag_process"),
            "20 ms are its limit.",
            unit="s",
            steps=look.above(0.02, 0.1),
            calculations=("max",),
        ),
        graph(
            "Queues",
            InfluxQuery(queries.WAITING, "$tag_process"),
            "Messages or points that wait.",
            calculations=("max",),
        ),
    ):
        made.with_panel(panel)


def _judging(made: build.Dashboard) -> None:
    """From records to verdicts."""
    for panel in (
        graph(
            "Time to judge",
            InfluxQuery(queries.DELAY, "p99"),
            "From a datagram's receipt to the end of its judgement.",
            unit="s",
            steps=look.above(0.5, 1.0),
            calculations=("max",),
        ),
        graph(
            "Not judged, not kept",
            [InfluxQuery(query, words, ref=ref) for ref, (words, query) in zip(REFS, queries.NOT_JUDGED, strict=False)],
            "Each is counted where it happens; none should.",
            bars=True,
            stacked=True,
            calculations=("sum",),
        ),
        graph(
            "Flow records lost, by VFN",
            InfluxQuery(queries.TELEMETRY_LOST, "$tag_vfn"),
            "By the gaps in sequence numbers.",
            bars=True,
            stacked=True,
            links=(TO_VFN,),
            calculations=("sum",),
        ),
    ):
        made.with_panel(panel)


def _pushing(made: build.Dashboard) -> None:
    """From rules to switches."""
    for panel in (
        graph(
            "Slowest push",
            InfluxQuery(queries.PUSH_SECONDS, "$tag_vfn"),
            "Of entries to a VFN, to its barrier.",
            unit="s",
            links=(TO_VFN,),
            calculations=("max",),
        ),
        graph(
            "Time until a rule holds",
            InfluxQuery(queries.RULE_SECONDS, "$tag_action $tag_change"),
            "Slowest of the interval, until it was read back in all its VFNs.",
            unit="s",
            calculations=("max",),
        ),
    ):
        made.with_panel(panel)


def _writing(made: build.Dashboard) -> None:
    """Into this database."""
    lost = {"refused": look.BAD, "dropped": look.WARN, "sent again": look.FAIR}
    for panel in (
        graph("Points written", InfluxQuery(queries.WRITTEN, "written"), "Into this database.", unit="cps"),
        graph(
            "Points not written",
            [InfluxQuery(query, words, ref=ref) for ref, (words, query) in zip(REFS, queries.UNWRITTEN, strict=False)],
            "Refused by the database, or dropped as it was away too long.",
            bars=True,
            colours=lost,
            calculations=("sum",),
        ),
        graph(
            "Slowest write",
            InfluxQuery(queries.WRITE_SECONDS, "slowest"),
            "Confirmed request to this database.",
            unit="s",
        ),
    ):
        made.with_panel(panel)
