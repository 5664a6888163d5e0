"""InfluxQL as Grafana writes it, and a client of the servers that answer it.

A query is written once, with Grafana's macros and variables, and used by its panels, by `dynseg report`, by the tests
and by the benchmark: `expand` does with it what Grafana does before it asks.

Source: https://grafana.com/docs/grafana/latest/datasources/influxdb/query-editor/ (macros),
https://docs.influxdata.com/influxdb/v1/tools/api/#query-http-endpoint (answers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
import numpy.typing as npt

from runtime.errors import MetricsError
from runtime.settings import MetricsSettings

_MACRO = re.compile(r"\$(?:\{(?P<braced>\w+)(?::\w+)?\}|(?P<bare>\w+))")
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Span:
    """What a graph shows: from `since` until `until` (epoch seconds), a point every `step` seconds."""

    since: float
    until: float
    step: int = 10

    @property
    def time_filter(self) -> str:
        """Both ends as InfluxQL has them, in milliseconds."""
        return f"time >= {self.since * 1000:.0f}ms AND time < {self.until * 1000:.0f}ms"


@dataclass(frozen=True)
class Series:
    """One series of an answer. The first of its columns is `time`, in epoch seconds."""

    name: str
    tags: Mapping[str, str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """As many values as there are columns; None where there is none."""

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """A column as numbers; nothing is NaN."""
        at = self.columns.index(column)
        return np.array([np.nan if row[at] is None else row[at] for row in self.rows], np.float64)

    def dicts(self) -> list[dict[str, Any]]:
        """Its rows by column, the tags among them."""
        return [{**self.tags, **dict(zip(self.columns, row, strict=True))} for row in self.rows]


@dataclass(frozen=True)
class Place:
    """Where metrics are asked for. The secret never shows in what is printed."""

    url: str
    database: str
    authorization: str | None = field(default=None, repr=False)
    """Header of that name."""


def place_of(settings: MetricsSettings) -> Place | None:
    """Where the metrics that `dynseg metrics` writes are asked for; None: nothing is written."""
    if settings.url is None:
        return None
    return Place(settings.url.rstrip("/"), settings.bucket, settings.authorization)


def expand(query: str, span: Span, variables: Mapping[str, Sequence[str]] | None = None) -> str:
    """Put values in the place of macros and variables.

    Args:
        query: InfluxQL with `$timeFilter`, `$__interval` and variables as `$name` or `${name}`, these within a regular
            expression: `"vm" =~ /^$vm$/`.
        span: what is looked at.
        variables: their chosen values; a variable without is `All`, any text.

    Returns:
        The query as a server takes it.
    """
    chosen = variables or {}

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        if name == "timeFilter":
            return span.time_filter
        if name in {"__interval", "interval"}:
            return f"{span.step}s"
        return _alternatives(chosen[name]) if name in chosen else ".*"

    return _MACRO.sub(value, query)


def _alternatives(values: Sequence[str]) -> str:
    """A regular expression that matches just these."""
    escaped = [re.sub(r"([\\^$.|?*+()\[\]{}/])", r"\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


class InfluxQl:
    """A client of a server's `/query`, as a context manager.

    Args:
        place: server, database, and what it lets us in by, if it asks.
    """

    def __init__(self, place: Place) -> None:
        headers = {} if place.authorization is None else {"Authorization": place.authorization}
        self._place = place
        self._http = httpx.Client(base_url=place.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ask(
        self, query: str, span: Span | None = None, variables: Mapping[str, Sequence[str]] | None = None
    ) -> list[Series]:
        """The series that answer a query, expanded for `span` if there is one.

        Raises:
            MetricsError: the server is not there, refuses, or answers something that is no answer.
        """
        text = query if span is None else expand(query, span, variables)
        answer = self._post("/query", data={"q": text, "db": self._place.database, "epoch": "ms"})
        try:
            found = answer.json()
        except ValueError as error:
            raise self._refused(f"answers {answer.status_code} and no JSON") from error
        if not answer.is_success or "error" in found:
            raise self._refused(str(found.get("error", answer.status_code)))
        results = found.get("results", [])
        if failed := [result["error"] for result in results if "error" in result]:
            raise self._refused(f"{failed[0]}; asked: {text}")
        return [_series(each) for result in results for each in result.get("series", [])]

    def write(self, lines: str, policy: str) -> None:
        """Write line protocol with times in seconds into a retention policy.

        Raises:
            MetricsError: the server is not there, or does not take all of it.
        """
        parameters = {"db": self._place.database, "rp": policy, "precision": "s"}
        answer = self._post("/write", params=parameters, content=lines.encode())
        if not answer.is_success:
            raise self._refused(answer.text.strip() or str(answer.status_code))

    def _post(self, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.post(path, **request)
        except httpx.TransportError as error:
            raise MetricsError(
                f"no metrics from {self._place.url}: {error}", key="metrics.url", remedy="is the server up?"
            ) from error

    def _refused(self, words: str) -> MetricsError:
        return MetricsError(
            f"{self._place.url} (database {self._place.database}): {words}",
            remedy="dashboards and reports need a server that answers InfluxQL: InfluxDB 1, 2 or 3",
        )


def _series(found: Mapping[str, Any]) -> Series:
    """One series of an answer with its times, milliseconds there, as seconds."""
    columns = found["columns"]
    rows = found.get("values", [])
    if columns and columns[0] == "time":
        rows = [[row[0] / 1000, *row[1:]] for row in rows]
    return Series(found.get("name", ""), found.get("tags", {}), columns, rows)
