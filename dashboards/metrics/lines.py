"""Points as line protocol, so written that InfluxDB 1 to 3 and VictoriaMetrics read the same out of it.

Format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. Where servers differ (line ends and
backslashes in tags) the text is changed to something that looks alike and that none of them takes for syntax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analyzer.flows import Array
from dashboards.metrics.schema import NODE, Kind, Measurement

LONGEST_TAG = 256
"""Characters; InfluxDB takes 64 KiB for all of a series' tags."""
LONGEST_TEXT = 4096
EMPTY = "(none)"
"""For an empty tag, which no server keeps."""
MOST_INTEGER = (1 << 63) - 1
_CONTROLS: dict[int, int] = {number: 0x2400 + number for number in range(32)} | {127: 0x2421}
_LOOKALIKE: dict[int, int | str] = {**_CONTROLS, ord("\\"): "\N{FULLWIDTH REVERSE SOLIDUS}"}
"""Control characters as their pictures (U+2400 ...), a backslash as its wide form."""
_TAG: dict[int, int | str] = {**_LOOKALIKE, ord(","): "\\,", ord("="): "\\=", ord(" "): "\\ "}
_TEXT: dict[int, int | str] = {
    **_CONTROLS,
    ord("\n"): " ",
    ord("\\"): "\N{FULLWIDTH REVERSE SOLIDUS}",
    ord('"'): '\\"',
}


def shown(value: str) -> str:
    """A tag's value as a server will give it back."""
    return _valid(value)[:LONGEST_TAG].translate(_LOOKALIKE) or EMPTY


def tag(value: str) -> str:
    """A tag's value as line protocol has it."""
    return _valid(value)[:LONGEST_TAG].translate(_TAG) or EMPTY


def text(value: str) -> str:
    """A field's text as line protocol has it, in quotes."""
    return f'"{_valid(value)[:LONGEST_TEXT].translate(_TEXT)}"'


def _valid(value: str) -> str:
    """Without halves of surrogate pairs, which are no characters."""
    return value.encode("utf-8", "replace").decode()


class Encoder:
    """Makes lines of one node.

    Args:
        node: its name.
        texts: are fields of texts written?
    """

    def __init__(self, node: str, *, texts: bool = True) -> None:
        self._node = tag(node)
        self._texts = texts

    def key(self, measurement: Measurement, tags: Mapping[str, str]) -> str:
        """Measurement and tags of a series. An absent tag is not written."""
        parts = [f"{name}={tag(tags[name])}" for name in measurement.tags if name in tags]
        return ",".join([measurement.full_name, f"{NODE}={self._node}", *parts])

    def line(
        self, measurement: Measurement, tags: Mapping[str, str], fields: Mapping[str, float | str], at: float
    ) -> str | None:
        """One point at `at` (epoch seconds; written in milliseconds); None when no field is left.

        A number that is none (not finite) is left out, an integer beyond 63 bits is the largest there is.
        """
        written = []
        for field in measurement.fields:
            value = fields.get(field.name)
            if value is None or (field.kind is Kind.TEXT and not self._texts):
                continue
            if (form := _FORMS[field.kind](value)) is not None:
                written.append(f"{field.name}={form}")
        return f"{self.key(measurement, tags)} {','.join(written)} {milliseconds(at)}" if written else None

    def rows(self, measurement: Measurement, keys: Sequence[str], columns: Mapping[str, Array], at: float) -> list[str]:
        """Many points of one moment: `keys` from `key`, and a column (finite numbers) for each field of `columns`."""
        fields = [field for field in measurement.fields if field.name in columns]
        form = ",".join(f"{f.name}=%di" if f.kind is Kind.INTEGER else f"{f.name}=%.6g" for f in fields)
        template = f"%s {form} {milliseconds(at)}"
        values = [np.asarray(columns[field.name]).tolist() for field in fields]
        return [template % row for row in zip(keys, *values, strict=True)]


def milliseconds(at: float) -> int:
    """A moment (epoch seconds) as the precision that is written."""
    return round(at * 1000)


def _integer(value: float | str) -> str | None:
    number = float(value) if isinstance(value, str) else value
    if not math.isfinite(number):
        return None
    return f"{max(-MOST_INTEGER, min(MOST_INTEGER, int(number)))}i"


def _float(value: float | str) -> str | None:
    number = float(value)
    return f"{number:.10g}" if math.isfinite(number) else None


_FORMS: Mapping[Kind, Callable[[float | str], str | None]] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.TEXT: lambda value: text(str(value)),
}
