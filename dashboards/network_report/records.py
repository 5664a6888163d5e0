"""A report from a node's own records: the flow archive and the audit log. It needs no server, and nothing that runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analyzer.archive.query import Filter
from analyzer.archive.scan import scan
from dashboards import queries, resolutions
from dashboards.metrics.events import event_of
from dashboards.network_report.metrics import at_risk_figure, enforced_figure, risk_figure
from dashboards.network_report.model import Course, Figure, Happening, NetworkReport, Pair, Refused, WouldDrop
from dashboards.network_report.words import count
from policies import audit
from policies.audit import AuditRow

_COLUMNS = ("src_segment", "dst_segment", "decision", "proto", "dst_port", "src_bytes", "opened", "part")
_ENDS = ("src_segment", "dst_segment", "decision")
EVERYBODY = "group"
"""Multicast and the like: what `dynseg_flows` calls it, too."""


def report(
    archive: Path | None, database: Path, since: float, until: float, would_drop: Sequence[WouldDrop], note: str
) -> NetworkReport:
    """What the records of a time say.

    Args:
        archive: folder of the flow archive; None: there is none yet.
        database: the engine's SQLite file.
        since: epoch seconds.
        until: epoch seconds.
        would_drop: what observed rules would have dropped, found by whoever may judge flows.
        note: how that was found.

    Raises:
        ArchiveError: it is no archive, or a file is damaged.
        AuditError: there is no audit log, or it cannot be read.
    """
    span, _ = resolutions.looked_at(since, until)
    flows = _Flows(since, until, span.step)
    if archive is not None:
        for table in scan(archive, Filter(since=since, until=until), _COLUMNS):
            flows.add(table)
    rows = tuple(audit.rows(database, since, until))
    happenings = _happenings(rows)
    return NetworkReport(
        since=since,
        until=until,
        step=span.step,
        source=f"this node's {'flow archive and ' if archive else ''}audit log, {span.step} s to an interval",
        figures=_figures(rows, happenings, flows),
        risks=_risks(rows, since, span.step),
        happenings=happenings,
        decisions=flows.courses(),
        pairs=flows.pairs(),
        refused=flows.refused(),
        would_drop=would_drop,
        would_drop_note=note,
    )


class _Flows:
    """Adds up flows, piece by piece of the archive."""

    def __init__(self, since: float, until: float, step: int) -> None:
        self._since, self._until, self._step = since, until, step
        self._pairs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        """Flows, bytes and denied flows, as `Pair` has them, by source and destination."""
        self._services: Counter[tuple[str, str, str]] = Counter()
        self._begun: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, table: pa.Table) -> None:
        """Count these. A flow counts in the interval in which it was opened, its bytes wherever a part of it ended."""
        plain = pa.table({name: _plain(table[name]) for name in _COLUMNS})
        opened = plain["opened"].cast(pa.int64()).to_numpy() / 1e6
        first = (plain["part"].to_numpy() == 0) & (opened >= self._since)
        plain = plain.append_column("begun", pa.array(first.astype(np.int64)))
        sums = plain.group_by(_ENDS).aggregate([("begun", "sum"), ("src_bytes", "sum")])
        for row in sums.to_pylist():
            counts = self._pairs[_ends_of(row)]
            if row["decision"] == "denied":
                counts[2] += row["begun_sum"]
            else:
                counts[0] += row["begun_sum"]
                counts[1] += row["src_bytes_sum"]
        denied = plain.filter(pc.and_(pc.equal(plain["decision"], "denied"), pc.equal(plain["begun"], 1)))
        services = denied.group_by(["src_segment", "dst_segment", "proto", "dst_port"]).aggregate([("begun", "sum")])
        for row in services.to_pylist():
            service = f"{row['proto']}/{row['dst_port']}" if row["proto"] in {"tcp", "udp"} else row["proto"]
            self._services[*_ends_of(row), service] += row["begun_sum"]
        self._count(plain["decision"].to_numpy(zero_copy_only=False)[first], opened[first])

    def _count(self, decisions: npt.NDArray[np.object_], opened: npt.NDArray[np.float64]) -> None:
        intervals = int((self._until - self._since) // self._step) + 1
        at = ((opened - self._since) // self._step).astype(np.int64)
        for name in np.unique(decisions.astype(str)).tolist():
            counts = np.bincount(at[decisions == name], minlength=intervals)[:intervals]
            self._begun[name] = self._begun.get(name, np.zeros(intervals, np.int64)) + counts

    def courses(self) -> dict[str, Course]:
        """Flows that began, per second, by decision."""
        return {
            name: [(self._since + i * self._step, count / self._step) for i, count in enumerate(counts.tolist())]
            for name, counts in self._begun.items()
        }

    def pairs(self) -> list[Pair]:
        """What went between segments."""
        return [Pair(*ends, *numbers) for ends, numbers in sorted(self._pairs.items())]

    def refused(self) -> list[Refused]:
        """What was denied, the most first."""
        return [Refused(*ends, count) for ends, count in self._services.most_common()]

    @property
    def denied(self) -> int:
        """Flows that were."""
        return self._services.total()


def _ends_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """The segments, source first, of a row of the archive's flows."""
    return row["src_segment"] or EVERYBODY, row["dst_segment"] or EVERYBODY


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _risks(rows: Iterable[AuditRow], since: float, step: int) -> dict[str, Course]:
    """The highest risk of each interval that the audit log tells of, of VMs worth a lane."""
    highest: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if row.kind != "detection" or "vm" not in row.body or row.body["risk"] < queries.NOTEWORTHY_RISK:
            continue
        course = highest[str(row.body["vm"])]
        begins = since + (row.body["time"] - since) // step * step
        course[begins] = max(course.get(begins, 0.0), float(row.body["risk"]))
    return {vm: sorted(course.items()) for vm, course in highest.items()}


def _happenings(rows: Iterable[AuditRow]) -> list[Happening]:
    found = ((row, event_of(row)) for row in rows)
    return [
        Happening(row.ts, *event, actor=row.actor, vm=str(row.body.get("vm") or row.body.get("source_vm") or ""))
        for row, event in found
        if event is not None
    ]


def _figures(rows: Sequence[AuditRow], happenings: Sequence[Happening], flows: _Flows) -> list[Figure]:
    risks: dict[str, float] = {}
    for row in rows:
        if row.kind == "detection" and "vm" in row.body:
            vm = str(row.body["vm"])
            risks[vm] = max(risks.get(vm, 0.0), float(row.body["risk"]))
    at_risk = sum(risk >= queries.ACTING_RISK for risk in risks.values())
    cut = sum(each.kind == "isolation" for each in happenings)
    ratios = {row.body["vfn"]: float(row.body["enforced_ratio"]) for row in rows if row.kind == "ratio"}
    drifts = sum(each.kind == "drift" for each in happenings)
    return [
        risk_figure(max(risks.values(), default=None)),
        at_risk_figure(at_risk),
        Figure("isolations", f"{cut}", "rules that cut a VM off", "warn" if cut else "good"),
        Figure("flows denied", count(flows.denied), "dropped by a switch"),
        enforced_figure(min(ratios.values(), default=None)),
        Figure("meddling", f"{drifts}", "switches found otherwise than left", "warn" if drifts else "good"),
    ]  # fmt: skip
