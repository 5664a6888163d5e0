"""InfluxDB filled with what a lab's run has written (`python -m mininet_labs.observe --record`)."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from dashboards import resolutions
from dashboards.influxql import InfluxQl, Place
from dashboards.metrics.schema import SEGMENTS, VM
from mininet_labs.observe import DATABASE, prepare
from mininet_labs.stores import InfluxDb

RECORDING = Path(__file__).resolve().parents[1] / "data/metrics/lab.lp.gz"


@dataclass(frozen=True)
class Filled:
    """A database with a recorded run."""

    place: Place
    since: float
    until: float


@contextmanager
def filled(folder: Path) -> Iterator[Filled]:
    """InfluxDB with the recording as if the run had ended a minute ago: it takes no points older than it keeps."""
    lines = recorded()
    first, last = (int(line.rsplit(" ", 1)[1]) for line in (min(lines, key=_at), max(lines, key=_at)))
    step = resolutions.FINE_SECONDS * 1000
    moved = (int(time.time() * 1000) - 60_000 - last) // 10_000 * 10_000
    moved -= (first + moved) % step  # the run begins where a coarse interval begins, whenever the test runs
    with InfluxDb(folder) as store, httpx.Client(base_url=store.url, trust_env=False, timeout=30.0) as client:
        place = prepare(store)
        body = "\n".join(f"{line.rsplit(' ', 1)[0]} {_at(line) + moved}" for line in lines)
        client.post("/write", params={"db": DATABASE, "precision": "ms"}, content=body.encode()).raise_for_status()
        since, until = (first + moved) / 1000 - 10, (last + moved) / 1000 + 10
        span = f"time >= {since - 600:.0f}s AND time < {until + 600:.0f}s"
        with InfluxQl(place) as asked:
            asked.ask(_segments(span))
            for _, query in resolutions.rollups(DATABASE, span):
                asked.ask(query)
        yield Filled(place, since, until)


def _segments(span: str) -> str:
    """What the writer tells of segments, from what it told of their VMs: the run was recorded before it told both."""
    fields = ", ".join(f'{field.rollup.value}("{field.name}") AS "{field.name}"' for field in VM.fields)
    source = f'"{resolutions.RAW}"."{VM.full_name}" WHERE {span}'
    target = f'"{resolutions.RAW}"."{SEGMENTS.full_name}"'
    return f'SELECT {fields} INTO {target} FROM {source} GROUP BY time(10s), "node", "segment"'


def recorded() -> list[str]:
    """Lines of the recording, times in milliseconds."""
    return gzip.decompress(RECORDING.read_bytes()).decode().splitlines()


def _at(line: str) -> int:
    return int(line.rsplit(" ", 1)[1])
