"""A VM's risk over time, with its attacks, rules and releases: one lane, used in the time line and in the close-ups."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from dashboards.model import AttackSpan, ReportRule, RiskPoint
from dashboards.svg import ATTACK, CUT, GRID, INK, MUTED, RISK, TimeScale, add, tip


def attack_ground(drawing: ET.Element, span: AttackSpan, scale: TimeScale, y: float, height: float) -> None:
    """The time of an attack as coloured ground."""
    if span.end < scale.start or span.start > scale.end:
        return
    left, right = scale.x(span.start), scale.x(span.end)
    box = add(drawing, "rect", x=left, y=y, width=max(right - left, 1.5), height=height, fill=ATTACK)
    tip(box, f"attack {span.name} of {span.vm}, {span.end - span.start:.1f} s")


def risk_curve(drawing: ET.Element, points: Sequence[RiskPoint], scale: TimeScale, y: float, height: float) -> None:
    """Risk 0..100 as a filled step line: a verdict holds until the next one."""
    bottom = y + height
    add(drawing, "line", x1=scale.left, x2=scale.right, y1=bottom, y2=bottom, stroke=GRID)
    steps = _changes(points)
    if not steps:
        return

    def level(risk: float) -> float:
        return bottom - height * min(max(risk, 0.0), 100.0) / 100

    path = [f"M {scale.x(steps[0].time):.1f} {bottom:.1f}"]
    for point in steps:
        path += [f"H {scale.x(point.time):.1f}", f"V {level(point.risk):.1f}"]
    path.append(f"H {scale.x(max(points[-1].time, scale.start)):.1f}")
    line = " ".join(path)
    add(drawing, "path", d=f"{line} V {bottom:.1f} Z", fill=RISK, fill_opacity=0.18)
    curve = add(drawing, "path", d=line, fill="none", stroke=RISK, stroke_width=1.6)
    worst = max(points, key=lambda point: point.risk)
    tip(curve, f"{worst.vm}: risk up to {worst.risk:.0f}" + (f", {worst.behaviour}" if worst.behaviour else ""))


def rule_marks(
    drawing: ET.Element, rule: ReportRule, scale: TimeScale, y: float, height: float, *, words: bool = False
) -> None:
    """Issued (dotted), enforced (solid, filled head) and released (solid, open head) as vertical lines.

    The heads, and their words, stand in the 10 units above the lane.
    """
    bottom = y + height
    if scale.holds(rule.created):
        x = scale.x(rule.created)
        mark = add(drawing, "line", x1=x, x2=x, y1=y, y2=bottom, stroke=INK, stroke_width=1.2, stroke_dasharray="2 2")
        tip(mark, f"rule {rule.id} issued: {rule.action} {rule.vm}")
    enforced = "isolated" if rule.action == "isolate" else "enforced"
    for time, fill, word in ((rule.enforced, CUT, enforced), (rule.released, "#ffffff", "released")):
        if time is None or not scale.holds(time):
            continue
        x = scale.x(time)
        mark = add(drawing, "line", x1=x, x2=x, y1=y - 6, y2=bottom, stroke=CUT, stroke_width=2)
        tip(mark, f"rule {rule.id} {word}")
        add(drawing, "circle", cx=x, cy=y - 6, r=4, fill=fill, stroke=CUT, stroke_width=1.8)
        if words:
            late = x > scale.right - 60
            text = add(drawing, "text", word, x=x - 8 if late else x + 8, y=y - 2, fill=CUT, class_="small strong")
            text.set("text-anchor", "end" if late else "start")


def risk_scale(drawing: ET.Element, x: float, y: float, height: float) -> None:
    """The figures 0 and 100 beside a lane."""
    add(drawing, "text", "100", x=x, y=y + 8, text_anchor="end", fill=MUTED, class_="tiny")
    add(drawing, "text", "0", x=x, y=y + height, text_anchor="end", fill=MUTED, class_="tiny")


def _changes(points: Sequence[RiskPoint]) -> list[RiskPoint]:
    """The points at which the risk differs from the one before."""
    return [
        point for number, point in enumerate(points) if number == 0 or abs(point.risk - points[number - 1].risk) >= 0.5
    ]
