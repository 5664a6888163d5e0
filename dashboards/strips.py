"""Probes as strips of 100 ms: what was sent in each, and how much of it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from xml.etree import ElementTree as ET

from dashboards.model import ProbeSeries
from dashboards.svg import BLOCKED, CUT, PASSED, TimeScale, add, tip

STEP = 0.1
"""Seconds to a cell."""


@dataclass(frozen=True)
class Cell:
    """What happened to the probes of one span of time."""

    start: float
    end: float
    sent: int
    lost: int

    @property
    def state(self) -> str:
        """`passed`, `lost` or `partly`."""
        if self.lost == 0:
            return "passed"
        return "lost" if self.lost == self.sent else "partly"


def cells(series: ProbeSeries) -> list[Cell]:
    """One cell for each 100 ms in which something was sent, on a grid that begins at the first probe."""
    sent: dict[int, int] = {}
    lost: dict[int, int] = {}
    zero = min(series.times, default=0.0)
    for time, is_lost in zip(series.times, series.lost, strict=True):
        number = int((time - zero) / STEP + 1e-9)
        sent[number] = sent.get(number, 0) + 1
        lost[number] = lost.get(number, 0) + bool(is_lost)
    return [Cell(zero + n * STEP, zero + (n + 1) * STEP, sent[n], lost[n]) for n in sorted(sent)]


def runs(row: list[Cell]) -> Iterator[Cell]:
    """Neighbouring cells of one state as one; a pause in sending parts them."""

    def key(numbered: tuple[int, Cell]) -> tuple[str, int]:
        position, cell = numbered
        return cell.state, round((cell.start - row[0].start) / STEP) - position

    for _, group in groupby(enumerate(row), key):
        members = [cell for _, cell in group]
        yield Cell(
            members[0].start, members[-1].end, sum(cell.sent for cell in members), sum(cell.lost for cell in members)
        )


def strip(drawing: ET.Element, series: ProbeSeries, scale: TimeScale, y: float, height: float, *, merged: bool) -> None:
    """Draw a series as a strip; `merged` joins equal neighbours, for an axis on which 100 ms are less than a pixel."""
    row = [cell for cell in cells(series) if cell.end > scale.start and cell.start < scale.end]
    row = list(runs(row)) if merged else row
    gap = 0.0 if merged else 0.6
    for cell in row:
        left = scale.x(cell.start)
        width = max(scale.x(cell.end) - left - gap, 0.8)
        box = add(drawing, "rect", x=left, y=y, width=width, height=height, fill=_fill(series, cell))
        what = "blocked" if series.kind == "attacker" else "lost"
        tip(box, f"{series.source} → {series.target}: {cell.lost} of {cell.sent} {what}")
    # On top of all, and never smaller than the eye notices: a single lost packet must be seen.
    for cell in (cell for cell in row if cell.state == "partly"):
        left = scale.x(cell.start)
        width, tall = max(scale.x(cell.end) - left - gap, 2.5), max(height * cell.lost / cell.sent, 5.0)
        add(drawing, "rect", x=left, y=y + height - tall, width=width, height=tall, fill=_lost_colour(series))


def _fill(series: ProbeSeries, cell: Cell) -> str:
    return _lost_colour(series) if cell.state == "lost" else PASSED


def _lost_colour(series: ProbeSeries) -> str:
    """A loss is the aim for an attacker's probe, and a fault for an innocent's."""
    return BLOCKED if series.kind == "attacker" else CUT


def loss_words(series: ProbeSeries) -> str:
    """Lost of sent, in words and percent."""
    lost, sent = sum(map(bool, series.lost)), len(series.times)
    share = f" ({100 * lost / sent:.2g} %)" if lost else ""
    return f"{lost:,} of {sent:,} {'blocked' if series.kind == 'attacker' else 'lost'}{share}"
