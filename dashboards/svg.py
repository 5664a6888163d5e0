"""The few lines of drawing that all pictures share. Pictures are inline SVG: no script, no file, no request.

Colours are names of `templates/report.css`, which has them for light and for dark screens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

INK = "var(--ink)"
MUTED = "var(--muted)"
GRID = "var(--line)"
EDGE = "var(--edge)"
"""Of cards, and cables between them."""
PAPER = "var(--paper)"
LANE_GROUND = "var(--lane)"
"""Ground of what runs along the axis of time."""
CUT = "var(--cut)"
"""What was cut off, and what should not have been lost."""
CUT_INK = "var(--bad)"
"""Words about it."""
BLOCKED = "var(--blocked)"
"""An attacker's packet that did not arrive."""
PASSED = "var(--passed)"
"""A packet that arrived."""
RISK = "var(--risk)"
HEAT = "var(--heat)"
ATTACK = "var(--attack)"
"""Ground of the time in which an attack runs."""

SEGMENTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#7a6c5d", "#b8a800", "#332288")
"""Okabe and Ito's colours first: told apart with any colour vision (https://jfly.uni-koeln.de/color/)."""

TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


def picture(width: float, height: float, label: str) -> ET.Element:
    """An empty drawing that scales with the page; `label` is what a screen reader says."""
    return ET.Element(
        "svg", {"viewBox": f"0 0 {width:.0f} {height:.0f}", "width": "100%", "role": "img", "aria-label": label}
    )


def add(parent: ET.Element, tag: str, text: str = "", **attributes: str | float) -> ET.Element:
    """Add an element; ``stroke_width=2`` becomes ``stroke-width="2"``, ``class_`` becomes ``class``."""
    spelled = {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
        for name, value in attributes.items()
    }
    child = ET.SubElement(parent, tag, spelled)
    child.text = text or None
    return child


def tip(element: ET.Element, text: str) -> None:
    """What the browser shows when the pointer rests on `element`."""
    ET.SubElement(element, "title").text = text


def markup(drawing: ET.Element) -> str:
    """The drawing as text; everything that came from outside is escaped."""
    return ET.tostring(drawing, encoding="unicode", short_empty_elements=False)


def segment_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each segment, by its place in the inventory."""
    return {name: SEGMENTS[i % len(SEGMENTS)] for i, name in enumerate(names)}


@dataclass(frozen=True)
class TimeScale:
    """Where a time (epoch seconds) lies on a horizontal axis."""

    start: float
    end: float
    left: float
    right: float

    def x(self, time: float) -> float:
        """Position of `time`; what lies outside the axis is put on its edge."""
        inside = min(max(time, self.start), self.end)
        return self.left + (inside - self.start) / (self.end - self.start) * (self.right - self.left)

    def holds(self, time: float) -> bool:
        """Does `time` lie on the axis?"""
        return self.start <= time <= self.end

    def ticks(self, room: float, zero: float) -> list[tuple[float, str]]:
        """(position, label) of round seconds since `zero`, at least `room` apart."""
        per_second = (self.right - self.left) / (self.end - self.start)
        step = next((tick for tick in TICKS if tick * per_second >= room), TICKS[-1])
        first = int(-(-(self.start - zero) // step))
        count = int((self.end - zero) // step) - first + 1
        return [(self.x(zero + i * step), f"{i * step:g} s") for i in range(first, first + count)]


def axis(drawing: ET.Element, scale: TimeScale, top: float, bottom: float, zero: float, room: float = 70) -> None:
    """Vertical grid lines with their time below."""
    for x, label in scale.ticks(room, zero):
        add(drawing, "line", x1=x, x2=x, y1=top, y2=bottom, stroke=GRID)
        add(drawing, "text", label, x=x, y=bottom + 14, text_anchor="middle", fill=MUTED, class_="small")
