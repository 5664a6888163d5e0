"""Plain tables for people; times in local time, lists joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

WIDEST = 60
"""Longer texts are cut in a table; `--json` has them whole."""
_TIMES = {"time", "ts", "start", "end", "created", "expires", "evidence_time", "since", "until", "first", "last"}
_TIMES |= {"started", "installed_at", "enforced_at", "released_at", "ended_at", "removed_at"}


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows under a line of headings; `columns` that no row has are left out."""
    shown = [column for column in columns if any(row.get(column) is not None for row in rows)]
    if not rows or not shown:
        return "none"
    cells = [[heading.replace("_", " ") for heading in shown]]
    cells += [[_cut(text(row.get(column), column)) for column in shown] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(shown))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def sheet(fields: Mapping[str, Any], prefix: str = "") -> str:
    """One `name: value` a line; mappings within are indented, and so are lists of sentences, one a line."""
    lines = []
    for key, value in fields.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{prefix}{key}:", sheet(value, prefix + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            inner = table(value, list(value[0])).replace("\n", f"\n{prefix}  ")
            lines += [f"{prefix}{key}:", f"{prefix}  {inner}"]
        elif isinstance(value, list) and any(isinstance(item, str) and len(item) > WIDEST for item in value):
            lines += [f"{prefix}{key}:", *(f"{prefix}  {text(item)}" for item in value)]
        else:
            lines.append(f"{prefix}{key}: {text(value, key)}")
    return "\n".join(lines)


def text(value: Any, key: str = "") -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and key in _TIMES:
        return datetime.fromtimestamp(value, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "; ".join(text(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text(item, name)}" for name, item in value.items())
    return str(value)


def _cut(shown: str) -> str:
    shown = " ".join(shown.splitlines())
    return shown if len(shown) <= WIDEST else shown[: WIDEST - 1] + "…"
