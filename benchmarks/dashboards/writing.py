"""What the writer can put into VictoriaMetrics, and what it costs at the rate of a network of a thousand VMs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS

from benchmarks.dashboards.network import START, Site, Traffic
from benchmarks.rows import Row
from dashboards.metrics.estimate import Usage
from dashboards.metrics.target import Target
from dashboards.metrics.writer import Writer
from mininet_labs.stores import VictoriaMetrics
from runtime.settings import MetricsSettings

LEAST = 50_000.0
ROUNDS = 5
INTERVALS = 8
PEER_POINTS = 10_000
THOUSAND = Usage(vms=1000, segments=50, vfns=20)
FLOWS_PER_SECOND = 2000
"""Events of a thousand VMs: two flow reports a second each."""
MINUTES = 5
MOST_CPU = 0.05
SECONDS = 10.0


def rows(out: Path) -> list[Row]:
    """Points per second, beside the client's own points; processor time of a second."""
    with tempfile.TemporaryDirectory(prefix="writing-", dir=out) as made, VictoriaMetrics(Path(made)) as store:
        settings = MetricsSettings(url=store.url, texts=False)
        rates = throughput(settings)
        own = peer(settings)
        cpu, points = cost(settings)
    n = len(rates)
    spread = f"{n} rounds, {min(rates):,.0f} to {max(rates):,.0f}; server and writer on the same machine"
    return [
        Row(
            *("points written into VictoriaMetrics", round(statistics.median(rates)), "points/s", ">=", LEAST, n),
            *("influxdb-client's own points, one by one (points/s)", round(own), spread),
        ),
        Row(
            *("CPU of counting and writing, 1,000 VMs", round(cpu, 4), "cores", "<=", MOST_CPU, MINUTES * 6),
            reason=f"{FLOWS_PER_SECOND} events/s of traffic, {points:.0f} points/s; the database's own is not in it",
        ),
    ]


def throughput(settings: MetricsSettings) -> list[float]:
    """Points per second of each round, from the first to be handed over to the last to be confirmed."""
    usage = Usage(vms=10_000, segments=200, vfns=50)
    site, traffic = Site(usage, SECONDS), Traffic(usage)
    site.tally.take(traffic.events(200_000, START, SECONDS).rows)
    lines = site.lines(START + SECONDS)
    heads = [line.rpartition(" ")[0] for line in lines]
    rates, moment = [], START
    for _ in range(ROUNDS):
        target = Target(settings)
        writer = Writer(target.send, settings.batch_points, 1 << 30)
        began = time.perf_counter()
        for _ in range(INTERVALS):
            moment += SECONDS
            stamp = f" {moment * 1000:.0f}"
            writer.put([head + stamp for head in heads])
        while writer.counts().waiting:
            time.sleep(0.01)  # the writer tells nobody when it is done
        took = time.perf_counter() - began
        writer.close(1.0)
        target.close()
        counts = writer.counts()
        assert counts.written == counts.accepted, counts
        rates.append(counts.written / took)
    return rates


def peer(settings: MetricsSettings) -> float:
    """Points per second of the client's `Point`, in batches as large."""
    with InfluxDBClient(url=settings.url or "", token="", org="") as client:
        writes = client.write_api(write_options=SYNCHRONOUS)
        began = time.perf_counter()
        for batch in range(PEER_POINTS // settings.batch_points):
            points = []
            for number in range(settings.batch_points):
                point: Any = Point("peer").tag("vm", f"vm-{number}").tag("segment", "s").tag("vfn", "v")
                for name in ("flows_out", "flows_in", "bytes_out", "bytes_in", "packets_out", "packets_in"):
                    point.field(name, number)
                points.append(point.time(int(START) + batch, write_precision="s"))
            writes.write(settings.bucket, record=points, write_precision="s")
        return PEER_POINTS / (time.perf_counter() - began)


def cost(settings: MetricsSettings) -> tuple[float, float]:
    """(cores, points/s) of all that happens to a network's events, from their counting to the confirmation."""
    site, traffic = Site(THOUSAND, SECONDS), Traffic(THOUSAND)
    intervals = MINUTES * 6
    every = [traffic.events(int(FLOWS_PER_SECOND * SECONDS), START + i * SECONDS, SECONDS) for i in range(intervals)]
    target = Target(settings)
    writer = Writer(target.send, settings.batch_points, 1 << 28)
    began = time.process_time()
    for i, batch in enumerate(every):
        for part in batch.slices(0.25, 1 << 20):
            site.tally.take(part.rows)
        writer.put(site.lines(START + (i + 1) * SECONDS))
        while writer.counts().waiting:
            time.sleep(0.05)
    used = time.process_time() - began
    points = writer.counts().written
    writer.close(1.0)
    target.close()
    return used / (intervals * SECONDS), points / (intervals * SECONDS)
