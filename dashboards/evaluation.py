"""The page of `dynseg evaluate`: what the analyzer sees, what it raises for nothing, whether its probabilities hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

from analyzer.evaluate import Evaluated
from dashboards.pages import PAGES
from dashboards.svg import GRID, INK, MUTED, SEGMENTS, add, markup, picture, tip

SIZE, MARGIN = 420.0, 46.0
_DECADES = 4
"""Of the logarithmic axes: 1e-4 to 1."""


@dataclass(frozen=True)
class Evaluation:
    """What the page shows."""

    captures: Sequence[Evaluated]
    left_out: Sequence[str]
    """Why others could not be judged."""
    score: Mapping[str, Any] | None
    """A run of the captures' own `score.py` (its JSON: `total`, `cases`), if there is one."""
    confusion: Mapping[str, Any] | None
    """`confusion.json` of a trained classifier, if there is one."""
    command: str
    """That made the page."""


def render(data: Evaluation) -> str:
    """The page as HTML; it loads nothing from anywhere, and everything in `data` is escaped."""
    return PAGES.get_template("evaluation.html.j2").render(
        data=data,
        roc=Markup(markup(_curves(data.captures))),  # noqa: S704 - ElementTree has escaped it
        calibration=Markup(markup(_calibration(data.captures))),  # noqa: S704 - the same
        colours={found.name: _colour(i) for i, found in enumerate(data.captures)},
        causes=_causes(data.captures),
        matrix=_matrix(data.confusion),
        number=_number,
    )


def _curves(captures: Sequence[Evaluated]) -> ET.Element:
    """True over false positive rate; the false one logarithmic, since that is where the work is."""
    drawing = _plane("false positive rate", "true positive rate", "ROC curves")
    for i, found in enumerate(captures):
        if not found.roc:
            continue
        points = " ".join(f"{_x(false):.1f},{_linear(true):.1f}" for false, true in found.roc)
        line = add(drawing, "polyline", points=points, fill="none", stroke=_colour(i), stroke_width=1.8)
        tip(line, f"{found.name}: AUC {_number(found.auc)}")
    for share in (0, 0.25, 0.5, 0.75, 1):
        add(drawing, "text", f"{share:g}", x=MARGIN - 6, y=_linear(share) + 4, text_anchor="end", fill=MUTED)
    return drawing


def _calibration(captures: Sequence[Evaluated]) -> ET.Element:
    """Realised over nominal tail of later benign flows, both logarithmic."""
    drawing = _plane("nominal tail", "realised share", "calibration")
    add(drawing, "line", x1=_x(1e-4), y1=_y(1e-4), x2=_x(1), y2=_y(1), stroke=INK, stroke_dasharray="4 3")
    for i, found in enumerate(captures):
        for nominal, share in found.realised:
            dot = add(drawing, "circle", cx=_x(nominal), cy=_y(share), r=4, fill=_colour(i), fill_opacity=0.8)
            tip(dot, f"{found.name}: nominal {nominal:g}, realised {share:.2g}")
    for decade in range(-_DECADES, 1):
        add(drawing, "text", f"1e{decade}", x=MARGIN - 6, y=_y(10.0**decade) + 4, text_anchor="end", fill=MUTED)
    return drawing


def _plane(across: str, up: str, label: str) -> ET.Element:
    """An empty square with a logarithmic axis below."""
    drawing = picture(SIZE, SIZE, label)
    for decade in range(-_DECADES, 1):
        x = _x(10.0**decade)
        add(drawing, "line", x1=x, x2=x, y1=_linear(1), y2=_linear(0), stroke=GRID)
        add(drawing, "text", f"1e{decade}", x=x, y=SIZE - MARGIN + 16, text_anchor="middle", fill=MUTED)
    add(drawing, "rect", x=MARGIN, y=_linear(1), width=SIZE - 1.4 * MARGIN, height=_linear(0) - _linear(1), fill="none",
        stroke=MUTED)  # fmt: skip
    add(drawing, "text", across, x=SIZE / 2, y=SIZE - 8, text_anchor="middle", fill=INK)
    add(
        drawing,
        "text",
        up,
        x=12,
        y=SIZE / 2,
        text_anchor="middle",
        fill=INK,
        transform=f"rotate(-90 12 {SIZE / 2:.0f})",
    )
    return drawing


def _x(share: float) -> float:
    """On the logarithmic axis; what is below it is put on its edge."""
    return MARGIN + (SIZE - 1.4 * MARGIN) * (1 + math.log10(max(share, 10.0**-_DECADES)) / _DECADES)


def _y(share: float) -> float:
    return _linear(1 + math.log10(max(share, 10.0**-_DECADES)) / _DECADES)


def _linear(share: float) -> float:
    return SIZE - MARGIN - (SIZE - 1.4 * MARGIN) * share


def _colour(i: int) -> str:
    return SEGMENTS[i % len(SEGMENTS)]


def _causes(captures: Sequence[Evaluated]) -> list[tuple[str, int, int]]:
    """(cause, false rules, false alerts), most first."""
    rules, alerts = Counter[str](), Counter[str]()
    for found in captures:
        rules.update(found.false_rules)
        alerts.update(found.false_alerts)
    return sorted(((cause, rules[cause], alerts[cause]) for cause in rules | alerts), key=lambda c: (-c[1], -c[2]))


def _matrix(confusion: Mapping[str, Any] | None) -> tuple[list[str], list[tuple[str, list[int]]]] | None:
    """(answers, (truth, flows by answer))."""
    if confusion is None:
        return None
    counts = {(cell["truth"], cell["said"]): int(cell["flows"]) for cell in confusion["confusion"]}
    names = sorted({name for pair in counts for name in pair})
    return names, [(truth, [counts.get((truth, said), 0) for said in names]) for truth in names]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
