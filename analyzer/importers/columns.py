"""What every import makes: flows in the columns that `analyzer.csvflows` reads, and a count of what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from analyzer.csvflows import AMOUNTS, FLAGS, LARGEST, NEEDED
from analyzer.flows import Array, Bool, address_halves

COLUMNS = (*NEEDED[:2], "duration", *NEEDED[2:], "app")
"""The common flow schema: times are epoch seconds, the flag columns counts or empty when unknown."""
TRUTH = ("label", "label_detail")
"""Columns beside it where a file says what its flows were: for `dynseg train`; nothing else looks at them."""
NO_ADDRESS = "0.0.0.0"  # noqa: S104 - nobody listens there
"""Stands where a file does not tell who: it names nobody, so nothing is counted for it."""


@dataclass
class Faults:
    """What a file held and could not be used."""

    file: Path
    counts: Counter[str] = field(default_factory=Counter)
    """By reason."""
    _first: dict[str, int | None] = field(default_factory=dict)

    def note(self, reason: str, line: int | None = None, count: int = 1) -> None:
        """Something is left out; `line` is where the first of its kind stands."""
        self.counts[reason] += count
        self._first.setdefault(reason, line)

    def told(self) -> list[str]:
        """One line a reason: where it was first, and how often."""
        lines = []
        for reason, count in self.counts.items():
            line = self._first[reason]
            place = f"{self.file}:{line}" if line is not None else str(self.file)
            lines.append(f"{place}: {reason}" + (f" ({count} times)" if count > 1 else ""))
        return lines


class Columns:
    """Gathers flows as text, cell by cell, with the line that each came from."""

    def __init__(self) -> None:
        self._cells: dict[str, list[str]] = {name: [] for name in (*COLUMNS, *TRUTH)}
        self._lines: list[int] = []

    def add(self, line: int, cells: tuple[str, ...], truth: tuple[str, str] = ("", "")) -> None:
        """One flow, `cells` in the order of `COLUMNS`, "" where unknown. Without `end` it is start plus duration.

        Args:
            line: where it stands.
            cells: of it.
            truth: what the file says it was (`TRUTH`).
        """
        for column, cell in zip(self._cells.values(), (*cells, *truth), strict=True):
            column.append(cell)
        self._lines.append(line)

    def table(self, faults: Faults) -> pd.DataFrame:
        """All flows that make sense, ordered by their end; the others are noted in `faults`."""
        told = any(map(any, (self._cells[name] for name in TRUTH)))
        names = (*COLUMNS, *TRUTH) if told else COLUMNS
        table = pd.DataFrame({name: self._cells[name] for name in names}, dtype=str)
        lines = np.array(self._lines, np.int64)
        start = _numbers(table["start"], -1e12, 1e12)
        duration = _numbers(table["duration"].where(table["duration"] != "", "0"), 0, 1e12)
        known = table["end"] != ""
        end = np.where(known, _numbers(table["end"].where(known, "0"), -1e12, 1e12), start + duration)
        wrong = _Wrong(len(table), lines, faults)
        wrong.mark(np.isnan(start), "its start is no time", table["start"])
        wrong.mark(np.isnan(duration), "its duration is none", table["duration"])
        wrong.mark(np.isnan(end) | (end < start), "it does not end after its start", table["end"])
        wrong.mark((table["proto"] == "").to_numpy(bool), "it names no protocol", table["proto"])
        for name in ("src_port", "dst_port", *AMOUNTS, *FLAGS):
            highest = 65535 if name.endswith("_port") else LARGEST
            values = _numbers(table[name].where(table[name] != "", "0"), 0, highest)
            wrong.mark(np.isnan(values), f"{name} is no number", table[name])
        for name in ("src_ip", "dst_ip"):
            wrong.mark(_no_address(table[name]), f"{name} is no address", table[name])
        table["start"], table["end"] = _times(start), _times(end)
        table["duration"] = _times(end - start)
        kept = np.flatnonzero(~wrong.rows)
        return table.iloc[kept[np.argsort(end[kept], kind="stable")]].reset_index(drop=True)


class _Wrong:
    """Marks rows, each for the first thing that is wrong with it."""

    def __init__(self, count: int, lines: Array, faults: Faults) -> None:
        self.rows: Bool = np.zeros(count, bool)
        self._lines = lines
        self._faults = faults

    def mark(self, rows: Bool, reason: str, cells: pd.Series) -> None:
        """Mark rows; the first one's cell is quoted."""
        fresh = np.flatnonzero(rows & ~self.rows)
        self.rows |= rows
        if len(fresh):
            first = int(fresh[0])
            self._faults.note(f"{reason}: {cells.iloc[first][:40]!r}", int(self._lines[first]), len(fresh))


def _numbers(text: pd.Series, low: float, high: float) -> Array:
    """Numbers, NaN where there is none within the bounds."""
    values: Array = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    return np.where((values >= low) & (values <= high), values, np.nan)


def _times(values: Array) -> list[str]:
    return [f"{value:.6f}" for value in values.tolist()]


def _no_address(text: pd.Series) -> Bool:
    codes, names = pd.factorize(text)
    return np.asarray(np.array([not _is_address(name) for name in names], bool)[codes])


def _is_address(text: str) -> bool:
    try:
        address_halves(text)
    except ValueError:
        return False
    return True
