"""How fine points are kept and shown: retention, down-sampling, and what suits which time range.

A dashboard over a day reads five-minute points, one over an hour those that were written: so its queries read some
hundred points of a series however long the range is. InfluxQL cannot choose by itself, so a measurement in the database
says which policy and which step belong to a range, and two hidden variables of every dashboard read it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dashboards.influxql import InfluxQl, Place, Span
from dashboards.metrics.schema import FLOWS, MEASUREMENTS, NODE, PREFIX, Measurement
from runtime.errors import MetricsError

RAW, FINE, FOREVER = "raw", "five_minutes", "forever"
"""Retention policies: as written; five minutes to a point; the table below."""
RAW_DAYS, FINE_DAYS = 7, 365
FINE_SECONDS = 300
TABLE = f"{PREFIX}resolutions"
PAIRS = f"{PREFIX}pairs"
"""Five-minute points of all services between two segments together: what a day of a large network is read from."""


@dataclass(frozen=True)
class Resolution:
    """What suits ranges of less than `hours` (and not less than the one before)."""

    hours: float
    policy: str
    seconds: int
    """Of an interval in a graph."""

    @property
    def pairs(self) -> str:
        """The measurement with what went between segments: of each service, or added up."""
        return FLOWS.full_name if self.policy == RAW else PAIRS

    def variables(self) -> dict[str, Sequence[str]]:
        """Values of the hidden variables."""
        return {
            "policy": [self.policy],
            "seconds": [str(self.seconds)],
            "pairs": [self.pairs],
            "coarse": [FINE],
        }


RESOLUTIONS = (
    Resolution(1.01, RAW, 10),
    Resolution(3.01, RAW, 60),
    Resolution(12.01, FINE, FINE_SECONDS),
    Resolution(36, FINE, 15 * 60),
    Resolution(8 * 24, FINE, 2 * 3600),
    Resolution(366 * 24 * 10, FINE, 24 * 3600),
)
"""About a hundred intervals in a range, which is what a graph can show and a server answers quickly. A little more than
1, 3 and 12 hours: `now-1h` to `now` is some milliseconds longer when it is asked."""

_RANGE = '"from_ms" <= $__range_ms AND "to_ms" > $__range_ms'
VARIABLES = {
    name: f'SELECT "{name}" FROM "{FOREVER}"."{TABLE}" WHERE {_RANGE}'  # noqa: S608 - from constants
    for name in ("policy", "seconds", "pairs", "coarse")
}
"""The hidden variables of every dashboard, and the queries that tell them."""


def table() -> str:
    """The measurement that dashboards choose by, as line protocol with times in seconds."""
    lines = []
    begins = 0.0
    for number, each in enumerate(RESOLUTIONS):
        edges = f"from_ms={begins * 3.6e6:.0f}i,to_ms={each.hours * 3.6e6:.0f}i"
        names = f'policy="{each.policy}",pairs="{each.pairs}",coarse="{FINE}"'
        lines.append(f"{TABLE} {edges},{names},seconds={each.seconds}i {number}")
        begins = each.hours
    return "\n".join(lines)


def statements(database: str) -> Iterator[str]:
    """InfluxQL that makes a database of InfluxDB 1: what it keeps for how long, and its down-sampling.

    Each may be said again and does nothing then.
    """
    yield f'CREATE DATABASE "{database}" WITH DURATION {RAW_DAYS}d NAME "{RAW}"'
    yield f'CREATE RETENTION POLICY "{FINE}" ON "{database}" DURATION {FINE_DAYS}d REPLICATION 1'
    yield f'CREATE RETENTION POLICY "{FOREVER}" ON "{database}" DURATION INF REPLICATION 1'
    # Every minute, so that a graph of a day ends a minute ago; for a quarter of an hour back, so that what the writer
    # kept while the database was away is counted.
    again = "RESAMPLE EVERY 1m FOR 15m"
    for name, rolled in rollups(database):
        yield f'CREATE CONTINUOUS QUERY "{name}_{FINE}" ON "{database}" {again} BEGIN {rolled} END'


def rollups(database: str, where: str = "") -> Iterator[tuple[str, str]]:
    """(measurement, query that makes its five-minute points), of the points that `where` tells; events have none."""
    for measurement in MEASUREMENTS:
        if not measurement.has_texts:
            name = measurement.full_name
            yield name, _rollup(measurement, name, (NODE, *measurement.tags), database, where)
    yield PAIRS, _rollup(FLOWS, PAIRS, (NODE, "src_segment", "dst_segment", "decision"), database, where)


def _rollup(source: Measurement, name: str, tags: Sequence[str], database: str, where: str) -> str:
    fields = ", ".join(f'{field.rollup.value}("{field.name}") AS "{field.name}"' for field in source.fields)
    condition = f" WHERE {where}" if where else ""
    kept = ", ".join(f'"{tag}"' for tag in tags)
    return (
        f'SELECT {fields} INTO "{database}"."{FINE}"."{name}" '  # noqa: S608 - from constants and the schema
        f'FROM "{database}"."{RAW}"."{source.full_name}"{condition} GROUP BY time({FINE_SECONDS}s), {kept}'
    )


def suiting(span_seconds: float, age_seconds: float = 0.0) -> Resolution:
    """Policy and step for a range of that length that began so long ago."""
    there = [each for each in RESOLUTIONS if each.policy != RAW or age_seconds < RAW_DAYS * 86_400]
    return next((each for each in there if span_seconds < each.hours * 3600), there[-1])


def looked_at(
    since: float, until: float, client: InfluxQl | None = None, *, now: float | None = None
) -> tuple[Span, Mapping[str, Sequence[str]]]:
    """A range (epoch seconds) with the step that suits it, and the values of the hidden variables.

    Args:
        since: its begin.
        until: its end.
        now: of what is older than fine points are kept, coarse ones are read; None: it ends now.
        client: a server that may keep points otherwise; then all are read from its default policy.

    Raises:
        MetricsError: the server does not answer InfluxQL with what it keeps.
    """
    suits = suiting(until - since, (until if now is None else now) - since)
    span = Span(since, until, suits.seconds)
    variables = suits.variables()
    if client is None:
        return span, variables
    policies = [row for series in client.ask("SHOW RETENTION POLICIES") for row in series.dicts()]
    if not policies or "default" not in policies[0]:  # VictoriaMetrics has one answer for everything
        raise MetricsError("the server does not say what it keeps", remedy="VictoriaMetrics does not answer InfluxQL")
    if suits.policy not in {row["name"] for row in policies}:
        default = str(next(row["name"] for row in policies if row["default"]))
        fine = Resolution(suits.hours, RAW, suits.seconds)
        variables = {**fine.variables(), "policy": [default], "coarse": [default]}
    return span, variables


def prepare(client: InfluxQl, database: str) -> None:
    """Make the database of InfluxDB 1; what is there already stays.

    Raises:
        MetricsError: the server is not there, or refuses.
    """
    for statement in statements(database):
        client.ask(statement)
    client.write(table(), FOREVER)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m dashboards.resolutions URL DATABASE [AUTHORIZATION]`; returns the exit status."""
    parser = argparse.ArgumentParser(description="make the database of InfluxDB 1 that metrics are written to")
    parser.add_argument("url")
    parser.add_argument("database")
    parser.add_argument("authorization", nargs="?", help="header that lets us in, if the server asks for one")
    args = parser.parse_args(arguments)
    try:
        with InfluxQl(Place(args.url.rstrip("/"), args.database, args.authorization)) as client:
            prepare(client, args.database)
    except MetricsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
