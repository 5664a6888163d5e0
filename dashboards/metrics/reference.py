"""The schema as a page's tables, and the estimate beside them: the made part of `docs/metrics.md`."""

from __future__ import annotations

from dashboards.metrics.estimate import Usage, points_per_second, series, tag_sets
from dashboards.metrics.schema import MEASUREMENTS, Measurement

BEGIN, END = "<!-- made by `make dashboards` -->\n", "<!-- end of what is made -->\n"
SIZES = (Usage(100, 10, 4, peers=6), Usage(1000, 50, 20), Usage(10_000, 1000, 100))
"""Networks that the page has figures of."""


def within(page: str) -> str:
    """The page with its made part as it should be."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{made()}{END}{tail}"


def made() -> str:
    """Estimate and tables."""
    return "\n".join([_estimate(), *map(_table, MEASUREMENTS)])


def _estimate() -> str:
    lines = [
        "| VMs, segments, VFNs | sets of tags (series of InfluxDB) | series of VictoriaMetrics | points/s, all busy |",
        "|---|---|---|---|",
    ]
    for usage in SIZES:
        sets, total = sum(tag_sets(usage).values()), sum(series(usage).values())
        size = f"{usage.vms:,}, {usage.segments:,}, {usage.vfns:,}"
        lines.append(f"| {size} | {sets:,} | {total:,} | {points_per_second(usage):,.0f} |")
    return "\n".join(lines) + "\n"


def _table(measurement: Measurement) -> str:
    lines = [
        f"### {measurement.full_name}",
        "",
        f"{measurement.meaning} Sets of tags: {measurement.many}.",
        "",
        "| tag or field | type, unit | over time | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{name}` | tag | | {meaning} |" for name, meaning in measurement.tags.items()]
    for field in measurement.fields:
        unit = f", {field.unit}" if field.unit else ""
        lines.append(f"| `{field.name}` | {field.kind}{unit} | {field.rollup} | {field.meaning} |")
    return "\n".join(lines) + "\n"
