"""The report as HTML."""

from __future__ import annotations

from markupsafe import Markup

from dashboards.network_report import courses, heat, words
from dashboards.network_report.model import NetworkReport
from dashboards.pages import PAGES

MOST_HAPPENINGS, MOST_REFUSED = 200, 12


def render(report: NetworkReport) -> str:
    """The page; it loads nothing from anywhere, and everything in `report` is escaped."""
    longest = max((pair.bytes for pair in report.talkers), default=1)
    known = {name for pair in report.pairs for name in (pair.source, pair.destination)}
    return PAGES.get_template(
        "network.html.j2"
    ).render(
        report=report,
        risk=Markup(courses.risk(report)),  # noqa: S704 - ElementTree has escaped it
        flows=Markup(courses.flows(report)),  # noqa: S704 - the same
        heat=Markup(heat.draw(report.pairs)),  # noqa: S704 - the same
        heat_is_wide=len(known) > heat.WIDE,
        segments=len(known),
        segments_shown=min(len(known), heat.MOST),
        happenings=report.happenings[::-1][:MOST_HAPPENINGS],
        more=max(len(report.happenings) - MOST_HAPPENINGS, 0),
        refused=report.refused[:MOST_REFUSED],
        refused_more=report.refused[MOST_REFUSED:],
        share=lambda count: f"{100 * count / longest:.1f}",
        decisions=courses.DECISIONS,
        levels=courses.LEVELS,
        flags={kind: Markup(courses.flag(kind)) for kind in courses.MARKS},  # noqa: S704 - the same
        words=words,
        vms=len(courses.vms(report)),
        lanes=courses.MOST_LANES,
    )
