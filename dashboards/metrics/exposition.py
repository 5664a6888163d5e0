"""What Prometheus scrapes of the writer of points."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric

from dashboards.metrics.writer import Counts
from runtime.exposition import Exposition, counter, gauge


def exposition(counts: Callable[[], Counts], version: str) -> Exposition:
    """Of a writer with these counts."""

    def families() -> Iterable[Metric]:
        now = counts()
        fates = {"written": now.written, "refused": now.refused, "dropped": now.dropped}
        samples = [({"fate": fate}, points) for fate, points in fates.items()]
        yield counter("dynseg_metrics_points_total", "Points for the database, by what became of them.", samples)
        yield gauge("dynseg_metrics_waiting_points", "Points that wait to be written.", [({}, now.waiting)])
        yield counter("dynseg_metrics_retries_total", "Requests that had to be repeated.", [({}, now.retries)])
        yield counter("dynseg_metrics_written_bytes_total", "Line protocol that was confirmed.", [({}, now.bytes)])
        reachable = int(not now.problem)
        yield gauge("dynseg_metrics_database_reachable", "1: the database took the last request.", [({}, reachable)])
        if now.clock_offset is not None:
            meaning = "The database's clock less ours."
            yield gauge("dynseg_metrics_clock_offset_seconds", meaning, [({}, now.clock_offset)])

    return Exposition(families, "metrics", version)
