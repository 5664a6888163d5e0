"""Down-sampling for InfluxDB 2 (a Flux task), flags of VictoriaMetrics; `dashboards.resolutions` is for InfluxDB 1."""

from __future__ import annotations

from dashboards.metrics.schema import MEASUREMENTS, Rollup
from dashboards.resolutions import FINE, FINE_DAYS, FINE_SECONDS, RAW_DAYS

BUCKET = "dynseg"


def flux() -> str:
    """One task: five-minute points, under the same names, in a bucket of their own."""
    every = f"{FINE_SECONDS // 60}m"
    lines = [
        f"// Five-minute points of everything but events, kept for {FINE_DAYS} days; what was written, for {RAW_DAYS}.",
        "// Made by `make dashboards`. Once, before the first run:",
        f"//   influx bucket create --name {BUCKET} --retention {RAW_DAYS}d",
        f"//   influx bucket create --name {BUCKET}_{FINE} --retention {FINE_DAYS}d",
        "//   influx task create --file downsample.flux",
        f'option task = {{name: "{BUCKET}_{FINE}", every: {every}, offset: 1m}}',
        "",
        f'points = from(bucket: "{BUCKET}") |> range(start: -3 * task.every)',
    ]
    for rollup in Rollup:
        fields = _fields(rollup)
        if not fields:
            continue
        lines += [
            "",
            "points",
            '    |> filter(fn: (r) => contains(value: r._measurement + "/" + r._field, set: [',
            *(f'        "{field}",' for field in fields),
            "    ]))",
            f'    |> aggregateWindow(every: task.every, fn: {rollup.value}, createEmpty: false, timeSrc: "_start")',
            f'    |> to(bucket: "{BUCKET}_{FINE}")',
        ]
    return "\n".join(lines) + "\n"


def _fields(rollup: Rollup) -> list[str]:
    """`measurement/field` of everything but events with this rollup."""
    return [
        f"{measurement.full_name}/{field.name}"
        for measurement in MEASUREMENTS
        if not measurement.has_texts
        for field in measurement.fields
        if field.rollup is rollup
    ]


def victoria_flags() -> str:
    """Flags of the server, one a line."""
    lines = [
        "# Flags of VictoriaMetrics; made by `make dashboards`.",
        "# It keeps what was written, compressed to about a byte a value, and has no down-sampling but in its paid",
        "# edition: so one retention for all.",
        f"-retentionPeriod={FINE_DAYS}d",
        "# A request that was repeated, as its answer was lost, leaves each value twice: one of them is dropped.",
        "-dedup.minScrapeInterval=1ms",
        "# No more new series than that in a day, whatever goes wrong.",
        "-storage.maxDailySeries=2000000",
    ]
    return "\n".join(lines) + "\n"
