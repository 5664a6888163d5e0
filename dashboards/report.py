"""The report of a demo run: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from dashboards import closeup_view, svg, timeline_view, topology_view
from dashboards.model import AttackSpan, DemoReport, ReportRule
from dashboards.pages import PAGES
from dashboards.strips import loss_words


@dataclass(frozen=True)
class AttackCard:
    """What the page says about one attack."""

    attack: AttackSpan
    rule: ReportRule | None
    figures: dict[str, Any]
    """Its entry in `summary["attacks"]`, empty if there is none."""
    drawing: Markup


def render(data: DemoReport) -> str:
    """The page as HTML; it loads nothing from anywhere, and everything in `data` is escaped."""
    page = PAGES.get_template("report.html.j2")
    return page.render(
        data=data,
        date=datetime.fromtimestamp(data.started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        cards=[_card(data, attack) for attack in data.attacks],
        topology=Markup(topology_view.draw(data)),  # noqa: S704 - ElementTree has escaped it
        timeline=Markup(timeline_view.draw(data)),  # noqa: S704 - the same
        colours=svg.segment_colours([segment.name for segment in data.segments]),
        paint=svg,
        loss_words=loss_words,
        summary=json.dumps(data.summary, indent=2, default=str),
        since=lambda time: "–" if time is None else f"{time - data.started:.2f} s",
    )


def _card(data: DemoReport, attack: AttackSpan) -> AttackCard:
    entries = data.summary.get("attacks", ())
    figures = next((dict(entry) for entry in entries if entry.get("name") == attack.name), {})
    drawing = Markup(closeup_view.draw(data, attack))  # noqa: S704 - ElementTree has escaped it
    return AttackCard(attack, closeup_view.answer_to(data, attack), figures, drawing)
