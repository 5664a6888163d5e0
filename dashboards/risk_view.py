"""A VM's risk over time, with its attacks, rules and releases: one lane, used in the time line and in the close-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from dashboards.labels import beside
from dashboards.model import AttackSpan, ReportRule, RiskPoint
from dashboards.svg import ATTACK, CUT, CUT_INK, GRID, INK, MUTED, PAPER, RISK, TimeScale, add, tip

ENFORCED = {
    "isolate": "isolated",
    "restrict": "restricted",
    "rate_limit": "limited",
    "steer": "steered",
    "deny": "denied",
}
"""What has become of a VM when a rule is enforced."""


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


def rule_marks(drawing: ET.Element, rules: Sequence[ReportRule], scale: TimeScale, y: float, height: float) -> None:
    """Of a VM's rules: issued (dotted), enforced (solid, filled head), released (solid, open head) as vertical lines.

    The heads, and their words, stand in the 10 units above the lane.
    """
    marks = [
        mark
        for rule in sorted(rules, key=lambda rule: rule.created)
        for mark in _marks(drawing, rule, scale, y, y + height)
    ]
    for label in beside(marks, scale.left, scale.right):
        text = add(drawing, "text", label.text, x=label.x, y=y - 2, fill=CUT_INK, class_="small strong")
        text.set("text-anchor", label.anchor)


def _marks(
    drawing: ET.Element, rule: ReportRule, scale: TimeScale, y: float, bottom: float
) -> Iterator[tuple[float, str]]:
    """Draw a rule's lines; where they are, and the word for each."""
    if scale.holds(rule.created):
        x = scale.x(rule.created)
        mark = add(drawing, "line", x1=x, x2=x, y1=y, y2=bottom, stroke=INK, stroke_width=1.2, stroke_dasharray="2 2")
        tip(mark, f"rule {rule.id} issued: {rule.action} {rule.vm}")
    freed = rule.released if rule.replaced_by is None else None
    for time, fill, word in ((rule.enforced, CUT, ENFORCED.get(rule.action, "enforced")), (freed, PAPER, "released")):
        if time is None or not scale.holds(time):
            continue
        x = scale.x(time)
        mark = add(drawing, "line", x1=x, x2=x, y1=y - 6, y2=bottom, stroke=CUT, stroke_width=2)
        tip(mark, f"rule {rule.id} {word}")
        add(drawing, "circle", cx=x, cy=y - 6, r=4, fill=fill, stroke=CUT, stroke_width=1.8)
        yield x, word


def risk_scale(drawing: ET.Element, x: float, y: float, height: float) -> None:
    """The figures 0 and 100 beside a lane."""
    add(drawing, "text", "100", x=x, y=y + 8, text_anchor="end", fill=MUTED, class_="tiny")
    add(drawing, "text", "0", x=x, y=y + height, text_anchor="end", fill=MUTED, class_="tiny")


def _changes(points: Sequence[RiskPoint]) -> list[RiskPoint]:
    """The points at which the risk differs from the one before."""
    return [
        point for number, point in enumerate(points) if number == 0 or abs(point.risk - points[number - 1].risk) >= 0.5
    ]
