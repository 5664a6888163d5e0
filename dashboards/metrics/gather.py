"""One look at everything, each interval: what is asked of whom, and the points that it makes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.intervals import decode
from dashboards.metrics import events, schema
from dashboards.metrics.lines import Encoder
from dashboards.metrics.points import AnalyzerPoints, EnginePoints, Intervals, ProcessPoints, Running
from dashboards.metrics.sources import Source
from dashboards.metrics.writer import Counts
from policies import audit
from policies.audit import AuditRow
from runtime.errors import AuditError
from runtime.files import replacing
from runtime.health import health
from runtime.settings import Settings
from topology.model import Inventory

ROWS_AT_ONCE = 1000
EARLIER_SECONDS = 60.0
"""Without a position, rows of the audit log are told that were written so long before our start, or later."""
MOST_ROWS = 20_000
"""Rows of the audit log in one look; the next one goes on where it ended."""

LOG = logging.getLogger("dynseg.metrics")


@dataclass(frozen=True)
class Control:
    """What control said of itself last."""

    at: float = float("-inf")
    """Epoch seconds."""
    told: Mapping[str, Any] = field(default_factory=dict)


class Gatherer:
    """Asks the processes and reads the audit log. Not for several threads."""

    def __init__(self, settings: Settings, inventory: Inventory, encoder: Encoder, version: str) -> None:
        self._settings = settings
        self._encoder = encoder
        self._engine = Source(settings.engine_socket, version)
        self._analyzer = Source(settings.analyzer_socket, version)
        self._intervals = Intervals(encoder, inventory, settings.metrics.services)
        self._analyzer_points = AnalyzerPoints(encoder, inventory)
        self._engine_points = EnginePoints(encoder)
        self._processes = ProcessPoints(encoder)
        self._events = events.Events(encoder, inventory)
        self._copies = Running()
        self._writer = Running()
        self._taken = 0
        self._since = time.time() - EARLIER_SECONDS
        self._position = Position(settings.state_dir / "metrics.position")

    def look(self, at: float, control: Control, counts: Counts) -> Iterator[str]:
        """All points at `at` (epoch seconds): `control` as heard last, `counts` of the writer."""
        recent = control.told if control.at > at - 2 * self._settings.metrics.interval_seconds else None
        yield from self._from_analyzer(at, recent)
        yield from self._from_engine(at, recent)
        yield from self._processes.line("metrics", health(), {"waiting": counts.waiting}, at)
        if recent is not None:
            more = {"lag_seconds": recent["hub_lag_seconds"], "waiting": recent["waiting"]}
            yield from self._processes.line("control", recent["health"], more, at)
        else:
            yield from self._processes.line("control", None, {}, at)
        yield from _there([self._of_writer(counts, at)])

    def close(self) -> None:
        """Close the connections."""
        self._engine.close()
        self._analyzer.close()

    def _from_analyzer(self, at: float, control: Mapping[str, Any] | None) -> Iterator[str]:
        """Every interval that waits, and the analyzer's status."""
        answer = self._analyzer.ask({"after": self._taken})
        while answer is not None and answer.data["interval"] is not None:
            interval = decode(answer.data["interval"], answer.body)
            self._taken = interval.number
            yield from self._intervals.lines(interval)
            answer = self._analyzer.ask({"after": self._taken})
        if answer is not None:
            yield from self._analyzer_points.lines(answer.data["status"], answer.data["dropped"], at)
        if control is not None:
            dropped = self._copies.since({"copies_dropped": control["copies_dropped"]})
            yield from _there([self._encoder.line(schema.TELEMETRY, {}, dropped, at)])
        yield from self._process("analyzer", None if answer is None else answer.data, control, at)

    def _from_engine(self, at: float, control: Mapping[str, Any] | None) -> Iterator[str]:
        answer = self._engine.ask({})
        rows = self._new_rows()
        if answer is not None:
            yield from self._engine_points.lines(answer.data, at)
        vfns = [] if answer is None else answer.data["vfns"]
        yield from _there(events.sum_lines(events.add_up(rows), vfns, self._encoder, at))
        yield from self._events.lines(rows)
        yield from self._process("engine", None if answer is None else answer.data, control, at)

    def _process(
        self, name: str, told: Mapping[str, Any] | None, control: Mapping[str, Any] | None, at: float
    ) -> list[str]:
        starts = {} if control is None else {"starts": control["starts"][name]}
        return self._processes.line(name, None if told is None else told["health"], starts, at)

    def _new_rows(self) -> list[AuditRow]:
        """Rows of the audit log since the last look; at the very first look, those since just before our start."""
        rows: list[AuditRow] = []
        try:
            after = self._position.value
            if after is None:
                after = self._position.value = audit.before(self._settings.database, self._since)
            while len(rows) < MOST_ROWS:
                more = audit.list(self._settings.database, after, ROWS_AT_ONCE)
                if not more:
                    break
                rows += more
                after = self._position.value = more[-1].seq
        except AuditError as error:
            LOG.warning("no events this time: %s", error)
        return rows

    def _of_writer(self, counts: Counts, at: float) -> str | None:
        names = ("written", "bytes", "refused", "dropped", "retries")
        increments = self._writer.since({name: getattr(counts, name) for name in names})
        gauges: dict[str, float] = {"waiting": counts.waiting, "write_seconds_max": counts.slowest_seconds}
        if counts.clock_offset is not None:
            gauges["clock_offset_seconds"] = counts.clock_offset
        return self._encoder.line(schema.WRITER, {}, {**increments, **gauges}, at)


class Position:
    """How far the audit log was read, in a file: what happens while nobody writes points is told afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value: int | None = None
        try:
            self._value = int(path.read_text())
        except (OSError, ValueError):
            LOG.info("the audit log is told from just before this start on: %s holds no position", path)

    @property
    def value(self) -> int | None:
        """Number of the last row that was told; None: none was."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value
        try:
            with replacing(self._path) as fresh:
                fresh.write_text(f"{value}\n")
        except OSError as error:
            LOG.warning("%s cannot be written: %s; after a restart some events are told again", self._path, error)


def _there(lines: Iterable[str | None]) -> Iterator[str]:
    return (line for line in lines if line is not None)
