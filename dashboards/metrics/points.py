"""What engine and analyzer tell, as points: names instead of numbers, and increments instead of totals."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from analyzer.flows import Array
from analyzer.intervals import DECISIONS, PAIR_FIELDS, PAIR_TAGS, VFN_FIELDS, VM_FIELDS, Interval, Tags
from dashboards.metrics import schema
from dashboards.metrics.lines import Encoder
from dashboards.queries import ACTING_RISK
from topology.model import Inventory

K = TypeVar("K", bound=Hashable)
JUDGING = "judging"
"""Phase of the analyzer in which a baseline judges."""
_HITS = ("allowed", "denied", "answers", "observed")


class Running:
    """Totals of one process, told again and again: what came since the last time.

    A total that is smaller than before began anew with its process, and what it shows came since then.
    """

    def __init__(self) -> None:
        self._before: Mapping[Any, float] | None = None

    def since(self, totals: Mapping[K, float]) -> dict[K, float]:
        """Increments; all 0 the first time, as nobody knows since when the totals count."""
        before, self._before = self._before, dict(totals)
        if before is None:
            return dict.fromkeys(totals, 0)
        return {key: now - before[key] if now >= before.get(key, now + 1) else now for key, now in totals.items()}


class Intervals:
    """Points of the analyzer's intervals. Keys of series are made once."""

    def __init__(self, encoder: Encoder, inventory: Inventory, services: Sequence[str]) -> None:
        self._encoder = encoder
        self._tags = Tags.of(inventory, services)
        self._vms = {
            vm.number: encoder.key(schema.VM, {"vm": vm.name, "segment": vm.segment, "vfn": vm.vfn})
            for vm in inventory.vms.values()
        }
        self._segment_of, self._segments = _segments(encoder, inventory)
        self._pairs: dict[tuple[int, ...], str] = {}

    def lines(self, interval: Interval) -> list[str]:
        """All points of an interval, at its beginning."""
        encoder, at = self._encoder, interval.begin
        vms = {name: interval.vms[name] for name in (*VM_FIELDS, "risk")}
        pairs = {name: interval.pairs[name] for name in PAIR_FIELDS}
        lines = encoder.rows(schema.FLOWS, self._pair_keys(interval.pairs), pairs, at)
        lines += encoder.rows(schema.VM, [self._vms[number] for number in interval.vms["vm"].tolist()], vms, at)
        lines += self._segment_lines(interval.vms, at)
        lines += encoder.rows(
            schema.VFN, self._vfn_keys(interval.vfns), {name: interval.vfns[name] for name in VFN_FIELDS}, at
        )
        for behaviour, segment, confirmed, count, risk in interval.verdicts:
            tags = {"behaviour": behaviour, "segment": segment, "confirmed": "yes" if confirmed else "no"}
            lines += _some(encoder.line(schema.VERDICTS, tags, {"verdicts": count, "risk": risk}, at))
        subjects, risk = interval.outside
        return lines + _some(encoder.line(schema.OUTSIDE, {}, {"subjects": subjects, "risk": risk}, at))

    def _segment_lines(self, vms: Array, at: float) -> list[str]:
        """Sums over the VMs of each segment that has some here."""
        there, of = np.unique(self._segment_of[vms["vm"]], return_inverse=True)
        sums: dict[str, Array] = {name: np.bincount(of, vms[name], len(there)) for name in VM_FIELDS}
        sums["risk"] = np.zeros(len(there))
        np.maximum.at(sums["risk"], of, vms["risk"])
        sums["at_risk"] = np.bincount(of, vms["risk"] >= ACTING_RISK, len(there))
        return self._encoder.rows(schema.SEGMENTS, [self._segments[number] for number in there.tolist()], sums, at)

    def _pair_keys(self, pairs: Array) -> list[str]:
        keys = []
        for row in zip(*(pairs[name].tolist() for name in PAIR_TAGS), strict=True):
            key = self._pairs.get(row)
            if key is None:
                src, dst, service, decision = row
                tags = {
                    "src_segment": self._tags.segments[src],
                    "dst_segment": self._tags.segments[dst],
                    "service": self._tags.services[service],
                    "decision": DECISIONS[decision],
                }
                key = self._pairs[row] = self._encoder.key(schema.FLOWS, tags)
            keys.append(key)
        return keys

    def _vfn_keys(self, vfns: Array) -> list[str]:
        places = zip(vfns["vfn"].tolist(), vfns["decision"].tolist(), strict=True)
        return [
            self._encoder.key(schema.VFN, {"vfn": self._tags.vfns[vfn], "decision": DECISIONS[decision]})
            for vfn, decision in places
        ]


