"""The database is away for as many points as ten minutes bring, then back: does anybody wait, is any lost uncounted?

The points of ten minutes are handed over as fast as they can be made, by the code that would do it in ten minutes; the
pauses between two tries are the real ones.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.dashboards.network import START, Site, Traffic
from benchmarks.dashboards.writing import FLOWS_PER_SECOND, SECONDS, THOUSAND
from benchmarks.rows import Row
from dashboards.metrics.target import Target
from dashboards.metrics.writer import LONGEST_PAUSE, Counts, Writer
from mininet_labs.stores import VictoriaMetrics
from runtime.settings import MetricsSettings

INTERVALS = 60
"""Ten minutes."""
SMALL_MEGABYTES = 10.0
"""A buffer that ten minutes do not fit into."""
MOST_MILLISECONDS = 50.0


@dataclass(frozen=True)
class Outage:
    """What was seen."""

    counts: Counts
    longest: float
    """Seconds that handing over one interval's points took."""
    most_held: int
    """Bytes that waited at most."""
    found: int
    """Points in the database."""


def rows(out: Path) -> list[Row]:
    """With the buffer that is set by default, and with one that is too small."""
    usual = MetricsSettings().buffer_megabytes
    found = []
    for megabytes in (usual, SMALL_MEGABYTES):
        with tempfile.TemporaryDirectory(prefix="outage-", dir=out) as made:
            seen = away(Path(made), megabytes)
        counts, name = seen.counts, f"{megabytes:g} MB"
        told = f"{counts.accepted:,} points: {counts.written:,} written, {counts.dropped:,} dropped"
        missing = counts.accepted - counts.dropped - counts.refused - seen.found
        longest = round(1000 * seen.longest, 2)
        held = seen.most_held / (megabytes * 1e6)
        n = INTERVALS
        found += [
            Row(f"points unaccounted for after 10 min away, {name}", abs(missing), "points", "<=", 0, n, reason=told),
            Row(f"buffer's fill at most, {name}", round(held, 3), "ratio", "<=", 1.0, n),
            Row(f"longest wait of who hands over, {name}", longest, "ms", "<=", MOST_MILLISECONDS, n),
        ]
    return found


def away(folder: Path, megabytes: float) -> Outage:
    """Points before, during and after an absence of the database."""
    site, traffic = Site(THOUSAND, SECONDS), Traffic(THOUSAND)
    events = int(FLOWS_PER_SECOND * SECONDS)
    with VictoriaMetrics(folder) as store:
        target = Target(MetricsSettings(url=store.url, texts=False))
        writer = Writer(target.send, MetricsSettings().batch_points, int(megabytes * 1e6))
        longest, most_held, moment = 0.0, 0, START
        for i in range(INTERVALS + 2):
            if i == 1:
                _settle(writer)
                store.stop()
            site.tally.take(traffic.events(events, moment, SECONDS).rows)
            moment += SECONDS
            lines = site.lines(moment)
            began = time.perf_counter()
            writer.put(lines)
            longest = max(longest, time.perf_counter() - began)
            most_held = max(most_held, writer.held_bytes)
            if i == INTERVALS:
                store.__enter__()
        _settle(writer)
        writer.close(1.0)
        target.close()
        return Outage(writer.counts(), longest, most_held, count(store.url, moment))


def count(url: str, until: float) -> int:
    """Points of these benchmarks in a VictoriaMetrics: of each kind by a field that each has."""
    httpx.get(f"{url}/internal/force_flush", timeout=30).raise_for_status()
    fields = "dynseg_flows_packets|dynseg_vm_risk|dynseg_segment_at_risk|dynseg_vfn_packets|dynseg_outside_subjects"
    query = f'sum(count_over_time({{__name__=~"{fields}"}}[{until - START + 3600:.0f}s]))'
    params: dict[str, str | float] = {"query": query, "time": until + 60}
    answer = httpx.get(f"{url}/api/v1/query", params=params, timeout=60).raise_for_status().json()
    return int(answer["data"]["result"][0]["value"][1])


def _settle(writer: Writer) -> None:
    deadline = time.monotonic() + 4 * LONGEST_PAUSE
    while writer.counts().waiting:
        assert time.monotonic() < deadline, f"not written: {writer.counts()}"
        time.sleep(0.05)
