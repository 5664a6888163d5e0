"""The heat map of segment pairs: who sends how much to whom, and where it was refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from dashboards.labels import fit
from dashboards.network_report.model import Pair
from dashboards.network_report.words import amount
from dashboards.svg import CUT, GRID, HEAT, INK, add, markup, picture, tip

MOST = 30
"""Segments at each side; of more, those that exchange most are shown."""
WIDE = 12
"""With more segments than these the map takes the page's whole width."""
_NAME = 24 * 7.2
"""Most room of a name."""
TURN = 0.66
"""Share of the heat's colour from which words on it are of the other ink (both can be read there)."""


def draw(pairs: Sequence[Pair]) -> str:
    """Rows send, columns receive; the darker the more bytes, each shade ten times the one before; as inline SVG."""
    names = segments(pairs)
    cell = max(24.0, min(54.0, 560.0 / max(len(names), 1)))
    room = 16 + min(7.2 * max((len(name) for name in names), default=4), _NAME)
    size = len(names) * cell
    drawing = picture(room + size + 8, room + size + 8, "Traffic between segments")
    drawing.set("style", f"max-width: {room + size + 8:.0f}px")  # a few large cells say no more than small ones
    by_ends = {(pair.source, pair.destination): pair for pair in pairs}
    most = max((pair.bytes for pair in pairs), default=0)
    for row, source in enumerate(names):
        y = room + row * cell
        name = fit(source, room - 16, 11.5)
        text = add(drawing, "text", name, x=room - 8, y=y + cell / 2 + 4, text_anchor="end", fill=INK, class_="small")
        tip(text, source)
        x = room + row * cell + cell / 2
        turned = f"rotate(-90 {x:.0f} {room - 8:.0f})"
        add(drawing, "text", name, x=x + 4, y=room - 8, fill=INK, class_="small", transform=turned)
        for column, destination in enumerate(names):
            pair = by_ends.get((source, destination), Pair(source, destination))
            _cell(drawing, pair, room + column * cell, y, cell, most)
    return markup(drawing)


def segments(pairs: Sequence[Pair]) -> list[str]:
    """The segments that exchange most, in the order of their names; `outside` last."""
    weight: dict[str, int] = {}
    for pair in pairs:
        for name in {pair.source, pair.destination}:
            weight[name] = weight.get(name, 0) + pair.bytes + pair.denied
    shown = sorted(weight, key=lambda name: -weight[name])[:MOST]
    return sorted(shown, key=lambda name: (name == "outside", name))


def _cell(drawing: ET.Element, pair: Pair, x: float, y: float, cell: float, most: int) -> None:
    group = add(drawing, "g")
    share = _share(pair.bytes, most) if pair.bytes else 0.0
    box = add(group, "rect", x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=3, fill=HEAT, stroke=GRID)
    box.set("fill-opacity", f"{share:.2f}")
    if pair.bytes and cell >= 44:
        ink = "var(--on-full-heat)" if share > TURN else "var(--on-light-heat)"
        words = amount(pair.bytes).replace(" ", "")
        add(group, "text", words, x=x + cell / 2, y=y + cell / 2 + 4, text_anchor="middle",
            fill=ink, class_="tiny")  # fmt: skip
    if pair.denied:
        corner = min(cell / 2, 16.0)
        add(
            group,
            "path",
            d=f"M {x + cell - 1:.1f} {y + 1:.1f} v {corner:.1f} l {-corner:.1f} {-corner:.1f} z",
            fill=CUT,
        )
    passed = f"{pair.flows:,} flows, {amount(pair.bytes)}"
    tip(group, f"{pair.source} → {pair.destination}: {passed}; {pair.denied:,} flows denied")


def _share(value: int, most: int) -> float:
    """Of the heat's colour: by orders of magnitude, of which the largest eight have shades."""
    return max(0.08, 1 - (math.log10(most) - math.log10(value)) / 8)
