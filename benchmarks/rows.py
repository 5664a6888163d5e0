"""What benchmarks tell: rows of measure, value and target; printed as a table, written as JSON."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_OPERATORS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Row:
    """One measure beside its target."""

    measure: str
    value: float | None
    """None: it could not be measured, which misses the target."""
    unit: str
    op: str
    """How the value must stand to the target: `<=` or `>=`."""
    target: float
    n: int
    """Measurements behind the value."""
    peer: str | None = None
    """What it was measured against in the same run, if anything."""
    peer_value: float | None = None
    """The peer's own figure; its unit is in `peer`."""
    reason: str | None = None
    """Why the value is missing, or misses its target, as far as that is known; or how to read it."""

    @property
    def met(self) -> bool:
        """Is the target met?"""
        return self.value is not None and bool(_OPERATORS[self.op](self.value, self.target))


def write(rows: Sequence[Row], path: Path) -> None:
    """Write a JSON list with one object a row, its keys the fields of `Row` and `met`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2) + "\n")


def conclude(rows: Sequence[Row], path: Path) -> int:
    """Write the rows and print their table; returns the exit status, 0 when every target is met."""
    write(rows, path)
    print(f"\n{table(rows)}")
    return 0 if all(row.met for row in rows) else 1


def quantile(values: Iterable[float], share: float) -> float:
    """The one of the values that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(rows: Sequence[Row]) -> str:
    """The rows as lines of text, reasons and peers below the measure they belong to."""
    width = max((len(row.measure) for row in rows), default=0) + 2
    lines = [f"{'measure':<{width}}{'value':>10} {'unit':<9}{'target':>10}{'n':>8}"]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:g}"
        target = f"{row.op} {row.target:g}"
        verdict = "met" if row.met else "MISSED"
        lines.append(f"{row.measure:<{width}}{value:>10} {row.unit:<9}{target:>10}{row.n:>8}  {verdict}")
        if row.peer is not None:
            lines.append(f"    {row.peer}" + ("" if row.peer_value is None else f": {row.peer_value:g}"))
        if row.reason is not None:
            lines.append(f"    {row.reason}")
    return "\n".join(lines)
