"""How many series a network makes, and how many points: a function of its size and of how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.metrics import schema
from dashboards.metrics.schema import BY_NAME, Kind, Measurement
from topology.model import Inventory


@dataclass(frozen=True)
class Usage:
    """A network, and what its traffic is like. The defaults are those of a network of services."""

    vms: int
    segments: int
    vfns: int
    peers: float = 12.0
    """Segments that a segment opens flows to, the outside among them; itself not counted."""
    inner: bool = True
    """Do VMs of a segment talk to each other?"""
    incoming: float = 0.1
    """Part of the segments that are opened to from outside."""
    services: float = 2.0
    """Named services of `metrics.services` (and `other`) of such a pair."""
    decisions: float = 1.1
    """Decisions that flows of one pair and service meet in a day."""
    scanned: int = 0
    """Pairs of a segment and a segment that a scan adds, each with one service."""
    behaviours: float = 0.1
    """Kinds of verdicts of a segment in a day."""
    rules: int = 0
    """Of the policy, that have met something."""
    events: float = 0.02
    """Events of a VM in a day, each kind of a VM counted once."""
    most_pairs: int = 50_000
    """`metrics.most_pairs`."""

    @classmethod
    def of(cls, inventory: Inventory) -> Usage:
        """Of a network as its inventory has it, with the usual traffic."""
        peers = min(12.0, float(len(inventory.segments)))
        return cls(len(inventory.vms), len(inventory.segments), len(inventory.vfns), peers=peers)


FEW: Mapping[str, int] = {
    schema.OUTSIDE.name: 1,
    schema.RULES.name: 20,
    schema.RULE_TIMES.name: 8,
    schema.AUDIT.name: 15,
    schema.FEEDBACK.name: 5,
    schema.LEARNING.name: 1,
    schema.TELEMETRY.name: 1,
    schema.PROCESS.name: 4,
    schema.WRITER.name: 1,
}
"""Sets of tags of measurements that do not grow with the network."""


def tag_sets(usage: Usage) -> dict[str, int]:
    """Sets of tags by measurement: what InfluxDB counts as series."""
    pairs = usage.segments * (usage.peers + usage.inner + usage.incoming) * usage.services * usage.decisions
    many: dict[str, float] = {
        schema.FLOWS.name: min(float(usage.most_pairs + 3), pairs + usage.scanned),
        schema.VM.name: usage.vms,
        schema.SEGMENTS.name: usage.segments,
        schema.VFN.name: 2.0 * usage.vfns,
        schema.VERDICTS.name: usage.segments * usage.behaviours,
        schema.RULE_HITS.name: usage.rules,
        schema.ENFORCEMENT.name: usage.vfns,
        schema.EVENTS.name: usage.vms * usage.events,
        schema.DETECTION.name: usage.segments,
        schema.TELEMETRY_LOSS.name: usage.vfns,
    }
    return {one.full_name: round(many[one.name]) if one.name in many else FEW[one.name] for one in schema.MEASUREMENTS}


def series(usage: Usage, *, texts: bool = False) -> dict[str, int]:
    """Sets of tags times fields, by measurement: what VictoriaMetrics counts as series."""
    return {name: count * len(_fields(BY_NAME[name], texts)) for name, count in tag_sets(usage).items()}


def points_per_second(usage: Usage, seconds: float = 10.0, busy: float = 1.0) -> float:
    """Points that are written, when `busy` of the series have one in each interval of so many seconds."""
    return busy * sum(tag_sets(usage).values()) / seconds


def _fields(measurement: Measurement, texts: bool) -> list[schema.Field]:
    return [field for field in measurement.fields if texts or field.kind is not Kind.TEXT]
