"""A day of ten thousand VMs in a thousand segments: how many series does it make, and how many were to be expected?

The day is drawn in forty-eight intervals of half an hour each, since series do not depend on how long an interval is;
some VMs scan the network meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.dashboards.network import START, Site, Traffic
from benchmarks.rows import Row
from dashboards.metrics import events
from dashboards.metrics.estimate import Usage, series, tag_sets
from dashboards.metrics.points import AnalyzerPoints, EnginePoints, ProcessPoints
from dashboards.metrics.target import Target
from dashboards.metrics.writer import Writer
from mininet_labs.stores import VictoriaMetrics
from policies.audit import AuditRow
from runtime.health import health
from runtime.settings import MetricsSettings

SCANNERS = 3
USAGE = Usage(vms=10_000, segments=1000, vfns=100, scanned=SCANNERS * 1000)
INTERVALS = 48
SECONDS = 86_400 / INTERVALS
EVENTS = 200_000
"""Of an interval: a fraction of what such a network has, so that rare pairs are the harder to see."""
MOST_OFF = 0.1


def rows(out: Path) -> list[Row]:
    """How far the estimate is off."""
    expected = sum(series(USAGE).values())
    with tempfile.TemporaryDirectory(prefix="series-", dir=out) as made, VictoriaMetrics(Path(made)) as store:
        settings = MetricsSettings(url=store.url, texts=False)
        target = Target(settings)
        writer = Writer(target.send, settings.batch_points, 1 << 30)
        site, traffic = Site(USAGE, SECONDS), Traffic(USAGE)
        others = _Others(site)
        for i in range(INTERVALS):
            begin = START + i * SECONDS
            site.tally.take(traffic.events(EVENTS, begin, SECONDS).rows)
            if i < SCANNERS:
                site.tally.take(traffic.scan(1 + 1111 * i, begin).rows)
            writer.put(site.lines(begin + SECONDS))
            writer.put([*others.lines(begin)])
        writer.close(600.0)
        target.close()
        counts = writer.counts()
        assert counts.written == counts.accepted, counts
        httpx.get(f"{store.url}/internal/force_flush", timeout=60).raise_for_status()
        found = int(httpx.get(f"{store.url}/api/v1/series/count", timeout=60).raise_for_status().json()["data"][0])
    told = f"{found:,} series where {expected:,} were estimated ({sum(tag_sets(USAGE).values()):,} sets of tags)"
    off = abs(found - expected) / expected
    return [
        Row("series of 10,000 VMs in 1,000 segments, off by", round(off, 4), "ratio", "<=", MOST_OFF, 1, reason=told)
    ]


class _Others:
    """What engine, analyzer and processes of such a network tell besides its traffic."""

    def __init__(self, site: Site) -> None:
        self._encoder, self._inventory = site.encoder, site.inventory
        self._analyzer = AnalyzerPoints(site.encoder, site.inventory)
        self._engine = EnginePoints(site.encoder)
        self._processes = ProcessPoints(site.encoder)
        self._events = events.Events(site.encoder, site.inventory)
        self._done = 0

    def lines(self, at: float) -> Iterator[str]:
        """Of a moment."""
        yield from self._analyzer.lines(self._status(), 0, at)
        rules = [["isolate", "enforce", "enforced", "analyzer", 3], ["deny", "enforce", "enforced", "person", 1]]
        yield from self._engine.lines({"rules": rules, "hits": []}, at)
        isolated = [*self._isolations(at)]
        zeros = {"connected": 1, "in_sync": 1, "enforced_ratio": 1.0, "entries": 100, "rules": 1}
        vfns = [{"vfn": name, **zeros} for name in self._inventory.vfns]
        lines = events.sum_lines(events.add_up(isolated), vfns, self._encoder, at)
        yield from (line for line in lines if line is not None)
        yield from self._events.lines(isolated)
        for process in ("control", "engine", "analyzer", "metrics"):
            yield from self._processes.line(process, health(), {"waiting": 0}, at)

    def _isolations(self, at: float) -> Iterator[AuditRow]:
        """Two VMs an interval are isolated and released again."""
        for _ in range(2):
            self._done += 1
            vm = f"vm-{self._done}"
            body = {"rule": f"r{self._done}", "action": "isolate", "vm": vm, "source_vm": vm, "seconds": 0.05}
            for kind in ("admitted", "enforced", "released"):
                yield AuditRow(self._done, at, "engine", kind, body, "", "")

    def _status(self) -> dict[str, Any]:
        counters = ("datagrams", "records", "rubbish", "strangers", "shed", "misdated", "copies")
        segments = self._inventory.segments.values()
        drift = [{"segment": segment.number, "share": 0.01, "vms": []} for segment in segments]
        return {
            **dict.fromkeys(counters, 0),
            "archive": None,
            "delay_ms": 1.0,
            "delay_p99_ms": 1.0,
            "lost_by_vfn": dict.fromkeys(self._inventory.vfns, 0),
            "baseline": {"samples": 0, "left_out": 0, "drift": drift},
            "phase": "judging",
        }
