"""The seconds that matter of one attack: risk, rule, and every 100 ms of the attacker's probes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from dashboards import svg
from dashboards.labels import fit
from dashboards.model import AttackSpan, DemoReport, ProbeSeries, ReportRule
from dashboards.risk_view import attack_ground, risk_curve, risk_scale, rule_marks
from dashboards.strips import loss_words, strip
from dashboards.svg import INK, TimeScale, add, axis, markup, picture, tip

WIDTH, LEFT, RIGHT = 384.0, 26.0, 376.0
TOP, LANE, STRIP, ROW = 22.0, 70.0, 16.0, 34.0
BEFORE, AFTER, AT_MOST = 1.0, 2.0, 30.0


def draw(report: DemoReport, attack: AttackSpan) -> str:
    """The close-up as inline SVG."""
    rules = [rule for rule in report.rules if rule.vm == attack.vm]
    probes = probes_of(report, attack)
    scale = window(attack, answer_to(report, attack))
    bottom = TOP + LANE + 8 + len(probes) * ROW
    drawing = picture(WIDTH, bottom + 20, f"Close-up of attack {attack.name}")
    axis(drawing, scale, TOP, bottom, attack.start, room=44)
    attack_ground(drawing, attack, scale, TOP, LANE)
    risk_scale(drawing, LEFT - 4, TOP, LANE)
    risk_curve(drawing, [point for point in report.risk if point.vm == attack.vm], scale, TOP, LANE)
    rule_marks(drawing, rules, scale, TOP, bottom - TOP)
    for number, series in enumerate(probes):
        _row(drawing, series, scale, TOP + LANE + 8 + number * ROW)
    return markup(drawing)


def answer_to(report: DemoReport, attack: AttackSpan) -> ReportRule | None:
    """The rule that answered an attack, if one did: of several steps the one that nothing stronger stood for."""
    answers = [rule for rule in report.rules if rule.attack == attack.name]
    return next((rule for rule in answers if rule.replaced_by is None), next(iter(answers), None))


def probes_of(report: DemoReport, attack: AttackSpan) -> list[ProbeSeries]:
    """The attacker's probes, in and out."""
    return [p for p in report.probes if p.kind == "attacker" and attack.vm in (p.source, p.target)]


def window(attack: AttackSpan, rule: ReportRule | None) -> TimeScale:
    """From shortly before the first attack packet until shortly after the rule holds, or the attack ends."""
    end = attack.end if rule is None or rule.enforced is None else max(rule.enforced, attack.start)
    end = min(end, attack.start + AT_MOST)
    return TimeScale(attack.start - BEFORE, end + AFTER, LEFT, RIGHT)


def _row(drawing: ET.Element, series: ProbeSeries, scale: TimeScale, y: float) -> None:
    words = fit(f"{series.source} → {series.target}", RIGHT - LEFT, 11.5)
    tip(add(drawing, "text", words, x=LEFT, y=y + 10, fill=INK, class_="small"), f"{series.name}: {loss_words(series)}")
    add(drawing, "rect", x=LEFT, y=y + 14, width=RIGHT - LEFT, height=STRIP, fill=svg.LANE_GROUND)
    strip(drawing, series, scale, y + 14, STRIP, merged=False)
