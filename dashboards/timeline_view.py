"""The whole run on one time axis: risk of each VM that mattered, and every probe."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from dashboards import svg
from dashboards.labels import BOLD, fit
from dashboards.model import DemoReport, ProbeSeries, ReportVm, RiskPoint
from dashboards.risk_view import attack_ground, risk_curve, risk_scale, rule_marks
from dashboards.strips import loss_words, strip
from dashboards.svg import GRID, INK, MUTED, TimeScale, add, axis, markup, picture, segment_colours, tip

WIDTH, LEFT, RIGHT = 1160.0, 205.0, 1145.0
FLAGS, LANE, LANE_GAP, STRIP, STRIP_GAP = 36.0, 54.0, 20.0, 14.0, 7.0
NAMES = LEFT - 22 - 28
"""Room of names, to the left of the figures of the scale."""
FLAG = 20.0
"""Room of a moment's flag."""
QUIET_BELOW = 20.0
"""A VM that never went above this risk, was not attacked from and met no rule has no lane of its own."""


def draw(report: DemoReport) -> str:
    """The time line as inline SVG."""
    scale = TimeScale(report.started, max(report.ended, report.started + 1.0), LEFT, RIGHT)
    lanes = noteworthy(report)
    quiet = [vm.name for vm in report.vms if vm not in lanes]
    probes = sorted(report.probes, key=lambda series: series.kind)  # attackers first
    bottom = FLAGS + (len(lanes) + bool(quiet)) * (LANE + LANE_GAP) + len(probes) * (STRIP + STRIP_GAP) + 34
    drawing = picture(WIDTH, bottom + 22, "Time line of risk and probes")
    axis(drawing, scale, FLAGS - 6, bottom, report.started)
    _moments(drawing, report, scale, bottom)
    y = FLAGS
    for vm in lanes:
        _lane(drawing, report, vm, scale, y)
        y += LANE + LANE_GAP
    if quiet:
        _quiet(drawing, report, quiet, scale, y)
        y += LANE + LANE_GAP
    for kind, title in (("attacker", "Probes from and to attackers"), ("innocent", "Probes among innocents")):
        row = [series for series in probes if series.kind == kind]
        if row:
            add(drawing, "text", title, x=8, y=y + 8, fill=INK, class_="small strong")
            y = _strips(drawing, row, scale, y + 16)
    return markup(drawing)


def noteworthy(report: DemoReport) -> list[ReportVm]:
    """VMs that get a lane: attackers, those that a rule touched, and those with a risk worth looking at."""
    names = {span.vm for span in report.attacks} | {rule.vm for rule in report.rules}
    names |= {point.vm for point in report.risk if point.risk >= QUIET_BELOW}
    return [vm for vm in report.vms if vm.name in names]


def _lane(drawing: ET.Element, report: DemoReport, vm: ReportVm, scale: TimeScale, y: float) -> None:
    colour = segment_colours([segment.name for segment in report.segments]).get(vm.segment, MUTED)
    add(drawing, "rect", x=8, y=y + 2, width=6, height=LANE - 4, rx=2, fill=colour)
    name = add(drawing, "text", fit(vm.name, NAMES, letter=BOLD), x=22, y=y + 16, fill=INK, class_="strong")
    tip(name, vm.name)
    add(drawing, "text", fit(vm.segment, NAMES, 11.5), x=22, y=y + 32, fill=MUTED, class_="small")
    risk_scale(drawing, LEFT - 5, y, LANE)
    for span in report.attacks:
        if span.vm == vm.name:
            attack_ground(drawing, span, scale, y, LANE)
            add(drawing, "text", fit(span.name, NAMES, 11.5), x=22, y=y + 48, fill=MUTED, class_="small")
    risk_curve(drawing, [point for point in report.risk if point.vm == vm.name], scale, y, LANE)
    rule_marks(drawing, [rule for rule in report.rules if rule.vm == vm.name], scale, y, LANE)


def _quiet(drawing: ET.Element, report: DemoReport, names: Sequence[str], scale: TimeScale, y: float) -> None:
    """All other VMs in one lane: their highest risk at each time."""
    add(drawing, "text", f"{len(names)} other VMs", x=22, y=y + 16, fill=INK, class_="strong")
    add(drawing, "text", "highest of their risks", x=22, y=y + 32, fill=MUTED, class_="small")
    risk_scale(drawing, LEFT - 5, y, LANE)
    highest: dict[float, RiskPoint] = {}
    known = set(names)
    for point in report.risk:
        if point.vm in known and (point.time not in highest or point.risk > highest[point.time].risk):
            highest[point.time] = point
    risk_curve(drawing, [highest[time] for time in sorted(highest)], scale, y, LANE)


def _strips(drawing: ET.Element, row: Sequence[ProbeSeries], scale: TimeScale, y: float) -> float:
    for series in row:
        label = add(
            drawing,
            "text",
            fit(f"{series.source} → {series.target}", NAMES, 11.5),
            x=22,
            y=y + 11,
            fill=INK,
            class_="small",
        )
        tip(label, f"{series.name}: {loss_words(series)}")
        add(drawing, "rect", x=LEFT, y=y, width=RIGHT - LEFT, height=STRIP, fill=svg.LANE_GROUND)
        strip(drawing, series, scale, y, STRIP, merged=True)
        y += STRIP + STRIP_GAP
    return y + 1


def _moments(drawing: ET.Element, report: DemoReport, scale: TimeScale, bottom: float) -> None:
    """Numbered flags; the list below the picture says what they mean."""
    times = [scale.x(moment.time) for moment in report.moments]
    for number, (moment, x, flag) in enumerate(zip(report.moments, times, spread(times), strict=True), start=1):
        way = add(drawing, "path", d=f"M {flag:.1f} 18 L {x:.1f} 26 V {bottom:.1f}", fill="none", stroke=svg.EDGE)
        way.set("stroke-dasharray", "3 3")
        circle = add(drawing, "circle", cx=flag, cy=10, r=9, fill=svg.PAPER, stroke=MUTED)
        tip(circle, moment.text)
        add(drawing, "text", str(number), x=flag, y=14, text_anchor="middle", fill=INK, class_="small")
    add(drawing, "line", x1=LEFT, x2=RIGHT, y1=bottom, y2=bottom, stroke=GRID)


def spread(places: Sequence[float]) -> list[float]:
    """The places moved apart to a flag's width, groups that touch kept over their middle; order stays."""
    groups: list[list[float]] = []  # [middle, number of flags]
    for place in sorted(places):
        groups.append([place, 1.0])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < FLAG * (groups[-1][1] + groups[-2][1]) / 2:
            (middle, many), (before, few) = groups.pop(), groups.pop()
            groups.append([(middle * many + before * few) / (many + few), many + few])
    apart = [middle + FLAG * (n - (many - 1) / 2) for middle, many in groups for n in range(int(many))]
    order = sorted(range(len(places)), key=places.__getitem__)
    return [x for _, x in sorted(zip(order, apart, strict=True))]
