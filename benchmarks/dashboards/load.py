"""How long the overview's queries take over a day of 1,000 VMs, on InfluxDB 1.6."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from pathlib import Path

from benchmarks.dashboards import day
from benchmarks.rows import Row
from dashboards import resolutions
from dashboards.influxql import InfluxQl
from mininet_labs.children import ROOT
from mininet_labs.observe import prepare
from mininet_labs.stores import InfluxDb

ROUNDS = 7
TARGET_MS = 300.0
_BATCH = 100
"""Series in one request."""


def rows(out: Path) -> list[Row]:
    """The slowest of the queries."""
    until = time.time()
    folder = out / "dashboards-load"
    shutil.rmtree(folder, ignore_errors=True)
    with InfluxDb(folder) as store, InfluxQl(prepare(store)) as client:
        points = _fill(client, until)
        print(f"{points:,} points of {day.VMS:,} VMs written")
        taken = {title: _milliseconds(client, query, until) for title, query in _queries().items()}
    slowest = max(taken, key=lambda title: taken[title])
    for title, milliseconds in sorted(taken.items(), key=lambda item: -item[1])[:5]:
        print(f"  {milliseconds:7.1f} ms  {title}")
    total = sum(taken.values())
    quick = sum(each <= TARGET_MS for each in taken.values())
    words = (
        f"median of {ROUNDS}: {slowest}; {quick} of {len(taken)} queries within {TARGET_MS:.0f} ms, {total:.0f} ms all"
    )
    measure = "overview over 24 h of 1,000 VMs, its slowest query"
    return [Row(measure, round(taken[slowest], 1), "ms", "<=", TARGET_MS, ROUNDS, reason=words)]


def _fill(client: InfluxQl, until: float) -> int:
    """Write the day; returns how many points."""
    count = 0
    waiting: list[str] = []
    for number, lines in enumerate(day.lines(until), start=1):
        waiting += lines
        count += len(lines)
        if number % _BATCH == 0:
            client.write("\n".join(waiting), resolutions.FINE)
            waiting = []
    client.write("\n".join(waiting), resolutions.FINE)
    for lines in day.lines(until, resolutions.RESOLUTIONS[0].seconds, day.STATES):
        client.write("\n".join(lines), resolutions.RAW)
        count += len(lines)
    client.write("\n".join(day.events(until)), resolutions.RAW)
    return count


def _queries() -> dict[str, str]:
    """Of the overview as it is committed, annotations included, by what they are for."""
    file: Path = ROOT / "dashboards/grafana/overview.json"
    dashboard = json.loads(file.read_text())
    found = {
        f"{panel['title']} {target['refId']}": target["query"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    return found | {each["name"]: each["target"]["query"] for each in dashboard["annotations"]["list"]}


def _milliseconds(client: InfluxQl, query: str, until: float) -> float:
    """The median of some rounds, answer read and parsed."""
    span, variables = resolutions.looked_at(until - day.HOURS * 3600, until)
    taken = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        client.ask(query, span, variables)
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)
