"""The network as a picture: VFNs as cards on levels, their VMs as chips in the segment's colour, cut ones marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import networkx as nx

from dashboards import svg
from dashboards.labels import BOLD, fit
from dashboards.model import DemoReport, ReportOutside, ReportRule, ReportVm
from dashboards.svg import CUT, GRID, INK, MUTED, add, markup, picture, segment_colours, tip

CHIP_WIDTH, CHIP_HEIGHT, GAP = 150.0, 46.0, 8.0
HEAD, LEVEL_GAP, CARD_GAP = 28.0, 46.0, 22.0


@dataclass(frozen=True)
class Card:
    """A VFN with the chips on it; x and y are set by `place`."""

    vfn: str
    chips: Sequence[ReportVm | ReportOutside]
    columns: int
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Wide enough for its columns of chips, and for its name."""
        return self.columns * CHIP_WIDTH + (self.columns + 1) * GAP

    @property
    def height(self) -> float:
        """Its head and as many rows as the chips need."""
        rows = -(-len(self.chips) // self.columns)
        return HEAD + rows * (CHIP_HEIGHT + GAP) + (GAP if rows else 0)

    @property
    def middle(self) -> float:
        """Horizontal centre."""
        return self.x + self.width / 2


def draw(report: DemoReport) -> str:
    """The picture as inline SVG."""
    cards, width, height = place(report)
    drawing = picture(width, height + 1, "Topology with isolated VMs")
    for link in report.links:
        _link(drawing, cards[link.a], cards[link.b])
    colours = segment_colours([segment.name for segment in report.segments])
    rules = {rule.id: rule for rule in report.rules}
    for card in cards.values():
        _card(drawing, card, colours, rules)
    return markup(drawing)


def place(report: DemoReport) -> tuple[Mapping[str, Card], float, float]:
    """Cards by VFN name, and the size of the whole: the VFN with most links on top, others by distance below it."""
    cards: dict[str, Card] = {}
    y = 0.0
    levels = [[_make(report, vfn, wide=len(level) == 1) for vfn in level] for level in levels_of(report)]
    widths = [sum(card.width for card in level) + CARD_GAP * (len(level) - 1) for level in levels]
    total = max(widths, default=0.0)
    for level, width in zip(levels, widths, strict=True):
        x = (total - width) / 2
        for card in level:
            cards[card.vfn] = Card(card.vfn, card.chips, card.columns, x, y)
            x += card.width + CARD_GAP
        y += max(card.height for card in level) + LEVEL_GAP
    return cards, total, max(y - LEVEL_GAP, 1.0)


def levels_of(report: DemoReport) -> list[list[str]]:
    """VFN names by their distance from the best connected one, in the inventory's order; unlinked ones last."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(report.vfns)
    graph.add_edges_from((link.a, link.b) for link in report.links)
    levels: dict[int, list[str]] = {}
    base = 0
    for part in sorted(nx.connected_components(graph), key=len, reverse=True):
        order = [vfn for vfn in report.vfns if vfn in part]
        root = max(order, key=lambda vfn: graph.degree[vfn])
        far = nx.single_source_shortest_path_length(graph, root)
        for vfn in order:
            levels.setdefault(base + far[vfn], []).append(vfn)
        base = max(levels) + 1
    return [levels[number] for number in sorted(levels)]


def _make(report: DemoReport, vfn: str, *, wide: bool) -> Card:
    chips: list[ReportVm | ReportOutside] = [vm for vm in report.vms if vm.vfn == vfn]
    chips += [host for host in report.outside if host.vfn == vfn]
    return Card(vfn, chips, min(max(len(chips), 1), 6 if wide else 2))


def _link(drawing: ET.Element, one: Card, other: Card) -> None:
    upper, lower = sorted((one, other), key=lambda card: card.y)
    if upper.y == lower.y:  # neighbours on one level: a bow above both heads
        bow = f"M {upper.middle} {upper.y} C {upper.middle} {upper.y - 30} {lower.middle} {lower.y - 30}"
        path = f"{bow} {lower.middle} {lower.y}"
    else:
        start, end = upper.y + upper.height, lower.y
        half = (start + end) / 2
        path = f"M {upper.middle} {start} C {upper.middle} {half} {lower.middle} {half} {lower.middle} {end}"
    add(drawing, "path", d=path, fill="none", stroke=svg.EDGE, stroke_width=2.5)


def _card(drawing: ET.Element, card: Card, colours: Mapping[str, str], rules: Mapping[str, ReportRule]) -> None:
    add(
        drawing,
        "rect",
        x=card.x,
        y=card.y,
        width=card.width,
        height=card.height,
        rx=8,
        fill=svg.LANE_GROUND,
        stroke=svg.EDGE,
    )
    add(drawing, "text", card.vfn, x=card.middle, y=card.y + 19, text_anchor="middle", fill=INK, class_="strong")
    for number, chip in enumerate(card.chips):
        row, column = divmod(number, card.columns)
        x = card.x + GAP + column * (CHIP_WIDTH + GAP)
        y = card.y + HEAD + row * (CHIP_HEIGHT + GAP)
        if isinstance(chip, ReportVm):
            _vm(drawing, chip, x, y, colours.get(chip.segment, MUTED), rules)
        else:
            _outside(drawing, chip, x, y)


def _vm(drawing: ET.Element, vm: ReportVm, x: float, y: float, colour: str, rules: Mapping[str, ReportRule]) -> None:
    group = add(drawing, "g")
    tip(group, _story(vm, rules))
    touched = vm.isolated_by is not None
    box = add(group, "rect", x=x, y=y, width=CHIP_WIDTH, height=CHIP_HEIGHT, rx=5, fill=svg.PAPER)
    box.set("stroke", CUT if touched else GRID)
    box.set("stroke-width", "2.5" if touched else "1")
    if vm.released:
        box.set("stroke-dasharray", "5 3")
    add(group, "rect", x=x + 3, y=y + 3, width=6, height=CHIP_HEIGHT - 6, rx=2, fill=colour)
    room = CHIP_WIDTH - 18 - (62 if vm.protected else 20 if touched else 0)
    name = add(group, "text", fit(vm.name, room, letter=BOLD), x=x + 15, y=y + 18, fill=INK, class_="strong")
    if vm.protected:
        add(name, "tspan", " protected", fill=MUTED, class_="small")
    if touched:
        word = "released" if vm.released else "isolated"
        rule = f"{word} · {(vm.isolated_by or '')[:8]}"
        add(group, "text", rule, x=x + 15, y=y + 36, fill=svg.CUT_INK, class_="small strong")
        _mark(group, vm, x + CHIP_WIDTH - 14, y + 14)
    else:
        about = fit(" · ".join(filter(None, (vm.address, vm.segment))), CHIP_WIDTH - 18, 11.5)
        add(group, "text", about, x=x + 15, y=y + 36, fill=MUTED, class_="small")


def _mark(group: ET.Element, vm: ReportVm, x: float, y: float) -> None:
    """A cross for a VM that is cut off, a tick for one that is back: shape tells, not colour alone."""
    shape = f"M {x - 5} {y} l 4 4 l 7 -8" if vm.released else f"M {x - 5} {y - 5} l 10 10 m 0 -10 l -10 10"
    add(group, "path", d=shape, fill="none", stroke=CUT, stroke_width=2.5, stroke_linecap="round")


def _story(vm: ReportVm, rules: Mapping[str, ReportRule]) -> str:
    lines = [f"{vm.name} {vm.address}, segment {vm.segment}" + (", protected" if vm.protected else "")]
    rule = rules.get(vm.isolated_by or "")
    if rule is not None:
        lines += [f"cut off by rule {rule.id} ({rule.action}), risk {rule.risk:.0f}", *rule.reasons]
        lines += ["released before the end"] if vm.released else []
    return "\n".join(lines)


def _outside(drawing: ET.Element, host: ReportOutside, x: float, y: float) -> None:
    add(
        drawing, "rect", x=x, y=y, width=CHIP_WIDTH, height=CHIP_HEIGHT, rx=5, fill="none",
        stroke=MUTED, stroke_dasharray="2 3",
    )  # fmt: skip
    name = fit(host.name, CHIP_WIDTH - 18, letter=BOLD)
    add(drawing, "text", name, x=x + 15, y=y + 18, fill=MUTED, class_="strong")
    add(
        drawing,
        "text",
        fit(host.address or "outside", CHIP_WIDTH - 18, 11.5),
        x=x + 15,
        y=y + 36,
        fill=MUTED,
        class_="small",
    )
