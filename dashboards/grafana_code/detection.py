"""Detection quality: does the baseline still fit, and how often was somebody cut off for nothing?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from analyzer.drift import LEVEL
from dashboards import queries
from dashboards.grafana_code import frame, look
from dashboards.grafana_code.panels import UP_OR_DOWN, graph, number
from dashboards.grafana_code.sources import InfluxQuery


def detection() -> build.Dashboard:
    """Does the baseline still fit, and how often was somebody cut off for nothing?"""
    made = frame.dashboard(
        "detection quality",
        frame.DETECTION,
        "Does the baseline still fit, and was anybody cut off for nothing?",
        since="now-6h",
    )
    _signals(made)
    _fit(made)
    _feedback(made)
    return made


def _signals(made: build.Dashboard) -> None:
    """The figures that tell at a glance."""
    for panel in (
        number(
            "Baseline",
            InfluxQuery(queries.JUDGING),
            "Whether there is one that judges.",
            steps=UP_OR_DOWN,
            words={"1": "judging", "0": "learning"},
            width=6,
        ),
        number(
            "False alarms",
            InfluxQuery(queries.FALSE_ALARMS, shape="table"),
            "Rules of the analyzer that somebody has released as a false alarm, in the range.",
            steps=((None, look.GOOD), (1, look.WARN)),
            width=6,
        ),
        number(
            "Time to judge",
            InfluxQuery(queries.DELAY),
            "From a datagram's receipt to the end of its judgement, p99 of a minute.",
            unit="s",
            steps=look.above(0.5, 1.0),
            width=6,
        ),
        number(
            "Outside addresses suspected",
            InfluxQuery(queries.OUTSIDE),
            "With a risk of 1 or more.",
            width=6,
            calculation="max",
        ),
    ):
        made.with_panel(panel)


def _fit(made: build.Dashboard) -> None:
    """What the baseline and behaviours find."""
    for panel in (
        graph(
            "Calibration: unusual traffic",
            InfluxQuery(queries.DRIFT, "$tag_segment"),
            "Part of flows and windows that"
            f" the baseline finds unusual. {LEVEL:.0%} are by definition; what stays above 10 % is drift: the segment"
            " does something else now, or learns.",
            unit="percentunit",
            steps=look.above(2 * LEVEL, 4 * LEVEL),
        ),
        graph("VMs that changed", InfluxQuery(queries.CHANGED, "$tag_segment"), "Behave otherwise than learned."),
        graph(
            "Verdicts by behaviour",
            InfluxQuery(queries.VERDICTS, "$tag_behaviour"),
            "Many of one behaviour and no rule: a floor that fits badly.",
            bars=True,
            stacked=True,
            calculations=("sum",),
        ),
        graph(
            "Confirmed or not",
            InfluxQuery(queries.VERDICTS_CONFIRMED, "confirmed: $tag_confirmed"),
            "Verdicts that were seen often enough to act upon, and those that were not.",
            bars=True,
            stacked=True,
            calculations=("sum",),
        ),
    ):
        made.with_panel(panel)


def _feedback(made: build.Dashboard) -> None:
    """What people made of it, and what is learned."""
    for panel in (
        graph(
            "False alarms by behaviour",
            InfluxQuery(queries.FALSE_ALARMS_BY_BEHAVIOUR, "$tag_behaviour"),
            "Feedback: what the rules answered that somebody has called a false alarm.",
            width=look.THIRD,
            bars=True,
            stacked=True,
            calculations=("sum",),
        ),
        graph(
            "Released by a person",
            InfluxQuery(queries.RELEASED, "released"),
            "Before their time, for whatever reason.",
            width=look.THIRD,
            bars=True,
            colours={"released": look.WARN},
            calculations=("sum",),
        ),
        graph(
            "Rules asked for",
            InfluxQuery(queries.ADMISSION, "$tag_kind"),
            "Admitted, or refused as protected, stale, duplicate or over budget.",
            width=look.THIRD,
            bars=True,
            stacked=True,
            colours={"admitted": look.CALM, "refused": look.WARN},
            calculations=("sum",),
        ),
        graph(
            "Learned from",
            (
                InfluxQuery(queries.SAMPLES, "clean flows waiting"),
                InfluxQuery(queries.LEFT_OUT, "left out under suspicion", ref="B"),
            ),
            "What the next baseline is made of: nobody under suspicion teaches it.",
        ),
        graph(
            "Detections written down",
            InfluxQuery(queries.DETECTIONS, "detections"),
            "Rows of the audit log.",
            bars=True,
            calculations=("sum",),
        ),
    ):
        made.with_panel(panel)
