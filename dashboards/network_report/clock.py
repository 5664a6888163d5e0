"""A horizontal axis of clock time (UTC), shared by the pictures of the report."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from dashboards.svg import GRID, MUTED, TimeScale, add

STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)


def ticks(scale: TimeScale, room: float = 80.0) -> list[tuple[float, str]]:
    """(position, label) of round times at least `room` apart."""
    per_second = (scale.right - scale.left) / (scale.end - scale.start)
    step = next((step for step in STEPS if step * per_second >= room), STEPS[-1])
    first = -(-scale.start // step) * step
    count = int((scale.end - first) // step) + 1
    return [(scale.x(first + i * step), label(first + i * step, step)) for i in range(count)]


def label(time: float, step: float) -> str:
    """A time as far as `step` tells times apart; a day's first has its date."""
    moment = datetime.fromtimestamp(time, UTC)
    if time % 86_400 == 0:
        return f"{moment:%b %d}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def axis(drawing: ET.Element, scale: TimeScale, top: float, bottom: float) -> None:
    """Vertical grid lines with their time below."""
    for x, words in ticks(scale):
        add(drawing, "line", x1=x, x2=x, y1=top, y2=bottom, stroke=GRID)
        add(drawing, "text", words, x=x, y=bottom + 15, text_anchor="middle", fill=MUTED, class_="small")
