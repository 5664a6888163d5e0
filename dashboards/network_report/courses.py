"""Time lines: a lane of risk for each VM with what was done about it, and the flows by what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from dashboards import queries
from dashboards.labels import BOLD, fit
from dashboards.network_report.clock import axis, label
from dashboards.network_report.model import Course, Happening, NetworkReport
from dashboards.network_report.words import rounded
from dashboards.svg import GRID, INK, LANE_GROUND, MUTED, PAPER, TimeScale, add, markup, picture, tip

WIDTH, RIGHT = 1160.0, 1135.0
NAMES = (100.0, 240.0)
"""Least and most room for names of VMs."""
LANE, GAP, MOST_LANES = 26.0, 8.0, 24
STACK = 150.0
SPOKEN = 5
"""VMs whose highest risk a screen reader says of the whole picture."""
LEVELS = (
    (queries.GRAVE_RISK, "var(--grave)"),
    (queries.ACTING_RISK, "var(--warn)"),
    (queries.FAIR_RISK, "var(--fair)"),
    (0, "var(--calm)"),
)
"""Colours of risk, from each step on."""
DECISIONS = {name: f"var(--{name})" for name in ("allowed", "unknown", "denied")}
"""From the bottom up."""
MARKS = {kind: f"var(--{kind})" for kind in ("isolation", "restriction", "denial", "release")}
_FLAGS = {
    "isolation": "h 8 v 7 h -8 z",
    "restriction": "l 8 3.5 l -8 3.5 z",
    "denial": "h 8 l -3 3.5 l 3 3.5 h -8 z",
    "release": "h -8 v 7 h 8 z",
}
"""Shapes: kinds are told apart without colour, too. To the right for what begins, to the left for what ends."""


def vms(report: NetworkReport) -> list[str]:
    """Who has a lane, the riskiest first: VMs at risk, and those that something was done about all the same."""
    done = {each.vm for each in report.happenings if each.vm and each.kind in MARKS}
    return sorted({*report.risks, *done}, key=lambda name: (-_worst(report.risks.get(name, ())), name))


def risk(report: NetworkReport) -> str:
    """A lane for each VM as inline SVG."""
    shown = vms(report)[:MOST_LANES]
    bottom = 10 + len(shown) * (LANE + GAP)
    worst = ", ".join(f"{name} {rounded(_worst(report.risks.get(name, ())))}" for name in shown[:SPOKEN])
    drawing = picture(WIDTH, bottom + 24, f"Risk of VMs over time; the highest: {worst}")
    scale = _scale(report)
    axis(drawing, scale, 6, bottom)
    for number, name in enumerate(shown):
        y = 8 + number * (LANE + GAP)
        words = fit(name, NAMES[1], letter=BOLD)
        text = add(drawing, "text", words, x=scale.left - 10, y=y + 18, text_anchor="end", fill=INK, class_="strong")
        tip(text, name)
        add(drawing, "rect", x=scale.left, y=y, width=RIGHT - scale.left, height=LANE, fill=LANE_GROUND)
        _bars(drawing, name, report.risks.get(name, ()), scale, y, report.step)
        _marks(drawing, [each for each in report.happenings if each.vm == name], scale, y)
    return markup(drawing)


def _worst(course: Course) -> float:
    return max((value for _, value in course), default=0.0)


def _scale(report: NetworkReport) -> TimeScale:
    """The axis of both time lines, to the right of the longest name."""
    widest = max(map(len, vms(report)), default=0) * 13 * BOLD
    return TimeScale(report.since, report.until, 15 + min(max(widest, NAMES[0]), NAMES[1]), RIGHT)


def _bars(drawing: ET.Element, name: str, course: Course, scale: TimeScale, y: float, step: float) -> None:
    for time, value in course:
        left, right = scale.x(time), scale.x(time + step)
        tall = max(LANE * value / 100, 1.0)
        colour = next(colour for least, colour in LEVELS if value >= least)
        bar = add(drawing, "rect", x=left, y=y + LANE - tall, width=max(right - left, 1.5), height=tall, fill=colour)
        tip(bar, f"{name}: {value:.0f} at {label(time, 1)}")


def _marks(drawing: ET.Element, happenings: Sequence[Happening], scale: TimeScale, y: float) -> None:
    """A line with a flag where something was done."""
    for each in happenings:
        if each.kind not in MARKS or not scale.holds(each.time):
            continue
        x, colour = scale.x(each.time), MARKS[each.kind]
        group = add(drawing, "g")
        for ink, width in ((PAPER, 5), (colour, 2)):  # apart from bars of its own colour
            add(group, "line", x1=x, x2=x, y1=y - 3, y2=y + LANE, stroke=ink, stroke_width=width)
        add(group, "path", d=f"M {x:.1f} {y - 4:.1f} {_FLAGS[each.kind]}", fill=colour)
        tip(group, f"{label(each.time, 1)} {each.title}\n{each.text}")


def flag(kind: str) -> str:
    """A mark as the legend has it, as inline SVG."""
    drawing = ET.Element("svg", {"viewBox": "0 0 20 14", "width": "20", "height": "14", "aria-hidden": "true"})
    add(drawing, "path", d="M 9 0 h 2 v 14 h -2 z", fill=MARKS[kind])
    add(drawing, "path", d=f"M 10 0 {_FLAGS[kind]}", fill=MARKS[kind])
    return markup(drawing)


def flows(report: NetworkReport) -> str:
    """Flows per second, one decision on top of the other, as inline SVG."""
    most = ", ".join(
        f"{name} {rounded(_worst(report.decisions[name]))}" for name in DECISIONS if name in report.decisions
    )
    drawing = picture(WIDTH, STACK + 40, f"Flows by decision over time; the most a second: {most}")
    scale = _scale(report)
    axis(drawing, scale, 10, STACK + 10)
    totals: dict[float, float] = {}
    for course in report.decisions.values():
        for time, value in course:
            totals[time] = totals.get(time, 0.0) + value
    top = _round_up(max(totals.values(), default=0.0) or 1.0)
    for share in (0, 0.5, 1):
        y = 10 + STACK * (1 - share)
        add(drawing, "line", x1=scale.left, x2=RIGHT, y1=y, y2=y, stroke=GRID)
        words = f"{rounded(top * share)} / s"
        add(drawing, "text", words, x=scale.left - 10, y=y + 4, text_anchor="end", fill=MUTED, class_="small")
    _stack(drawing, report.decisions, scale, top, report.step)
    return markup(drawing)


def _stack(drawing: ET.Element, decisions: Mapping[str, Course], scale: TimeScale, top: float, step: float) -> None:
    heights: dict[float, float] = {}
    for name, colour in DECISIONS.items():
        for time, value in decisions.get(name, ()):
            if not value:
                continue
            below = heights.get(time, 0.0)
            heights[time] = below + value
            left, width = scale.x(time), scale.x(time + step) - scale.x(time)
            y = 10 + STACK * (1 - heights[time] / top)
            # Half a pixel wider than its interval: neighbours leave no slit between them.
            box = add(drawing, "rect", x=left, y=y, width=width + 0.5, height=STACK * value / top, fill=colour)
            tip(box, f"{rounded(value)} {name} / s at {label(time, 1)}")


def _round_up(value: float) -> float:
    """The next round number, such as 1, 1.5, 2, 3, 4, 6, 8 and ten times these."""
    size = 10.0 ** (len(f"{int(value)}") - 1)
    while size > value:
        size /= 10
    return next(step * size for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if step * size >= value)
