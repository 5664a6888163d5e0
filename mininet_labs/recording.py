"""A database of metrics as line protocol: what a run of a lab wrote, kept for tests and for those who look later."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision

from dashboards.influxql import InfluxQl

_POINT: Any = Point  # its methods are untyped
_CASTS = {"integer": int, "float": float, "string": str, "boolean": bool}


def record(client: InfluxQl, file: Path) -> int:
    """Write all points of the default policy into a file (gzip), times in milliseconds; returns how many."""
    count = 0
    # Without name and time in its head the same points make the same file.
    with file.open("wb") as plain, gzip.GzipFile("", "wb", mtime=0, fileobj=plain) as out:
        for line in lines(client):
            out.write(line.encode() + b"\n")
            count += 1
    return count


def lines(client: InfluxQl) -> Iterator[str]:
    """Each point; measurement by measurement, series by series, in the order of time."""
    for fields in client.ask("SHOW FIELD KEYS"):
        types = {row["fieldKey"]: _CASTS[row["fieldType"]] for row in fields.dicts()}
        for series in client.ask(f'SELECT * FROM "{fields.name}" GROUP BY *'):  # noqa: S608 - a name it told itself
            for row in series.rows:
                values = {name: value for name, value in zip(series.columns, row, strict=True) if value is not None}
                yield _line(series.name, series.tags, values, types)


def _line(name: str, tags: Any, values: dict[str, Any], types: dict[str, Any]) -> str:
    point: Any = _POINT(name).time(round(values.pop("time") * 1000), WritePrecision.MS)
    for tag, value in tags.items():
        point = point.tag(tag, value)  # an empty one is left out
    for field, value in values.items():
        point = point.field(field, types[field](value))
    return str(point.to_line_protocol())