class AnalyzerPoints:
    """Points of the analyzer's status (`GET /v1/status`)."""

    def __init__(self, encoder: Encoder, inventory: Inventory) -> None:
        self._encoder = encoder
        self._segments = {segment.number: segment.name for segment in inventory.segments.values()}
        self._telemetry = Running()
        self._lost = Running()

    def lines(self, status: Mapping[str, Any], dropped: int, at: float) -> Iterator[str]:
        """Points at `at`; `dropped`: intervals that were not fetched in time, since the analyzer's start."""
        archive = status["archive"] or {"written": 0, "dropped": 0}
        names = ("datagrams", "records", "rubbish", "strangers", "shed", "misdated", "copies")
        totals = {name: float(status[name]) for name in names}
        totals |= {"archived": archive["written"], "archive_dropped": archive["dropped"], "intervals_dropped": dropped}
        delays = {"delay_seconds": status["delay_p99_ms"] / 1000, "delay_seconds_max": status["delay_ms"] / 1000}
        yield from _some(
            self._encoder.line(schema.TELEMETRY, {}, {**self._telemetry.since(totals), **delays}, at),
        )
        for vfn, lost in self._lost.since(status["lost_by_vfn"]).items():
            yield from _some(self._encoder.line(schema.TELEMETRY_LOSS, {"vfn": vfn}, {"lost": lost}, at))
        baseline = status["baseline"]
        learning = {
            "judging": int(status["phase"] == JUDGING),
            "samples": baseline["samples"],
            "left_out": baseline["left_out"],
        }
        yield from _some(self._encoder.line(schema.LEARNING, {}, learning, at))
        for drift in baseline["drift"]:
            tags = {"segment": self._segments[drift["segment"]]}
            fields = {"drift": drift["share"], "changed_vms": len(drift["vms"])}
            yield from _some(self._encoder.line(schema.DETECTION, tags, fields, at))


class EnginePoints:
    """Points of what the engine measures (`policies.measuring`)."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._hits = Running()
        self._rules: set[tuple[str, ...]] = set()

    def lines(self, measured: Mapping[str, Any], at: float) -> Iterator[str]:
        """Points at `at`, but for the enforcement of VFNs, which the audit log has a part in."""
        counts = {tuple(key): count for *key, count in measured["rules"]}
        self._rules |= counts.keys()
        for key in sorted(self._rules):
            tags = dict(zip(("action", "mode", "state", "issuer"), key, strict=True))
            yield from _some(self._encoder.line(schema.RULES, tags, {"rules": counts.get(key, 0)}, at))
        yield from self._hit_lines(measured["hits"], at)

    def _hit_lines(self, rows: Sequence[Mapping[str, Any]], at: float) -> Iterator[str]:
        totals = {
            (row["key"], row["rule"], row["kind"], row["action"], row["mode"], what + unit): float(
                row[words].get(what, 0)
            )
            for row in rows
            for unit, words in (("", "packets"), ("_bytes", "bytes"))
            for what in _HITS
        }
        sums: dict[tuple[str, ...], dict[str, float]] = {}
        for (_, *tags, field), more in self._hits.since(totals).items():
            fields = sums.setdefault(tuple(tags), {})
            fields[field] = fields.get(field, 0) + more
        for key, fields in sums.items():
            tags_of = dict(zip(("rule", "kind", "action", "mode"), key, strict=True))
            yield from _some(self._encoder.line(schema.RULE_HITS, tags_of, fields, at))


class ProcessPoints:
    """Points of the processes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._cpu: dict[str, Running] = {}

    def line(self, process: str, health: Mapping[str, Any] | None, more: Mapping[str, float], at: float) -> list[str]:
        """The point of one; `health` None: it did not answer."""
        fields: dict[str, float] = {"up": int(health is not None), **more}
        if health is not None:
            cpu = self._cpu.setdefault(process, Running()).since({"cpu_seconds": health["cpu_seconds"]})
            fields |= {**cpu, "memory_bytes": health["memory_bytes"], "uptime_seconds": health["uptime_seconds"]}
        return _some(self._encoder.line(schema.PROCESS, {"process": process}, fields, at))


def _segments(encoder: Encoder, inventory: Inventory) -> tuple[Array, dict[int, str]]:
    """Segment numbers by number of VM, and a key for each segment."""
    segments = inventory.segments.values()
    of = np.array(inventory.segment_numbers, np.int64)
    return of, {one.number: encoder.key(schema.SEGMENTS, {"segment": one.name}) for one in segments}


def _some(line: str | None) -> list[str]:
    return [] if line is None else [line]
