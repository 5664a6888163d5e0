"""The writer before real databases: what is read out of them is what was put in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.control import until

from dashboards.metrics import schema
from dashboards.metrics.lines import Encoder, shown
from dashboards.metrics.target import Fate, Target
from dashboards.metrics.writer import Writer
from mininet_labs.stores import InfluxDb, VictoriaMetrics
from runtime.settings import MetricsSettings

pytestmark = pytest.mark.cluster

NAMES = (
    *("plain", "a b", "a,b", "a=b", "line\nend", "tail\\", "mid\\dle", "back\\,comma", 'qu"ote', "it's", "🦊 é", ""),
    *("\ttab", "ends ", " begins", "#hash", "nul\x00", "\ud800", "a" * 300, "==,, ", "\\\\", '"', "\r\n"),
)
"""Of tags."""
MINUTE = 60.0


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDb]:
    with InfluxDb(tmp_path_factory.mktemp("influx")) as store:
        httpx.post(f"{store.url}/query", params={"q": "CREATE DATABASE dynseg"}).raise_for_status()
        yield store


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics(tmp_path_factory.mktemp("victoria")) as store:
        yield store


def write(settings: MetricsSettings, lines: list[str]) -> Writer:
    target = Target(settings)
    writer = Writer(target.send, 10, 1 << 20)
    writer.put(lines)
    until(lambda: not writer.counts().waiting, "all points are settled", 20)
    writer.close(1.0)
    target.close()
    return writer


def points(texts: bool, at: float) -> list[str]:
    encoder = Encoder("node 1", texts=texts)
    found = [
        encoder.line(schema.EVENTS, {"kind": name, "vm": f"vm{i}"}, {"title": name, "events": i}, at)
        for i, name in enumerate(NAMES)
    ]
    return [line for line in found if line is not None]


def asked(store: InfluxDb, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{store.url}/query", params={"db": "dynseg", "q": query}).raise_for_status().json()
    return [
        dict(zip(series["columns"], values, strict=True))
        for series in answer["results"][0].get("series", ())
        for values in series["values"]
    ]


def exported(store: VictoriaMetrics, name: str, values: int) -> list[dict[str, Any]]:
    """Series of a name, once they have so many values: what was written shows a moment later."""

    def found() -> list[dict[str, Any]] | None:
        httpx.get(f"{store.url}/internal/force_flush").raise_for_status()
        answer = httpx.get(f"{store.url}/api/v1/export", params={"match[]": name}).raise_for_status()
        series = [json.loads(line) for line in answer.text.splitlines()]
        return series if sum(len(one["values"]) for one in series) >= values else None

    return list(until(found, f"{values} values of {name}", 20))


def test_every_name_comes_back_from_influxdb(influx: InfluxDb) -> None:
    """Spaces, commas, line ends, backslashes, emoji: each name is a series of its own with its own number."""
    counts = write(MetricsSettings(url=influx.url, api="v1"), points(True, time.time())).counts()
    assert counts.written == len(NAMES)
    rows = asked(influx, 'SELECT * FROM "dynseg_events"')
    assert {(row["kind"], row["vm"], row["events"]) for row in rows} == {
        (shown(name), f"vm{i}", i) for i, name in enumerate(NAMES)
    }
    assert next(row["title"] for row in rows if row["vm"] == "vm8") == 'qu"ote'
    assert {row["node"] for row in rows} == {"node 1"}


def test_every_name_comes_back_from_victoriametrics(victoria: VictoriaMetrics) -> None:
    """The same names, over the interface of InfluxDB 2; no series is made of texts."""
    counts = write(MetricsSettings(url=victoria.url, texts=False), points(False, time.time())).counts()
    assert counts.written == len(NAMES)
    found = exported(victoria, '{__name__=~"dynseg_events_.*"}', len(NAMES))
    assert {(one["metric"]["kind"], one["metric"]["vm"], one["values"][0]) for one in found} == {
        (shown(name), f"vm{i}", i) for i, name in enumerate(NAMES)
    }
    assert {one["metric"]["__name__"] for one in found} == {"dynseg_events_events"}


def test_influxdb_says_which_points_it_will_not_have(influx: InfluxDb) -> None:
    """A field that was a text before cannot be a number: of a batch the others are there, and that one is counted."""
    write(MetricsSettings(url=influx.url, api="v1"), ['clash,a=b x="text" 1000'])
    lines = [f"clash,a=b y={i}i {2000 + i}" for i in range(9)]
    counts = write(MetricsSettings(url=influx.url, api="v1"), [*lines, "clash,a=b x=1i 5000"]).counts()
    assert (counts.written, counts.refused) == (9, 1)
    assert len(asked(influx, 'SELECT "y" FROM "clash"')) == 9


def test_influxdb_without_the_database_is_waited_for(influx: InfluxDb) -> None:
    """The points of before are there once somebody has made it."""
    target = Target(MetricsSettings(url=influx.url, api="v1", bucket="later"))
    writer = Writer(target.send, 10, 1 << 20)
    writer.put(["m,a=b x=1i 1000"])
    until(lambda: writer.counts().retries, "it was tried", 20)
    assert "not found" in writer.counts().problem
    httpx.post(f"{influx.url}/query", params={"q": "CREATE DATABASE later"}).raise_for_status()
    until(lambda: writer.counts().written, "it was written", 20)
    writer.close(1.0)
    target.close()


def test_points_of_a_future_that_influxdb_does_not_keep_are_counted(influx: InfluxDb) -> None:
    """A clock behind its retention: InfluxDB drops and says so, and the count has it."""
    query = "CREATE RETENTION POLICY short ON dynseg DURATION 1h REPLICATION 1 DEFAULT"
    httpx.post(f"{influx.url}/query", params={"q": query}).raise_for_status()
    now = time.time()
    lines = [f"late,a=b x=1i {(now - 7200) * 1000:.0f}", f"late,a=b x=2i {now * 1000:.0f}"]
    counts = write(MetricsSettings(url=influx.url, api="v1"), lines).counts()
    assert (counts.written, counts.refused) == (1, 1)
    httpx.post(f"{influx.url}/query", params={"q": "ALTER RETENTION POLICY autogen ON dynseg DEFAULT"})


def test_the_same_request_twice_makes_one_point(influx: InfluxDb) -> None:
    """A request whose answer was lost is repeated; nothing counts twice."""
    target = Target(MetricsSettings(url=influx.url, api="v1"))
    body = b"twice,a=b x=1i 1000\ntwice,a=c x=1i 1000"
    assert [target.send(body).fate for _ in range(2)] == [Fate.TAKEN, Fate.TAKEN]
    target.close()
    assert len(asked(influx, 'SELECT "x" FROM "twice"')) == 2


def test_a_database_that_goes_and_comes_back_has_everything(tmp_path: Path) -> None:
    """Killed with points under way, started again on its data: all points of before, during and after are there."""
    with VictoriaMetrics(tmp_path) as store:
        target = Target(MetricsSettings(url=store.url))
        writer = Writer(target.send, 10, 1 << 20)
        now = time.time() - MINUTE
        writer.put([f"m,a=b x={i}i {now * 1000 + i:.0f}" for i in range(50)])
        until(lambda: not writer.counts().waiting, "the first are written", 20)
        httpx.get(f"{store.url}/internal/force_flush").raise_for_status()
        store.stop()
        writer.put([f"m,a=b x={i}i {now * 1000 + i:.0f}" for i in range(50, 100)])
        until(lambda: writer.counts().retries, "it was missed", 20)
        with store:
            until(lambda: not writer.counts().waiting, "all is written", 60)
            (found,) = exported(store, "m_x", 100)
        writer.close(1.0)
        target.close()
    assert found["values"] == list(range(100))
    assert writer.counts().written == 100


def test_the_clock_of_a_real_database_is_ours(influx: InfluxDb) -> None:
    """Its answers say the time, which on the same machine is the same."""
    counts = write(MetricsSettings(url=influx.url, api="v1"), ["m,a=b x=1i 1000"]).counts()
    assert counts.clock_offset == pytest.approx(0, abs=3)
